//! One live start of each node, and one link to it.

use understudy_membership::{
    Attempt, DeathCause, Direction, Identity, Input, LinkEnd, LinkId, MemberEvent, Message, NodeId, Output,
    Refusal, Status,
};

use super::one::{ME, One, closed, events, identity};

fn up(one: &mut One, link: u64, node: u64, direction: Direction, attempt: u64) -> Vec<(u64, Refusal)> {
    let (link, hello, attempt) = (LinkId(link), identity(node), Attempt(attempt));
    closed(&one.give(Input::LinkUp { link, hello, direction, attempt }))
}

/// INV-M1: a newer start takes the place of the older, whose link is closed and whose work is lost.
#[test]
fn a_newer_start_replaces_the_older() {
    let mut one = One::new();
    one.member(1, identity(60));
    let outputs = one.inbound(2, Identity { generation: 11, ..identity(60) });
    assert_eq!(closed(&outputs), [(1, Refusal::OldGeneration { theirs: 10, known: 11 })]);
    let [MemberEvent::Dead { node: NodeId(60), generation: 10, why: DeathCause::Replaced, .. }] =
        events(&outputs)[..]
    else {
        panic!("{:?}", events(&outputs));
    };
    let joined = events(&one.beat(2, true));
    assert_eq!(joined, [MemberEvent::Joined { node: NodeId(60), generation: 11 }]);
    let link = one.machine.member(NodeId(60)).and_then(|member| member.link);
    assert_eq!(link, Some(LinkId(2)));
    assert!(events(&one.beat(1, true)).is_empty(), "the old link is nobody's");
}

/// INV-M9: of links that cross, that of the smaller id stays; of two of one dialler the later. In
/// any order of coming up, and so at both ends.
#[test]
fn of_two_links_both_ends_keep_the_same() {
    use Direction::{Inbound, Outbound};
    // Each end sees the other's inbound link as its outbound one. The peer's id is greater than
    // this node's, or smaller.
    let cases = [
        (60, (Outbound, 5), (Inbound, 9), 1),
        (60, (Inbound, 1), (Outbound, 2), 2),
        (7, (Outbound, 5), (Inbound, 9), 2),
        (7, (Inbound, 5), (Outbound, 9), 1),
        (60, (Outbound, 5), (Outbound, 6), 2),
        (7, (Inbound, 8), (Inbound, 3), 1),
    ];
    for (peer, first, second, stays) in cases {
        for is_swapped in [false, true] {
            let mut one = One::new();
            let mut links = [(1, first), (2, second)];
            if is_swapped {
                links.reverse();
            }
            let mut gone = Vec::new();
            for (link, (direction, attempt)) in links {
                gone.extend(up(&mut one, link, peer, direction, attempt));
            }
            let case = format!("peer {peer}, {first:?} and {second:?}, swapped: {is_swapped}");
            assert_eq!(gone, [(3 - stays, Refusal::DuplicateLink)], "{case}");
            let link = one.machine.member(NodeId(peer)).and_then(|member| member.link);
            assert_eq!(link, Some(LinkId(stays)), "{case}");
        }
    }
}

/// INV-M9: a link whose other end may have lost it does not keep a new one out.
#[test]
fn a_quiet_link_gives_way() {
    let mut one = One::new();
    up(&mut one, 1, 60, Direction::Outbound, 1);
    one.beat(1, true);
    one.pass(900);
    assert_eq!(up(&mut one, 2, 60, Direction::Inbound, 1), [(2, Refusal::DuplicateLink)]);
    one.pass(200);
    assert_eq!(up(&mut one, 3, 60, Direction::Inbound, 2), [(1, Refusal::DuplicateLink)]);
}

/// INV-M15: who was held for dead learns it with the next heartbeat, once, whether the refusal came or was lost; a link
/// that breaks and is made anew says nothing of the kind.
#[test]
fn who_was_given_up_is_told_so_once() {
    let refused: fn(&mut One) = |one| {
        one.receive(1, Message::Refuse(Refusal::Silent));
    };
    let broken: fn(&mut One) = |one| {
        one.give(Input::LinkDown { link: LinkId(1), kind: LinkEnd::Reset });
    };
    let nothing: fn(&mut One) = |_| {};
    for (case, before) in [("refused", refused), ("broken", broken), ("nothing came", nothing)] {
        let mut one = One::new();
        let gave_up = MemberEvent::GaveUp { node: NodeId(60), generation: 10 };
        let told = |outputs: &[Output]| events(outputs).iter().filter(|event| **event == gave_up).count();
        one.inbound(1, identity(60));
        assert_eq!(told(&one.beat(1, true)), 0, "{case}");
        before(&mut one);
        assert_eq!(told(&one.inbound(2, identity(60))), 0, "{case}");
        assert_eq!(told(&one.beat(2, true)), 0, "{case}: it did not give this node up");
        before(&mut one);
        one.inbound(3, identity(60));
        assert_eq!(told(&one.beat_of(3, true, 1)), 1, "{case}");
        assert_eq!(told(&one.beat_of(3, true, 1)), 0, "{case}: it has said so before");
        assert_eq!(told(&one.beat_of(3, true, 3)), 1, "{case}: it did so again");
        assert_eq!(told(&one.beat_of(3, true, 1)), 1, "{case}: it had forgotten this node, and gave it up");
    }
}

/// INV-M15, the other side: each death is counted in what is said to whoever died.
#[test]
fn those_who_are_given_up_are_counted() {
    let mut one = One::new();
    let said = |outputs: &[Output]| -> Vec<u64> {
        let beat = |output: &Output| match output {
            Output::Send { message: Message::Heartbeat(beat), .. } => Some(beat.gave_up),
            _ => None,
        };
        outputs.iter().filter_map(beat).collect()
    };
    for link in 1..4 {
        assert_eq!(said(&one.inbound(link, identity(60))), [link - 1]);
        one.beat(link, true);
        one.pass(3_500);
        assert!(matches!(one.status(60), Some(Status::Dead(_))));
    }
    let newer = Identity { generation: 11, ..identity(60) };
    assert_eq!(said(&one.inbound(4, newer)), [0], "another start was never given up");
}

/// The closing of a duplicate says nothing bad of the member, on either end.
#[test]
fn losing_a_duplicate_is_no_suspicion() {
    let mut one = One::new();
    one.member(1, identity(60));
    let outputs = one.receive(1, Message::Refuse(Refusal::DuplicateLink));
    assert_eq!(events(&outputs), []);
    assert_eq!(events(&one.give(Input::LinkDown { link: LinkId(1), kind: LinkEnd::Ended })), []);
    assert_eq!(one.status(60), Some(Status::Alive));
    one.member(2, identity(60));
    assert_eq!(events(&one.pass(900)), []);
}

/// A hello alone is no sign that the other end accepts: it is a member once it has spoken.
#[test]
fn a_member_joins_with_its_first_word() {
    let mut one = One::new();
    assert_eq!(events(&one.inbound(1, identity(60))), []);
    assert_eq!(one.status(60), Some(Status::Known));
    let outputs = one.pass(3_000);
    assert_eq!(events(&outputs), []);
    assert_eq!(closed(&outputs), [(1, Refusal::Silent)], "a link without a word is given up");
    one.inbound(2, identity(60));
    let joined = MemberEvent::Joined { node: NodeId(60), generation: 10 };
    assert_eq!(events(&one.beat(2, true)), [joined]);
}

/// Leaving tells everybody, closes everything, and is the end.
#[test]
fn leaving_is_said_and_final() {
    let mut one = One::new();
    one.member(1, identity(60));
    one.member(2, identity(7));
    let outputs = one.give(Input::Leave);
    let said = outputs
        .iter()
        .filter(|output| matches!(output, Output::Send { message: Message::Leave { generation: 10 }, .. }));
    assert_eq!(said.count(), 2);
    let mut gone = closed(&outputs);
    gone.sort_by_key(|(link, _)| *link);
    assert_eq!(gone, [(1, Refusal::Left), (2, Refusal::Left)]);
    assert_eq!(one.machine.next_wake(), None);
    assert_eq!(closed(&one.inbound(3, identity(8))), [(3, Refusal::Left)]);
}

/// Dialling one of its own addresses is no fault, and is not done again.
#[test]
fn a_node_that_reaches_itself_gives_the_address_up() {
    let mut one = One::new();
    one.give(Input::AddPeer(super::lan::address(ME)));
    let outputs = one.pass(1);
    let attempt = super::one::dials(&outputs)[0].0;
    let (link, hello, direction) = (LinkId(1), identity(ME), Direction::Outbound);
    let outputs = one.give(Input::LinkUp { link, hello, direction, attempt });
    assert_eq!(closed(&outputs), [(1, Refusal::Itself)]);
    assert_eq!(events(&outputs), []);
    assert!(super::one::dials(&one.pass(100_000)).is_empty());
}
