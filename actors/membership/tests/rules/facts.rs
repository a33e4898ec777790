//! INV-M10: facts of a newer version or start take the place of older ones, never the other way.

use std::time::Duration;

use understudy_membership::{
    Echo, Facts, Heartbeat, Identity, Input, MemberEvent, Message, NodeId, Output, limits,
};

use super::one::{One, events, identity};

fn facts(text: &str) -> Facts {
    Facts::new(text).expect("they are short")
}

fn told(version: u64, text: &str) -> Message {
    Message::Facts { version, facts: facts(text) }
}

/// The versions of own facts that go out.
fn sent(outputs: &[Output]) -> Vec<u64> {
    let version = |output: &Output| match output {
        Output::Send { message: Message::Facts { version, .. }, .. } => Some(*version),
        _ => None,
    };
    outputs.iter().filter_map(version).collect()
}

#[test]
fn only_newer_facts_are_taken() {
    let mut one = One::new();
    one.member(1, identity(60));
    let cases = [(2, "b", "b"), (1, "a", "b"), (2, "x", "b"), (5, "e", "e"), (4, "d", "e")];
    for (version, text, kept) in cases {
        let outputs = one.receive(1, told(version, text));
        let member = one.machine.member(NodeId(60)).expect("a member");
        assert_eq!(member.facts, facts(kept), "after version {version}");
        let changed = MemberEvent::FactsChanged { node: NodeId(60), generation: 10, version };
        let expected = if text == kept { vec![changed] } else { vec![] };
        assert_eq!(events(&outputs), expected, "after version {version}");
    }
    one.inbound(2, Identity { generation: 11, ..identity(60) });
    let member = one.machine.member(NodeId(60)).expect("a member");
    assert_eq!((member.facts_version, &member.facts), (0, &Facts::default()), "a new start begins anew");
    one.receive(2, told(1, "f"));
    assert_eq!(one.machine.member(NodeId(60)).map(|member| member.facts.clone()), Some(facts("f")));
}

/// Facts go out with a link, at once when they change, at most once a tick, and always in the end.
#[test]
fn own_facts_are_sent_when_they_change_and_not_too_often() {
    let mut one = One::new();
    assert!(sent(&one.inbound(9, identity(8))).is_empty(), "there are none yet");
    one.give(Input::SetFacts(facts("a")));
    assert_eq!(sent(&one.inbound(1, identity(60))), [1]);
    one.pass(300);
    assert_eq!(sent(&one.give(Input::SetFacts(facts("b")))), [2, 2]);
    for text in ["c", "d", "e"] {
        assert!(sent(&one.give(Input::SetFacts(facts(text)))).is_empty(), "others went out just now");
    }
    assert_eq!(sent(&one.pass(250)), [5, 5]);
    assert!(sent(&one.pass(500)).is_empty());
}

/// What a peer says that it has not got is sent again.
#[test]
fn lost_facts_are_sent_again() {
    let mut one = One::new();
    one.give(Input::SetFacts(facts("a")));
    one.member(1, identity(60));
    for (sequence, facts_seen, expected) in [(101, 0, vec![1]), (102, 0, vec![]), (103, 1, vec![])] {
        if sequence != 102 {
            one.pass(1_000);
        }
        let echo = Some(Echo { sequence: 1, held: Duration::ZERO });
        let beat = Heartbeat { sequence, generation: 10, facts_seen, gave_up: 0, echo };
        assert_eq!(sent(&one.receive(1, Message::Heartbeat(beat))), expected, "heartbeat {sequence}");
    }
}

/// INV-M11: facts have a bound in their type.
#[test]
fn facts_have_a_bound() {
    assert!(Facts::new(vec![0; limits::FACTS_BYTES]).is_ok());
    let error = Facts::new(vec![0; limits::FACTS_BYTES + 1]).expect_err("one byte too many");
    assert_eq!(error.bytes, limits::FACTS_BYTES + 1);
}
