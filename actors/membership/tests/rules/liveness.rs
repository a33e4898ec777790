//! Alive, suspect, dead: by silence, by broken links, by what the other end hears.

use std::time::Duration;

use understudy_membership::{
    DeathCause, Detector, Echo, Heartbeat, Input, LinkEnd, LinkId, MemberEvent, MembershipConfig, Message,
    NodeId, Now, Output, Refusal, Status, Suspicion,
};

use super::lan::{Lan, address};
use super::one::{One, closed, dials, events, identity};

const NODE: NodeId = NodeId(60);

fn suspect(why: Suspicion) -> MemberEvent {
    MemberEvent::Suspect { node: NODE, generation: 10, why }
}

/// INV-M6: 1 s of silence is suspect, 3 s are death, and not a millisecond earlier.
#[test]
fn silence_becomes_suspicion_and_then_death() {
    let cases = [
        (999, Status::Alive, true),
        (1_000, Status::Suspect(Suspicion::Silent), true),
        (2_999, Status::Suspect(Suspicion::Silent), true),
        (3_000, Status::Dead(DeathCause::Silent), false),
    ];
    for (millis, expected, is_usable) in cases {
        let mut one = One::new();
        one.member(1, identity(60));
        let outputs = one.pass(millis);
        assert_eq!(one.status(60), Some(expected.clone()), "after {millis} ms");
        assert_eq!(one.machine.member(NODE).map(|member| member.is_usable()), Some(is_usable));
        let gone = if is_usable { vec![] } else { vec![(1, Refusal::Silent)] };
        assert_eq!(closed(&outputs), gone, "after {millis} ms");
    }
}

/// INV-M6: a suspect is alive with the next word, a dead one with the first on a new link.
#[test]
fn whoever_is_heard_again_is_alive_again() {
    let alive = MemberEvent::Alive { node: NODE, generation: 10 };
    let mut one = One::new();
    one.member(1, identity(60));
    one.pass(1_500);
    let facts = Message::Facts { version: 1, facts: Default::default() };
    assert_eq!(events(&one.receive(1, facts))[0], alive, "any word will do");
    one.pass(3_500);
    assert_eq!(one.status(60), Some(Status::Dead(DeathCause::Silent)));
    one.inbound(2, identity(60));
    assert_eq!(events(&one.beat(2, true)), [alive]);
}

/// A word of another start on a link is no sign of life of this one.
#[test]
fn a_heartbeat_of_another_start_does_not_count() {
    let mut one = One::new();
    one.member(1, identity(60));
    one.pass(900);
    let beat = Heartbeat { sequence: 9, generation: 9, facts_seen: 0, gave_up: 0, echo: None };
    one.receive(1, Message::Heartbeat(beat));
    one.pass(200);
    assert_eq!(one.status(60), Some(Status::Suspect(Suspicion::Silent)));
}

/// INV-M7: a broken link is suspect at once and dead at the first refusal or after the grace; one
/// that was stopped here says nothing of the other end.
#[test]
fn a_broken_link_is_death_within_50_ms_unless_there_is_a_new_one() {
    for kind in [LinkEnd::Ended, LinkEnd::Reset, LinkEnd::Stopped] {
        let start = || {
            let mut one = One::new();
            one.member(1, identity(60));
            let outputs = one.give(Input::LinkDown { link: LinkId(1), kind });
            assert_eq!(events(&outputs), [suspect(Suspicion::Disconnected)], "{kind:?}");
            assert!(!one.machine.member(NODE).is_some_and(|member| member.is_usable()));
            let outputs = one.pass(1);
            assert_eq!(dials(&outputs)[0].1, "node60:7863", "{kind:?}: dialled at once");
            (one, dials(&outputs)[0].0)
        };
        let dies = kind != LinkEnd::Stopped;
        let dead = Status::Dead(DeathCause::Disconnected);
        let is_dead = |one: &One| one.status(60) == Some(dead.clone());

        let (mut one, _) = start();
        one.pass(48);
        assert_eq!(is_dead(&one), dies, "{kind:?}, after 49 ms without an answer");

        let (mut one, attempt) = start();
        one.give(Input::DialFailed { attempt, refused: true });
        assert_eq!(is_dead(&one), dies, "{kind:?}, refused");

        let (mut one, attempt) = start();
        one.give(Input::DialFailed { attempt, refused: false });
        assert!(!is_dead(&one), "{kind:?}: no route is no refusal");

        let (mut one, _) = start();
        one.inbound(2, identity(60));
        let outputs = one.beat(2, true);
        assert_eq!(events(&outputs), [MemberEvent::Alive { node: NODE, generation: 10 }], "{kind:?}");
        one.pass(900);
        assert_eq!(one.status(60), Some(Status::Alive), "{kind:?}");
    }
}

/// A killed process is seen at once by all, and comes back as a new start.
#[test]
fn a_killed_node_is_dead_at_once_for_everyone() {
    let mut lan = Lan::new([1, 2, 3].map(identity));
    for node in [2, 3] {
        lan.give(node, Input::AddPeer(address(1)));
    }
    lan.pass(1_500);
    lan.kill(3);
    lan.pass(45);
    for node in [1, 2] {
        let member = lan.machines[&node].member(NodeId(3)).expect("it is remembered");
        assert_eq!(member.status, Status::Dead(DeathCause::Disconnected), "as node {node} sees it");
    }
}

/// INV-M8: one-way cuts. The node that is not heard learns it from heartbeats, is suspect of it
/// after 1 s and sends no work after 3 s; once heard again all is well.
#[test]
fn a_member_that_does_not_hear_us_says_so() {
    let mut one = One::new();
    one.member(1, identity(60));
    let mut sequence = 100;
    let mut hear = |one: &mut One, held: u64| {
        sequence += 1;
        let echo = Some(Echo { sequence: 1, held: Duration::from_millis(held) });
        let beat = Heartbeat { sequence, generation: 10, facts_seen: 0, gave_up: 0, echo };
        one.receive(1, Message::Heartbeat(beat))
    };
    let cases = [
        (250, Status::Alive, true),
        (1_000, Status::Suspect(Suspicion::NotHeard), true),
        (2_750, Status::Suspect(Suspicion::NotHeard), true),
        (3_000, Status::Suspect(Suspicion::Deaf), false),
        (0, Status::Alive, true),
    ];
    let mut passed = 0;
    for (held, expected, is_usable) in cases {
        while passed < held {
            one.pass(250);
            passed += 250;
            hear(&mut one, passed);
        }
        hear(&mut one, held);
        assert_eq!(one.status(60), Some(expected), "not heard for {held} ms");
        assert_eq!(one.machine.member(NODE).map(|member| member.is_usable()), Some(is_usable));
    }
}

/// INV-M8: in a one-way cut both ends come to know, and both are well after it.
#[test]
fn a_one_way_cut_is_seen_from_both_ends() {
    let mut lan = Lan::new([1, 2].map(identity));
    lan.give(2, Input::AddPeer(address(1)));
    lan.pass(1_000);
    lan.blocked.insert((1, 2));
    lan.pass(2_000);
    let status = |lan: &Lan, of: u64, by: u64| {
        lan.machines[&by].member(NodeId(of)).map(|member| member.status.clone())
    };
    assert_eq!(status(&lan, 2, 1), Some(Status::Suspect(Suspicion::NotHeard)), "1 hears and is not heard");
    assert_eq!(status(&lan, 1, 2), Some(Status::Suspect(Suspicion::Silent)), "2 hears nothing");
    lan.pass(8_000);
    assert!(matches!(status(&lan, 2, 1), Some(Status::Dead(_))));
    assert!(matches!(status(&lan, 1, 2), Some(Status::Dead(_))));
    lan.blocked.clear();
    lan.pass(32_000);
    assert_eq!(status(&lan, 2, 1), Some(Status::Alive));
    assert_eq!(status(&lan, 1, 2), Some(Status::Alive));
}

/// INV-M13: after a sleep nobody is dead for not having been heard in it; who is silent then, is.
#[test]
fn a_node_that_slept_blames_nobody_for_it() {
    let phi = Detector::Phi { suspect: 3.0, dead: 8.0, window: 20, min_deviation: Duration::from_millis(50) };
    for detector in [Detector::Fixed, phi] {
        let mut one = One::with(MembershipConfig { detector, ..Default::default() });
        one.member(1, identity(60));
        one.member(2, identity(7));
        for _ in 0..20 {
            one.pass(250);
            one.beat(1, true);
            one.beat(2, true);
        }
        one.now = one.now.after(Duration::from_secs(60));
        let outputs = one.give(Input::Tick);
        assert_eq!(events(&outputs), []);
        for _ in 0..4 {
            one.pass(250);
            one.beat(1, true);
        }
        assert_eq!(one.status(60), Some(Status::Alive));
        for _ in 0..12 {
            one.pass(250);
            one.beat(1, true);
        }
        assert_eq!(one.status(7), Some(Status::Dead(DeathCause::Silent)));
        assert_eq!(one.status(60), Some(Status::Alive));
    }
}

/// While one sleeps the others see it dead, and take it back when it wakes.
#[test]
fn others_see_a_sleeper_dead_and_take_it_back() {
    let mut lan = Lan::new([1, 2, 3].map(identity));
    for node in [2, 3] {
        lan.give(node, Input::AddPeer(address(1)));
    }
    lan.pass(1_500);
    let frozen = lan.machines.remove(&3).expect("it runs");
    lan.pass(3_500);
    for node in [1, 2] {
        let status = lan.machines[&node].member(NodeId(3)).map(|member| member.status.clone());
        assert_eq!(status, Some(Status::Dead(DeathCause::Silent)), "as node {node} sees it");
    }
    lan.pass(56_500);
    lan.machines.insert(3, frozen);
    lan.events.clear();
    lan.pass(35_000);
    for node in [1, 2] {
        let status = lan.machines[&node].member(NodeId(3)).map(|member| member.status.clone());
        assert_eq!(status, Some(Status::Alive), "as node {node} sees it");
    }
    let all_alive = lan.machines[&3].members().all(|member| member.status == Status::Alive);
    assert!(all_alive);
}

/// The round trip is measured on this node's clock alone, without the time that the other end held the echo.
#[test]
fn heartbeats_measure_the_round_trip() {
    let mut one = One::new();
    let outputs = one.inbound(1, identity(60));
    let sent = outputs.iter().find_map(|output| match output {
        Output::Send { message: Message::Heartbeat(beat), .. } => Some(beat.sequence),
        _ => None,
    });
    one.now = one.now.after(Duration::from_millis(180));
    let echo = Some(Echo { sequence: sent.expect("a first heartbeat"), held: Duration::from_millis(150) });
    one.receive(
        1,
        Message::Heartbeat(Heartbeat { sequence: 1, generation: 10, facts_seen: 0, gave_up: 0, echo }),
    );
    let member = one.machine.member(NODE).expect("a member");
    assert_eq!(member.round_trip, Some(Duration::from_millis(30)));
}

/// Nobody's clock but this node's matters: a node whose clock is hours off is as alive as any.
#[test]
fn clocks_of_others_do_not_matter() {
    let mut late = One::new();
    late.now = Now(Duration::from_secs(7_200));
    late.machine = understudy_membership::Membership::new(late.now, Default::default(), identity(50));
    late.member(1, identity(60));
    late.pass(900);
    assert_eq!(late.status(60), Some(Status::Alive));
}
