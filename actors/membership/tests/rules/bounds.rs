//! INV-M11: what a peer can make grow, and what happens when it is full.

use std::time::Duration;

use understudy_membership::{
    Address, Fingerprint, Identity, Input, MemberEvent, MembershipConfig, Message, NodeId, PeerRecord,
    Refusal, Status, limits,
};

use super::lan::address;
use super::one::{One, closed, events, identity};

/// Peers of these tests have ids beyond those of others.
fn many(index: usize) -> Identity {
    let node = 1_000 + index as u64;
    let mut fingerprint = [1; 32];
    fingerprint[..8].copy_from_slice(&node.to_be_bytes());
    Identity { node: NodeId(node), fingerprint: Fingerprint(fingerprint), ..identity(60) }
}

fn record(index: usize) -> PeerRecord {
    let Identity { node, fingerprint, generation, .. } = many(index);
    PeerRecord { node, fingerprint, generation, addresses: vec![address(1)], left: false }
}

#[test]
fn a_full_cluster_refuses_newcomers_and_stays() {
    let mut one = One::new();
    for index in 0..limits::MEMBERS {
        one.member(index as u64, many(index));
    }
    let outputs = one.inbound(9_999, many(9_999));
    assert_eq!(closed(&outputs), [(9_999, Refusal::Full)]);
    assert!(matches!(events(&outputs)[..], [MemberEvent::Refused { by_us: true, .. }]));
    assert_eq!(one.machine.members().count(), limits::MEMBERS);
    one.receive(0, Message::Peers(vec![record(9_998)]));
    assert_eq!(one.machine.members().count(), limits::MEMBERS);
}

#[test]
fn a_newcomer_takes_the_place_of_who_is_only_heard_of() {
    let mut one = One::new();
    one.member(1, identity(60));
    for part in 0..5 {
        let records = (0..limits::PEERS_PER_MESSAGE).map(|index| record(part * 100 + index)).collect();
        one.receive(1, Message::Peers(records));
    }
    assert_eq!(one.machine.members().count(), limits::MEMBERS, "more are ignored");
    one.member(2, identity(61));
    assert_eq!(one.status(61), Some(Status::Alive));
    assert_eq!(one.status(60), Some(Status::Alive));
    assert_eq!(one.machine.members().count(), limits::MEMBERS);
}

#[test]
fn lists_and_names_are_cut() {
    let mut one = One::new();
    let addresses: Vec<Address> = (0..100).map(address).collect();
    one.member(1, Identity { name: "ä".repeat(1_000), addresses: addresses.clone(), ..identity(60) });
    let member = one.machine.member(NodeId(60)).expect("a member");
    assert_eq!(member.addresses.len(), limits::ADDRESSES);
    assert_eq!(member.name.len(), limits::NAME_BYTES);
    let mut records: Vec<PeerRecord> = (0..1_000).map(record).collect();
    records[0].addresses = addresses;
    one.receive(1, Message::Peers(records));
    assert_eq!(one.machine.members().count(), 1 + limits::PEERS_PER_MESSAGE);
    let most = one.machine.members().map(|member| member.addresses.len()).max();
    assert_eq!(most, Some(limits::ADDRESSES));
}

#[test]
fn an_address_has_a_host_a_port_and_an_end() {
    let long = format!("{}:1", "h".repeat(limits::ADDRESS_BYTES));
    for (text, is_one) in [
        ("10.0.0.1:7863", true),
        ("[fe80::1]:7863", true),
        ("mac.local:1", true),
        ("mac.local", false),
        (":7863", false),
        ("mac.local:0", false),
        ("mac.local:77777", false),
        ("", false),
        (&long, false),
    ] {
        assert_eq!(Address::new(text).is_ok(), is_one, "{text}");
    }
}

/// Times that contradict each other do not make a node spin, or declare the living dead.
#[test]
fn times_without_sense_are_raised() {
    let zero = Duration::ZERO;
    let config = MembershipConfig {
        tick: zero,
        suspect: zero,
        dead: zero,
        dial_first: zero,
        dial_most: zero,
        dial_timeout: zero,
        ..MembershipConfig::default()
    };
    let mut one = One::with(config);
    one.give(Input::AddPeer(address(61)));
    one.member(1, identity(60));
    for _ in 0..100 {
        let outputs = one.pass(5);
        assert!(outputs.len() < 20, "{outputs:?}");
        one.beat(1, true);
        assert_eq!(one.status(60), Some(Status::Alive));
    }
}
