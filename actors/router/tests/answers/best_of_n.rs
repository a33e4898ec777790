//! Several answers over scripted engines: lanes say different things.

use understudy_backend::RequestCtx;
use understudy_backend::fake::FakeBackend;
use understudy_router::{DecisionKind, RouterError};

use crate::told::{Told, ask_for, question, says, sure};

async fn of(policy: &str, lanes: &[&str]) -> Told {
    let backend =
        lanes.iter().enumerate().fold(FakeBackend::new("m").when("", sure("?")), |backend, (lane, text)| {
            backend.when_lane(lane as u32, sure(text))
        });
    ask_for(question(policy), &[&backend]).await
}

#[tokio::test(start_paused = true)]
async fn the_answer_that_most_agree_on_stands() {
    struct Case {
        what: &'static str,
        policy: &'static str,
        lanes: &'static [&'static str],
        text: &'static str,
        drawn: usize,
    }
    let cases = [
        Case {
            what: "all alike: three suffice of five",
            policy: "best-of-n",
            lanes: &["4", "4", "4", "5", "5"],
            text: "4",
            drawn: 3,
        },
        Case {
            what: "the first is alone",
            policy: "best-of-n",
            lanes: &["5", "4", "4", "4", "6"],
            text: "4",
            drawn: 5,
        },
        Case {
            what: "whitespace says nothing",
            policy: "best-of-n:n=3",
            lanes: &["1  2", "3", "1 2"],
            text: "1  2",
            drawn: 3,
        },
        Case {
            what: "no two agree: the first of equals",
            policy: "best-of-n:n=3",
            lanes: &["1", "2", "3"],
            text: "1",
            drawn: 3,
        },
    ];
    for Case { what, policy, lanes, text, drawn } in cases {
        let told = of(policy, lanes).await;
        let finished = told.finished();
        assert_eq!(finished.text, text, "{what}");
        assert_eq!(told.kinds(), [DecisionKind::Stay], "{what}");
        assert_eq!(finished.ledger.candidates.len(), drawn, "{what}");
        assert_eq!(finished.ledger.candidates.iter().filter(|one| one.chosen).count(), 1, "{what}");
        let written: usize = lanes.iter().take(drawn).map(|lane| lane.len()).sum();
        let rung = &finished.ledger.rungs[0];
        assert_eq!(
            (rung.tokens_kept + rung.tokens_wasted) as usize,
            written,
            "{what}: all samples are paid for"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_sample_fails_the_request_only_where_it_is_alone() {
    let broken = understudy_backend::BackendError::Unavailable { model: "m".into(), why: "gone".into() };
    let slots = understudy_backend::fake::FakeSlots::new().with(says("m", sure("x")));
    slots.fail("m", broken);
    let router = crate::told::router(slots, &["m"]).await;
    let told = crate::told::listen(router.answer(RequestCtx::new("r"), question("best-of-n")).unwrap()).await;
    assert!(matches!(told.end, Err(RouterError::Backend(_))), "{:?}", told.end);
}
