//! Members and their certificates are trusted, their programs need not be right: whatever comes, in whatever order, the
//! node goes on, within its bounds (INV-M11), and lets nobody in who may not be (INV-M5).

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use understudy_membership::{
    Address, Attempt, ClusterId, Direction, Echo, Facts, Fingerprint, Heartbeat, Identity, Input, LinkEnd,
    LinkId, Message, NodeId, Output, PeerRecord, Refusal, limits,
};

use super::one::{ME, One, identity};

/// A number that is small, close to another one, or the greatest there is.
fn number(rng: &mut Rng) -> u64 {
    match rng.u8(0..8) {
        0 => u64::MAX,
        1 => rng.u64(..),
        _ => rng.u64(0..40),
    }
}

fn time(rng: &mut Rng) -> Duration {
    if rng.u8(0..8) == 0 { Duration::MAX } else { Duration::from_millis(rng.u64(0..5_000)) }
}

fn addresses(rng: &mut Rng) -> Vec<Address> {
    (0..rng.usize(0..40)).map(|_| super::lan::address(rng.u64(0..200))).collect()
}

fn stranger(rng: &mut Rng) -> Identity {
    let node = if rng.u8(0..50) == 0 { ME } else { 100 + rng.u64(0..400) };
    Identity {
        fingerprint: Fingerprint([(node % 251) as u8; 32]),
        generation: number(rng),
        addresses: addresses(rng),
        cluster: ClusterId([if rng.u8(0..50) == 0 { 9 } else { 1 }; 16]),
        ..identity(node)
    }
}

fn message(rng: &mut Rng) -> Message {
    match rng.u8(0..10) {
        0 => Message::Leave { generation: number(rng) },
        1 => Message::Refuse(if rng.bool() { Refusal::DuplicateLink } else { Refusal::Full }),
        2 | 3 => {
            let facts = Facts::new(vec![7; rng.usize(0..100)]).expect("they are short");
            Message::Facts { version: number(rng), facts }
        }
        4 => Message::Peers(
            (0..rng.usize(0..200))
                .map(|_| {
                    let Identity { node, fingerprint, generation, addresses, .. } = stranger(rng);
                    PeerRecord { node, fingerprint, generation, addresses, left: rng.bool() }
                })
                .collect(),
        ),
        _ => Message::Heartbeat(Heartbeat {
            sequence: number(rng),
            generation: number(rng),
            facts_seen: number(rng),
            gave_up: number(rng),
            echo: rng.bool().then(|| Echo { sequence: number(rng), held: time(rng) }),
        }),
    }
}

fn input(rng: &mut Rng, links: u64) -> Input {
    let link = LinkId(rng.u64(0..=links));
    match rng.u8(0..20) {
        0..4 => {
            let direction = if rng.bool() { Direction::Inbound } else { Direction::Outbound };
            Input::LinkUp {
                link: LinkId(links),
                hello: stranger(rng),
                direction,
                attempt: Attempt(number(rng)),
            }
        }
        4 => Input::LinkDown { link, kind: LinkEnd::Reset },
        5 => Input::DialFailed { attempt: Attempt(number(rng)), refused: rng.bool() },
        6 if rng.bool() => Input::AddPeer(super::lan::address(rng.u64(0..500))),
        6 => Input::Discovered(super::lan::address(rng.u64(0..500))),
        7 => Input::Tick,
        _ => Input::Received { link, message: message(rng) },
    }
}

#[test]
fn whatever_comes_the_node_stays_within_its_bounds() {
    let revoked = Fingerprint([3; 32]);
    for seed in 0..3 {
        let mut rng = Rng::with_seed(seed);
        let mut one = One::new();
        one.give(Input::Revoked(revoked));
        let mut open = BTreeSet::new();
        for step in 0..1_500 {
            one.now = one.now.after(Duration::from_millis(rng.u64(0..60)));
            let input = input(&mut rng, step);
            if let Input::LinkUp { link, .. } = input {
                open.insert(link);
            }
            if let Input::LinkDown { link, .. } = input {
                open.remove(&link);
            }
            let outputs = one.give(input);
            let dials = outputs.iter().filter(|output| matches!(output, Output::Dial { .. })).count();
            assert!(dials <= limits::DIALS, "seed {seed}, step {step}");
            for output in &outputs {
                if let Output::CloseLink { link, .. } = output {
                    assert!(open.remove(link), "seed {seed}, step {step}: {link:?} is closed twice");
                }
            }
            let members: Vec<_> = one.machine.members().collect();
            assert!(members.len() <= limits::MEMBERS, "seed {seed}, step {step}");
            let links: BTreeSet<LinkId> = members.iter().filter_map(|member| member.link).collect();
            assert_eq!(links, open, "seed {seed}, step {step}");
            for member in members {
                assert!(member.addresses.len() <= limits::ADDRESSES, "seed {seed}, step {step}");
                assert!(
                    member.fingerprint != revoked && member.node != NodeId(ME),
                    "seed {seed}, step {step}"
                );
            }
        }
        one.pass(10_000);
    }
}
