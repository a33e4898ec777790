//! INV-M12: what is taken from others, and what is not.

use understudy_membership::{
    DeathCause, Fingerprint, Input, MemberEvent, Message, NodeId, Output, PeerRecord, Refusal, Status, limits,
};

use super::lan::{Lan, address};
use super::one::{One, closed, dials, events, identity};

pub fn record(node: u64, generation: u64, left: bool) -> Message {
    let fingerprint = identity(node).fingerprint;
    let addresses = vec![address(node)];
    Message::Peers(vec![PeerRecord { node: NodeId(node), fingerprint, generation, addresses, left }])
}

#[test]
fn who_is_only_heard_of_is_dialled_and_not_alive() {
    let mut one = One::new();
    one.member(1, identity(7));
    let outputs = one.receive(1, record(60, 3, false));
    assert_eq!(events(&outputs), []);
    assert_eq!(one.status(60), Some(Status::Known));
    let outputs = one.pass(1);
    assert_eq!(dials(&outputs).len(), 1);
    assert_eq!(dials(&outputs)[0].1, "node60:7863");
}

#[test]
fn a_newer_start_and_a_leave_are_believed_and_nothing_else() {
    let replaced = (Status::Known, Some(DeathCause::Replaced));
    let cases = [
        ("a newer start", record(60, 11, false), replaced),
        ("the same start", record(60, 10, false), (Status::Alive, None)),
        ("an older start", record(60, 9, false), (Status::Alive, None)),
        ("the leave of an older start", record(60, 9, true), (Status::Alive, None)),
        ("its leave", record(60, 10, true), (Status::Left, None)),
    ];
    for (name, told, (status, death)) in cases {
        let mut one = One::new();
        one.member(1, identity(7));
        one.member(2, identity(60));
        let outputs = one.receive(1, told);
        assert_eq!(one.status(60), Some(status.clone()), "{name}");
        assert_eq!(closed(&outputs).len(), usize::from(status != Status::Alive), "{name}");
        let died = events(&outputs).into_iter().find_map(|event| match event {
            MemberEvent::Dead { node: NodeId(60), generation: 10, why, .. } => Some(why),
            _ => None,
        });
        assert_eq!(died, death, "{name}");
    }
}

#[test]
fn hearsay_of_another_key_changes_nothing_and_does_not_stand_against_a_certificate() {
    let mut one = One::new();
    one.member(1, identity(7));
    let Message::Peers(mut records) = record(60, 99, false) else { unreachable!() };
    records[0].fingerprint = Fingerprint([9; 32]);
    one.receive(1, Message::Peers(records.clone()));
    assert_eq!(one.status(60), Some(Status::Known));
    one.member(2, identity(60));
    assert_eq!(one.status(60), Some(Status::Alive));
    one.receive(1, Message::Peers(records));
    let member = one.machine.member(NodeId(60)).expect("a member");
    assert_eq!((member.fingerprint, member.generation), (identity(60).fingerprint, 10));
}

/// The mark of a leave fences that start, by hearsay and by link; the next start is welcome.
#[test]
fn who_left_comes_back_only_as_a_new_start() {
    let mut one = One::new();
    one.member(1, identity(7));
    one.member(2, identity(60));
    let outputs = one.receive(2, Message::Leave { generation: 10 });
    assert_eq!(events(&outputs), [MemberEvent::Left { node: NodeId(60), generation: 10 }]);
    one.receive(1, record(60, 10, false));
    assert_eq!(one.status(60), Some(Status::Left));
    assert_eq!(closed(&one.inbound(3, identity(60))), [(3, Refusal::Left)]);
    let called = dials(&one.pass(60_000)).into_iter().filter(|(_, address)| address == "node60:7863");
    assert_eq!(called.count(), 0, "nobody calls for who left");
    let mut next = identity(60);
    next.generation = 11;
    one.member(4, next);
    assert_eq!(one.status(60), Some(Status::Alive));
}

/// The nodes that a peer is told of on a link.
fn told_of(outputs: &[Output], on: u64) -> Vec<(u64, bool)> {
    let records = |output: &Output| match output {
        Output::Send { link, message: Message::Peers(records) } if link.0 == on => {
            assert!(records.len() <= limits::PEERS_PER_MESSAGE);
            records.iter().map(|record| (record.node.0, record.left)).collect()
        }
        _ => Vec::new(),
    };
    outputs.iter().flat_map(records).collect()
}

/// With a link comes all that is known at first hand: neither the dead nor what others told is passed on.
#[test]
fn a_newcomer_is_told_of_the_living_and_of_who_left() {
    let mut one = One::new();
    for node in 60..60 + 70 {
        one.member(node, identity(node));
    }
    one.receive(60, record(7, 10, false));
    one.receive(61, Message::Leave { generation: 10 });
    one.give(Input::Revoked(identity(62).fingerprint));
    one.receive(63, Message::Refuse(Refusal::Full));
    let told = told_of(&one.inbound(1, identity(5)), 1);
    let expected: Vec<(u64, bool)> =
        (60..130).filter(|node| ![62, 63].contains(node)).map(|node| (node, node == 61)).collect();
    assert_eq!(told, expected);
}

/// Who comes is told to the others within a tick, and everything again from time to time: messages may be lost.
#[test]
fn news_travel_at_once_and_all_again_later() {
    let mut one = One::new();
    one.member(1, identity(60));
    one.pass(300);
    one.member(2, identity(7));
    assert_eq!(told_of(&one.pass(250), 1), [(7, false)]);
    let mut again = [0, 0];
    for _ in 0..400 {
        let outputs = one.pass(250);
        one.beat(1, true);
        one.beat(2, true);
        for (index, expected) in [(0, (7, false)), (1, (60, false))] {
            let told = told_of(&outputs, index as u64 + 1);
            assert!(told.is_empty() || told == [expected]);
            again[index] += told.len();
        }
    }
    assert!(again[0] > 0 && again[1] > 0 && again[0] + again[1] <= 10, "in 100 s: {again:?}");
}

/// Whoever joins one node finds all; a leave reaches those who did not hear it themselves.
#[test]
fn joining_one_node_finds_all_and_a_leave_reaches_all() {
    let mut lan = Lan::new([1, 2, 3, 4, 5].map(identity));
    for node in 2..=5 {
        lan.give(node, Input::AddPeer(address(node - 1)));
    }
    lan.pass(1_500);
    for (node, machine) in &lan.machines {
        let alive = machine.members().filter(|member| member.status == Status::Alive).count();
        assert_eq!(alive, 4, "as node {node} sees it");
    }
    lan.blocked.insert((5, 1));
    lan.give(5, Input::Leave);
    lan.machines.remove(&5);
    lan.pass(300);
    for (node, machine) in &lan.machines {
        let member = machine.member(NodeId(5)).expect("it is remembered");
        assert_eq!(member.status, Status::Left, "as node {node} sees it");
    }
}
