//! What a reader is told besides the text: whose it is, where its tokens come from, what drafts and validators came to.
//! What is true of every answer (INV-L9, INV-L10) is checked where answers are listened to.

use Origin::{Accepted, Forced, Written};
use understudy_backend::fake::FakeBackend;
use understudy_engine::pace::Pace;
use understudy_router::{AnswerEvent, AnswerRequest, DecisionKind, Origin, Pattern, ValidatorSpec, Verdict};

use crate::told::{Told, ask, ask_for, question, says, sure, unsure};

/// Text and where it comes from.
type Piece = (Origin, &'static str);

/// Passes that cost hardly more with many rows.
fn flat(backend: FakeBackend, seconds: f64) -> FakeBackend {
    backend.paced(Pace::measured([(1, seconds), (16, seconds * 1.1)]))
}

fn regex(pattern: &str) -> Pattern {
    Pattern::Regex(pattern.into())
}

fn held_to(policy: &str, pattern: &str) -> AnswerRequest {
    AnswerRequest { constraint: Some(regex(pattern)), ..question(policy) }
}

/// Segments as they were told.
fn segments(told: &Told) -> Vec<(&str, usize, &str)> {
    let mut segments = Vec::new();
    for event in &told.events {
        if let AnswerEvent::Segment { author, start, why } = event {
            segments.push((author.as_str(), *start, why.as_str()));
        }
    }
    segments
}

/// The place of the first event of which this holds.
fn place(told: &Told, holds: impl Fn(&AnswerEvent) -> bool) -> usize {
    told.events.iter().position(holds).expect("such an event")
}

#[tokio::test(start_paused = true)]
async fn each_piece_of_text_says_where_it_comes_from() {
    let text = "no, sir";
    let cases: [(&str, AnswerRequest, &[Piece]); 5] = [
        ("nothing is forced", question("direct"), &[(Written, "no, sir")]),
        (
            "after the choice there is none",
            held_to("direct", "(yes|no), sir"),
            &[(Written, "n"), (Forced, "o, sir")],
        ),
        (
            "pass by pass too",
            held_to("speculate:with=lookup", "(yes|no), sir"),
            &[(Written, "n"), (Forced, "o, sir")],
        ),
        (
            "forced between two choices",
            held_to("direct", "(yes|no), (sir|madam)"),
            &[(Written, "n"), (Forced, "o, "), (Written, "s"), (Forced, "ir")],
        ),
        (
            "a draft that stands, and the checker's own word",
            question("speculate:with=model,longest=2"),
            &[(Accepted, "no"), (Written, ","), (Accepted, " s"), (Written, "i"), (Accepted, "r")],
        ),
    ];
    for (what, request, origins) in cases {
        let (small, large) = (flat(says("small", sure(text)), 0.001), flat(says("large", sure(text)), 0.010));
        let told = ask_for(request, &[&small, &large]).await;
        let origins: Vec<_> = origins.iter().map(|(origin, text)| (*origin, (*text).to_owned())).collect();
        assert_eq!(told.origins(), origins, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_takes_its_origin_along() {
    let pattern = "(yes|no), (sir|madam)";
    let (small, large) = (says("small", unsure("no, sir")), says("large", sure("yes, sir")));
    let told = ask_for(held_to("cascade", pattern), &[&small, &large]).await;
    let expected = [(Written, "y"), (Forced, "es, "), (Written, "s"), (Forced, "ir")];
    assert_eq!(told.origins(), expected.map(|(origin, text)| (origin, text.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_draft_is_told_after_the_text_that_stands_of_it() {
    let text = "one two three four five one two three four five six";
    for (policy, drafter) in [("speculate:with=model", "small"), ("speculate:with=lookup", "lookup")] {
        // Wrong near its end, so that some of what is drafted falls; and longer, or an accepted end would have no text.
        let guess = sure("one two three four five one two three four fine and more");
        let (small, large) = (flat(says("small", guess), 0.001), flat(says("large", sure(text)), 0.010));
        let told = ask_for(question(policy), &[&small, &large]).await;
        let mut accepted = 0;
        for event in &told.events {
            match event {
                // A token is a byte here.
                AnswerEvent::Delta { text, origin: Accepted, .. } => accepted += text.len() as u32,
                AnswerEvent::Drafted(drafts) => {
                    assert_eq!((drafts.drafter.as_str(), drafts.target.as_str()), (drafter, "large"));
                    assert!(0 < drafts.drafted && drafts.accepted <= drafts.drafted);
                    assert_eq!(drafts.accepted, std::mem::take(&mut accepted), "{policy}");
                }
                _ => {}
            }
        }
        let ledger = &told.finished().ledger;
        assert!(0 < ledger.accepted && ledger.accepted < ledger.drafted, "{policy}: {ledger:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_segment_is_told_once_and_anew_after_a_retraction() {
    let told = ask("direct", &[&says("m", sure("all by one"))]).await;
    assert_eq!(segments(&told), [("m", 0, "")]);

    let (small, large) = (says("small", unsure("wrong")), says("large", sure("right")));
    let told = ask("cascade", &[&small, &large]).await;
    assert_eq!(segments(&told), [("small", 0, ""), ("large", 0, "")]);

    let small = says("small", sure("SELECT nome FROM city;").signals_at(7, 2.0, 0.1));
    let told = ask("friend:segments=clause", &[&small, &says("large", sure("SELECT name FROM town;"))]).await;
    let [("small", 0, ""), ("large", 7, why), ("small", 16, "")] = segments(&told)[..] else {
        panic!("{:?}", segments(&told))
    };
    assert!(why.contains("entropy 2.00"), "{why}");
    let called = place(
        &told,
        |event| matches!(event, AnswerEvent::Decided(one) if one.kind == DecisionKind::FriendCall),
    );
    let segment = place(&told, |event| matches!(event, AnswerEvent::Segment { start: 7, .. }));
    assert!(called < segment);
    assert!(matches!(told.events[segment + 1], AnswerEvent::Delta { .. }), "its first word follows at once");
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_told_before_what_follows_from_it() {
    let validators = vec![ValidatorSpec::Matches(regex("[a-z]+")), ValidatorSpec::Matches(regex("right"))];
    let (small, large) = (says("small", sure("wrong")), says("large", sure("right")));
    let request = AnswerRequest { validators: validators.clone(), ..question("cascade:select=best") };
    let told = ask_for(request, &[&small, &large]).await;
    let verdicts: Vec<_> =
        told.validated().into_iter().map(|(model, found)| (model, found.name, found.verdict)).collect();
    let of = |model: &str, verdict| (model.to_owned(), "matches".to_owned(), verdict);
    let expected = [
        of("small", Verdict::Pass),
        of("small", Verdict::Fail),
        of("large", Verdict::Pass),
        of("large", Verdict::Pass),
    ];
    assert_eq!(verdicts, expected);
    let judged = place(
        &told,
        |event| matches!(event, AnswerEvent::Validated { found, .. } if found.verdict == Verdict::Fail),
    );
    let escalated = place(&told, |event| matches!(event, AnswerEvent::Decided(_)));
    assert!(judged < escalated);
}

#[tokio::test(start_paused = true)]
async fn candidates_that_nobody_watched_are_told_of_before_one_stands() {
    let text = "one two one two one two";
    let (small, large) = (flat(says("small", sure(text)), 0.001), flat(says("large", sure(text)), 0.010));
    let validators = vec![ValidatorSpec::Matches(regex("[a-z ]+"))];
    let request = AnswerRequest { validators, ..question("best-of-n:n=3+speculate:with=model") };
    let told = ask_for(request, &[&small, &large]).await;
    assert_eq!((told.drafts().len(), told.validated().len()), (3, 3), "one for each of them");
    let stays = place(&told, |event| matches!(event, AnswerEvent::Decided(_)));
    let text = place(&told, |event| matches!(event, AnswerEvent::Segment { .. }));
    assert_eq!((stays, text), (7, 8), "what was found out comes first");
}
