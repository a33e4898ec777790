//! Who may be a member, and what the others are told.

use understudy_membership::{ClusterId, Fingerprint, Identity, Input, MemberEvent, NodeId, Refusal, Status};

use super::one::{ME, One, closed, events, identity, told};

/// INV-M1 to INV-M5: what is refused, with a word on the link and an event here.
#[test]
fn those_who_may_not_be_members_are_refused_and_told_why() {
    let other_cluster = Identity { cluster: ClusterId([2; 16]), ..identity(60) };
    let other_key = Identity { fingerprint: Fingerprint([9; 32]), ..identity(7) };
    let older = Identity { generation: 9, ..identity(7) };
    let copied = Identity { generation: 11, ..identity(ME) };
    let namesake = Identity { fingerprint: Fingerprint([9; 32]), ..identity(ME) };
    let too_old = Identity { protocol: 1..=2, ..identity(60) };
    let too_new = Identity { protocol: 5..=6, ..identity(60) };
    let nonsense = Identity { protocol: std::ops::RangeInclusive::new(9, 0), ..identity(60) };
    let protocol = |hello: &Identity| Refusal::Protocol { ours: 3..=4, theirs: hello.protocol.clone() };
    let cases = [
        (other_cluster, Refusal::OtherCluster, "leave that one first"),
        (other_key, Refusal::OtherKey(NodeId(7)), "let it join again"),
        (older, Refusal::OldGeneration { theirs: 9, known: 10 }, "restart it"),
        (copied, Refusal::SameNode(NodeId(ME)), "folder was copied"),
        (namesake, Refusal::SameNode(NodeId(ME)), "remove the cluster's folder"),
        (identity(66), Refusal::Revoked, "join again with a new key"),
        (too_old.clone(), protocol(&too_old), "update the node with the lower numbers"),
        (too_new.clone(), protocol(&too_new), "one version at a time"),
        (nonsense.clone(), protocol(&nonsense), "update"),
    ];
    for (hello, expected, words) in cases {
        let mut one = One::new();
        one.member(1, identity(7));
        one.give(Input::Revoked(Fingerprint([66; 32])));
        let node = hello.node;
        let outputs = one.inbound(2, hello);
        assert_eq!(closed(&outputs), [(2, expected.clone())]);
        assert_eq!(told(&outputs, 2), Some(expected.clone()));
        assert!(expected.to_string().contains(words), "{expected}");
        let event = MemberEvent::Refused { node, by_us: true, why: expected };
        assert_eq!(events(&outputs), [event]);
        assert_eq!(one.status(7), Some(Status::Alive), "the member that is there stays");
        assert_eq!(one.machine.members().count(), 1);
    }
}

/// INV-M4: versions next to each other work together, on the higher of those that both know.
#[test]
fn the_highest_common_version_is_spoken() {
    for (theirs, spoken) in [(3..=4, 4), (2..=3, 3), (4..=5, 4), (1..=9, 4), (3..=3, 3)] {
        let mut one = One::new();
        one.member(1, Identity { protocol: theirs.clone(), ..identity(60) });
        let member = one.machine.member(NodeId(60)).expect("a member");
        assert_eq!(member.protocol, spoken, "with {theirs:?}");
    }
}

/// INV-M3: two machines with one copied identity, of any generations, both learn of it.
#[test]
fn copies_of_one_node_refuse_each_other() {
    let copy = Identity { generation: 11, addresses: vec![super::lan::address(51)], ..identity(ME) };
    let (mut one, mut other) = (One::new(), One::new());
    other.machine = understudy_membership::Membership::new(other.now, Default::default(), copy.clone());
    for (node, hello) in [(&mut one, copy), (&mut other, identity(ME))] {
        let outputs = node.inbound(1, hello);
        assert_eq!(closed(&outputs), [(1, Refusal::SameNode(NodeId(ME)))]);
        assert_eq!(events(&outputs).len(), 1);
        assert_eq!(node.machine.members().count(), 0);
    }
}

/// INV-M5: a member whose key is revoked is one no more; neither a link nor hearsay brings it back.
#[test]
fn a_revoked_member_is_gone_for_good() {
    let mut one = One::new();
    one.member(1, identity(60));
    one.member(2, identity(7));
    let outputs = one.give(Input::Revoked(identity(60).fingerprint));
    assert_eq!(closed(&outputs), [(1, Refusal::Revoked)]);
    assert!(matches!(events(&outputs)[..], [MemberEvent::Dead { node: NodeId(60), .. }]));
    let outputs = one.inbound(3, Identity { generation: 99, ..identity(60) });
    assert_eq!(closed(&outputs), [(3, Refusal::Revoked)]);
    one.receive(2, super::hearsay::record(60, 100, false));
    assert_eq!(one.status(60), None);
}

/// INV-M5: a node that learns that its own key is revoked lets go of everybody.
#[test]
fn who_is_revoked_itself_stops() {
    let mut one = One::new();
    one.member(1, identity(60));
    let outputs = one.give(Input::Revoked(identity(ME).fingerprint));
    assert_eq!(closed(&outputs), [(1, Refusal::Revoked)]);
    assert_eq!(one.machine.next_wake(), None);
    assert_eq!(closed(&one.inbound(2, identity(7))), [(2, Refusal::Left)]);
}

/// What the other end says is told as it is, and not asked again soon.
#[test]
fn a_refusal_by_the_other_end_is_told_here() {
    let mut one = One::new();
    one.inbound(1, identity(60));
    let why = Refusal::OldGeneration { theirs: 10, known: 12 };
    let outputs = one.receive(1, understudy_membership::Message::Refuse(why.clone()));
    assert_eq!(events(&outputs), [MemberEvent::Refused { node: NodeId(60), by_us: false, why }]);
    assert_eq!(one.status(60), Some(Status::Known), "it was never heard to accept, so it never joined");
    assert!(super::one::dials(&one.pass(10_000)).is_empty());
}
