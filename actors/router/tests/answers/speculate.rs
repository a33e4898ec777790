//! Drafts over scripted engines: the text is the target's, whoever guessed it.

use std::time::Duration;

use DecisionKind::DraftOff;
use understudy_backend::fake::{Call, FakeBackend, Reply};
use understudy_backend::{BackendError, RequestCtx};
use understudy_engine::pace::Pace;
use understudy_router::{AnswerRequest, DecisionKind};

use crate::told::{Told, ask_for, question, says, sure};

const TEXT: &str = "one two three four five six seven eight nine ten one two three four five six";

/// Passes that cost hardly more with many rows, as on a graphics processor.
fn flat(backend: FakeBackend, seconds: f64) -> FakeBackend {
    backend.paced(Pace::measured([(1, seconds), (16, seconds * 1.1)]))
}

async fn guess(policy: &str, small: Reply, large: Reply) -> Told {
    let (small, large) = (flat(says("small", small), 0.001), flat(says("large", large), 0.010));
    ask_for(question(policy), &[&small, &large]).await
}

#[tokio::test(start_paused = true)]
async fn the_text_is_the_targets_whatever_is_drafted() {
    struct Case {
        what: &'static str,
        policy: &'static str,
        small: &'static str,
        accepts: bool,
    }
    let cases = [
        Case { what: "a good drafter", policy: "speculate", small: TEXT, accepts: true },
        Case {
            what: "a bad drafter",
            policy: "speculate:with=model",
            small: "nothing of the kind",
            accepts: false,
        },
        Case { what: "repetition", policy: "speculate:with=lookup", small: "not asked", accepts: true },
        Case { what: "one token at a time", policy: "speculate:longest=1", small: TEXT, accepts: true },
    ];
    for Case { what, policy, small, accepts } in cases {
        let told = guess(policy, sure(small), sure(TEXT)).await;
        let finished = told.finished();
        assert_eq!(finished.text, TEXT, "{what}");
        assert_eq!(finished.model, "large", "{what}");
        assert_eq!(finished.ledger.accepted > 10, accepts, "{what}: {:?}", finished.ledger);
        assert!(finished.ledger.accepted <= finished.ledger.drafted, "{what}");
        let large = finished.ledger.rungs.iter().find(|rung| rung.model == "large").unwrap();
        assert_eq!((large.tokens_kept, large.tokens_wasted), (TEXT.len() as u32, 0), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn drafts_that_would_not_pay_are_not_asked_for() {
    // As slow as its target: nothing can be gained.
    let small = says("small", sure(TEXT)).paced(Pace::measured([(1, 0.010), (16, 0.02)]));
    let large = says("large", sure(TEXT)).paced(Pace::measured([(1, 0.010), (16, 0.02)]));
    let told = ask_for(question("speculate:with=model"), &[&small, &large]).await;
    let ledger = &told.finished().ledger;
    assert_eq!(told.kinds(), [DraftOff]);
    assert!(told.decisions()[0].reason.contains("would gain"), "{:?}", told.decisions());
    let drafted =
        ledger.rungs.iter().find(|rung| rung.model == "small").map_or(0, |rung| rung.tokens_drafted);
    assert!(drafted <= 40, "it tried {drafted} tokens to find out, and some again");
}

/// The way to it takes nearly as long as a pass of its target, and a token of its own hardly anything.
#[tokio::test(start_paused = true)]
async fn a_drafter_far_away_is_asked_for_long_drafts() {
    let small = says("small", sure(TEXT)).paced(Pace::measured([(1, 0.015), (16, 0.016)])).away(0.014);
    let large = says("large", sure(TEXT)).paced(Pace::measured([(1, 0.020), (16, 0.030)]));
    let told = ask_for(question("speculate:with=model"), &[&small, &large]).await;
    let ledger = &told.finished().ledger;
    assert_eq!(told.kinds(), [], "it is never given up");
    assert!(ledger.accepted as usize > TEXT.len() / 2, "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drafter_that_breaks_is_done_without() {
    let small = says("small", sure(TEXT));
    let slots = crate::told::slots(&[&small, &flat(says("large", sure(TEXT)), 0.01)]);
    slots.fail("small", BackendError::Unavailable { model: "small".into(), why: "gone".into() });
    let router = crate::told::router(slots, &["small", "large"]).await;
    let stream = router.answer(RequestCtx::new("r"), question("speculate:with=model"));
    let told = crate::told::listen(stream.expect("admitted")).await;
    assert_eq!(told.finished().text, TEXT);
}

#[tokio::test(start_paused = true)]
async fn a_drafter_that_was_lost_is_looked_for_once_more() {
    let text = TEXT.repeat(6);
    for (losses, opened) in [(vec![1000], 2), (vec![1000, 6000], 2)] {
        let slow = sure(&text).token_delay(Duration::from_millis(200));
        let (small, large) = (flat(says("small", sure(&text)), 0.001), flat(says("large", slow), 0.010));
        let dying = tokio::spawn({
            let (small, losses) = (small.clone(), losses.clone());
            async move {
                let began = tokio::time::Instant::now();
                for at in losses {
                    tokio::time::sleep_until(began + Duration::from_millis(at)).await;
                    small.lose_engine();
                }
            }
        });
        let asked = question("speculate:with=model,longest=4");
        let told = ask_for(AnswerRequest { max_tokens: 1000, ..asked }, &[&small, &large]).await;
        dying.await.unwrap();
        assert_eq!(told.finished().text, text);
        let calls = small.calls();
        assert_eq!(calls.iter().filter(|call| matches!(call, Call::Open(_))).count(), opened, "{losses:?}");
        let last = calls.iter().rposition(|call| matches!(call, Call::Open(_))).unwrap();
        let drafts = calls[last..].iter().filter(|call| matches!(call, Call::Propose(_))).count();
        assert!(drafts > 5, "it goes on to draft: {drafts}");
    }
}

#[tokio::test(start_paused = true)]
async fn leniency_lets_the_smaller_models_words_stand() {
    let small = "one two tree four";
    let strict = sure("one two thre four");
    let mild = strict.clone().tolerates(9).tolerates(10).tolerates(11);
    for (policy, large, expected) in [
        ("speculative-cascade", mild.clone(), "one two tree four"),
        ("speculative-cascade:alpha=0", mild, "one two thre four"),
        ("speculative-cascade", strict, "one two thre four"),
    ] {
        let told = guess(policy, sure(small), large).await;
        let finished = told.finished();
        assert_eq!(finished.text, expected, "{policy}");
        assert!(finished.ledger.spans[0].why.contains("alpha"), "the dial stands in the answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cascade_stands_over_drafts() {
    let unsure = crate::told::unsure(TEXT);
    let (small, large) = (flat(says("small", unsure), 0.001), flat(says("large", sure(TEXT)), 0.010));
    let told = ask_for(question("cascade+speculate"), &[&small, &large]).await;
    let finished = told.finished();
    assert_eq!((finished.text.as_str(), finished.policy.as_str()), (TEXT, "cascade+speculate"));
    assert!(finished.ledger.accepted > 10, "the second rung's answer was drafted by the first");
}
