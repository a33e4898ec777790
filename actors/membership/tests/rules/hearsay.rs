//! INV-M12: what is taken from others, and what is not.

use understudy_membership::{
    DeathCause, Fingerprint, Input, MemberEvent, Message, NodeId, Output, PeerRecord, Refusal, Status, limits,
};

use super::lan::{Lan, address};
use super::one::{ME, One, closed, dials, events, identity};

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

/// Whatever one member says of another that is heard here changes nothing: neither ends its link nor keeps it out later.
#[test]
fn nothing_is_believed_of_a_member_that_is_heard() {
    let cases = [
        ("a newer start", record(60, 11, false)),
        ("the last start of all", record(60, u64::MAX, false)),
        ("the leave of the last start of all", record(60, u64::MAX, true)),
        ("its leave", record(60, 10, true)),
        ("an older start", record(60, 9, false)),
    ];
    for (name, told) in cases {
        let mut one = One::new();
        one.member(1, identity(7));
        one.member(2, identity(60));
        assert_eq!(one.receive(1, told.clone()), [], "{name}");
        assert_eq!(one.status(60), Some(Status::Alive), "{name}");
        // A link that ends lets the hearsay in as a reason to dial; the next hello stands against it.
        one.receive(2, Message::Refuse(Refusal::Silent));
        one.receive(1, told);
        assert_eq!(closed(&one.inbound(3, identity(60))), [], "{name}");
        one.beat(3, true);
        assert_eq!(one.status(60), Some(Status::Alive), "{name}");
        let generation = one.machine.member(NodeId(60)).map(|member| member.generation);
        assert_eq!(generation, Some(10), "{name}");
    }
}

/// Of a member that is not heard a newer start is a reason to dial at once, once, also where it was told to be; its
/// leave is told to people, and it is dialled on.
#[test]
fn hearsay_of_a_member_that_is_not_heard_informs() {
    let lost = || {
        let mut one = One::new();
        one.member(1, identity(7));
        one.member(2, identity(60));
        one.receive(2, Message::Refuse(Refusal::Full));
        assert_eq!(one.status(60), Some(Status::Dead(DeathCause::RefusesUs)));
        one
    };
    let mut one = lost();
    assert!(dials(&one.pass(100)).is_empty(), "who refused is not asked again soon");
    let Message::Peers(mut records) = record(60, 11, false) else { unreachable!() };
    records[0].addresses = vec![address(61)];
    one.receive(1, Message::Peers(records.clone()));
    let dialled = dials(&one.pass(1));
    assert_eq!(dialled.len(), 1);
    assert_eq!(one.status(60), Some(Status::Dead(DeathCause::RefusesUs)));
    let addresses = one.machine.member(NodeId(60)).map(|member| member.addresses.clone());
    assert_eq!(addresses, Some(vec![address(60), address(61)]), "what it said itself comes first");
    one.give(Input::DialFailed { attempt: dialled[0].0, refused: false });
    one.receive(1, Message::Peers(records));
    assert!(dials(&one.pass(1)).is_empty(), "the same news is no reason to dial again");

    let mut one = lost();
    let outputs = one.receive(1, record(60, 10, true));
    assert_eq!(events(&outputs), [MemberEvent::Left { node: NodeId(60), generation: 10 }]);
    assert_eq!(one.status(60), Some(Status::Left));
    let again = dials(&one.pass(60_000)).into_iter().filter(|(_, address)| address == "node60:7863");
    assert!(again.count() > 0, "others may be wrong");
    assert_eq!(closed(&one.inbound(3, identity(60))), []);
    assert!(events(&one.beat(3, true)).contains(&MemberEvent::Alive { node: NodeId(60), generation: 10 }));
}

/// What a member says of itself on its own link is no hearsay: where it listens now.
#[test]
fn a_member_tells_its_new_addresses_on_its_link() {
    let mut lan = Lan::new([1, 2, 3].map(identity));
    for node in [2, 3] {
        lan.give(node, Input::AddPeer(address(1)));
    }
    lan.pass(1_500);
    let known = |lan: &Lan, by: u64| {
        let member = lan.machines[&by].member(NodeId(3)).expect("a member");
        member.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(known(&lan, 2), ["node3:7863"]);
    lan.give(3, Input::SetAddresses(vec![address(30), address(31)]));
    for by in [1, 2] {
        let new: Vec<_> = known(&lan, by).into_iter().filter(|address| address != "node3:7863").collect();
        assert_eq!(new, ["node30:7863", "node31:7863"], "as node {by} knows it");
    }
    // Lost on the way, they are told again.
    lan.blocked.insert((3, 1));
    lan.give(3, Input::SetAddresses(vec![address(32)]));
    lan.blocked.clear();
    lan.pass(120_000);
    assert!(known(&lan, 1).contains(&"node32:7863".to_owned()));
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

/// The nodes besides itself that a peer is told of on a link.
fn told_of(outputs: &[Output], on: u64) -> Vec<(u64, bool)> {
    let records = |output: &Output| match output {
        Output::Send { link, message: Message::Peers(records) } if link.0 == on => {
            assert!(records.len() <= limits::PEERS_PER_MESSAGE);
            let others = records.iter().filter(|record| record.node != NodeId(ME));
            others.map(|record| (record.node.0, record.left)).collect()
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
    // Whoever still has a link to it believes nobody, and is told again once that is over.
    lan.pass(90_000);
    for (node, machine) in &lan.machines {
        let member = machine.member(NodeId(5)).expect("it is remembered");
        assert_eq!(member.status, Status::Left, "as node {node} sees it");
    }
}
