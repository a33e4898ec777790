//! When whom is dialled.

use std::collections::BTreeMap;
use std::time::Duration;

use understudy_membership::{
    Attempt, Direction, Input, LinkEnd, LinkId, MembershipConfig, Message, PeerRecord, limits,
};

use super::lan::address;
use super::one::{One, dials, identity};

/// Pauses double up to the longest, half of each at least is kept, and a seed draws them.
#[test]
fn pauses_between_dials_grow_and_are_drawn_from_the_seed() {
    let pauses = |seed: u64| {
        let mut one = One::with(MembershipConfig { seed, ..Default::default() });
        one.give(Input::AddPeer(address(60)));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let before = one.now;
            let mut outputs = Vec::new();
            while dials(&outputs).is_empty() {
                outputs = one.pass(1);
            }
            pauses.push(one.now.since(before));
            let attempt = dials(&outputs)[0].0;
            one.give(Input::DialFailed { attempt, refused: true });
        }
        pauses
    };
    let drawn = pauses(1);
    let longest = MembershipConfig::default().dial_most;
    for (index, pause) in drawn.iter().enumerate().skip(1) {
        let full = Duration::from_millis(250).saturating_mul(1 << (index - 1)).min(longest);
        assert!(*pause >= full / 2 && *pause <= full + Duration::from_millis(2), "pause {index}: {pause:?}");
    }
    assert_eq!(drawn, pauses(1));
    assert_ne!(drawn, pauses(2));
}

/// A dial that is never answered has failed at the time-out, and late answers are taken all the same.
#[test]
fn dials_without_an_answer_end() {
    let mut one = One::new();
    one.give(Input::AddPeer(address(60)));
    let first = dials(&one.pass(1));
    assert!(dials(&one.pass(4_900)).is_empty(), "one at a time");
    let second = dials(&one.pass(1_000));
    assert_eq!((first.len(), second.len()), (1, 1));
    let (link, hello, attempt) = (LinkId(1), identity(60), first[0].0);
    one.give(Input::LinkUp { link, hello, direction: Direction::Outbound, attempt });
    one.beat(1, true);
    assert!(one.machine.members().any(|member| member.link == Some(link)));
}

/// Addresses of a member are tried in turn, and the one that worked comes first from then on.
#[test]
fn addresses_are_tried_in_turn() {
    let mut one = One::new();
    one.member(1, identity(7));
    let addresses = vec![address(61), address(62)];
    let fingerprint = identity(60).fingerprint;
    let node = identity(60).node;
    let record = PeerRecord { node, fingerprint, generation: 10, addresses, left: false };
    one.receive(1, Message::Peers(vec![record]));
    let mut tried = Vec::new();
    while tried.len() < 3 {
        for (attempt, address) in dials(&one.pass(10)) {
            tried.push((attempt, address));
            one.give(Input::DialFailed { attempt, refused: false });
        }
        one.beat(1, true);
    }
    let names: Vec<&str> = tried.iter().map(|(_, address)| address.as_str()).collect();
    assert_eq!(names, ["node61:7863", "node62:7863", "node61:7863"]);
}

/// INV-M11: dials under way have a bound; the others come when there is room.
#[test]
fn only_so_many_dials_are_under_way() {
    let mut one = One::new();
    for node in 100..100 + 2 * limits::DIALS as u64 {
        one.give(Input::AddPeer(address(node)));
    }
    let first = dials(&one.pass(1));
    assert_eq!(first.len(), limits::DIALS);
    let refused = true;
    let attempts: Vec<Attempt> = first.iter().map(|(attempt, _)| *attempt).collect();
    attempts.into_iter().for_each(|attempt| {
        one.give(Input::DialFailed { attempt, refused });
    });
    let second = dials(&one.pass(1));
    assert_eq!(second.len(), limits::DIALS);
    assert!(second.iter().all(|(_, address)| first.iter().all(|(_, other)| other != address)));
}

/// The addresses that are dialled within so many milliseconds, all in vain, with how often each was.
fn dialled_in_vain(one: &mut One, millis: u64) -> BTreeMap<String, usize> {
    let mut dialled = BTreeMap::new();
    for _ in 0..millis / 50 {
        for (attempt, address) in dials(&one.pass(50)) {
            *dialled.entry(address).or_insert(0) += 1;
            one.give(Input::DialFailed { attempt, refused: true });
        }
    }
    dialled
}

/// INV-M11: whatever is announced, what people gave is dialled, and so is an announcement that comes late.
#[test]
fn announcements_keep_no_address_out() {
    let mut one = One::new();
    for node in 1_000..1_500 {
        one.give(Input::Discovered(address(node)));
    }
    one.give(Input::AddPeer(address(60)));
    assert!(dialled_in_vain(&mut one, 5_000).contains_key("node60:7863"));
    one.give(Input::Discovered(address(61)));
    assert!(dialled_in_vain(&mut one, 5_000).contains_key("node61:7863"), "it takes a failed one's place");
}

/// An address that people gave is dialled for ever, a discovered one a few times only, unless people give it too.
#[test]
fn only_what_people_gave_is_dialled_for_ever() {
    let mut one = One::new();
    one.give(Input::AddPeer(address(60)));
    for node in [61, 62] {
        one.give(Input::Discovered(address(node)));
    }
    one.give(Input::AddPeer(address(62)));
    let early = dialled_in_vain(&mut one, 120_000);
    assert_eq!(early.get("node61:7863"), Some(&(limits::DISCOVERED_TRIES as usize)));
    let late = dialled_in_vain(&mut one, 120_000);
    let names: Vec<&str> = late.keys().map(String::as_str).collect();
    assert_eq!(names, ["node60:7863", "node62:7863"]);
    one.give(Input::Discovered(address(61)));
    assert!(dialled_in_vain(&mut one, 1_000).contains_key("node61:7863"), "announced again, tried again");
}

/// A member that is lost is dialled at once, however many addresses wait.
#[test]
fn members_are_dialled_before_addresses() {
    let mut one = One::new();
    one.member(1, identity(60));
    for node in 1_000..1_060 {
        one.give(Input::AddPeer(address(node)));
    }
    one.now = one.now.after(Duration::from_millis(100));
    one.give(Input::LinkDown { link: LinkId(1), kind: LinkEnd::Reset });
    let first = dials(&one.give(Input::Tick));
    assert_eq!(first.len(), limits::DIALS);
    assert_eq!(first[0].1, "node60:7863");
}
