//! Several answers over scripted engines: lanes say different things.

use understudy_backend::fake::FakeBackend;
use understudy_backend::{BackendError, RequestCtx};
use understudy_router::{DecisionKind, RouterError};

use crate::told::{Told, ask_for, question, says, sure, unsure};

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

#[tokio::test(start_paused = true)]
async fn a_critic_that_is_lost_is_asked_once_more_and_then_done_without() {
    let ask = async |refusals: usize, failure: BackendError| {
        let lanes = |backend: FakeBackend, (lane, text): (usize, &str)| {
            backend.when_lane(lane as u32, if text == "2" { sure(text) } else { unsure(text) })
        };
        let writer = ["1", "2", "3"].into_iter().enumerate().fold(FakeBackend::new("m"), lanes);
        // It says "Yes" to the third alone.
        let critic = says("critic", sure("No")).when("Answer:\n3", sure("Yes"));
        critic.refuse(refusals, failure);
        let router = crate::told::router(crate::told::slots(&[&writer, &critic]), &["m", "critic"]).await;
        let asked = question("best-of-n:n=3,critic=critic");
        let told = crate::told::listen(router.answer(RequestCtx::new("r"), asked).unwrap()).await;
        crate::told::nothing_left(&router, &[&writer, &critic]).await;
        told
    };
    let lost = || BackendError::EngineLost { model: "critic".into(), why: "killed".into() };
    let full = BackendError::Overloaded { model: "critic".into(), waiting: 64 };
    for (refusals, failure, text, why) in [
        (0, lost(), "3", "critic approves of it"),
        (1, lost(), "3", "critic approves of it"),
        (2, lost(), "2", "critic could not be asked"),
        (9, full, "2", "critic could not be asked"),
    ] {
        let told = ask(refusals, failure).await;
        assert_eq!(told.finished().text, text, "{refusals}");
        let reason = &told.decisions()[0].reason;
        assert!(reason.contains(why), "{reason}");
    }
    let nobody = BackendError::UnknownModel { name: "critic".into(), suggestion: None };
    let told = ask(1, nobody.clone()).await;
    assert_eq!(told.end.err(), Some(RouterError::Backend(nobody)), "a mistake of the caller is told");
}
