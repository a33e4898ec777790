use std::time::Duration;

use DecisionKind::{Escalate, Stay};
use understudy_backend::fake::{FakeBackend, FakeSlots};
use understudy_backend::{BackendError, RequestCtx, fake::Call};
use understudy_engine::EngineError;
use understudy_engine::verbs::SignalMode;
use understudy_router::confidence::Weights;
use understudy_router::{
    AnswerEvent, AnswerRequest, DecisionKind, FinishReason, Pattern, RouterConfig, RouterError,
};

use crate::told::{
    ask, ask_for, listen, nothing_left, question, router, router_with, says, slots, sure, unsure,
};

fn signals_of(backend: &FakeBackend) -> Vec<SignalMode> {
    let mode = |call| if let Call::Run(spec) = call { Some(spec.signals) } else { None };
    backend.calls().into_iter().filter_map(mode).collect()
}

/// Finds 0.5 in everything, whatever the fitted defaults are.
fn weightless() -> Weights {
    Weights {
        bias: 0.0,
        first_logprob: 0.0,
        min_logprob: 0.0,
        p10_logprob: 0.0,
        p25_logprob: 0.0,
        p50_logprob: 0.0,
        mean_logprob: 0.0,
        mean_entropy: 0.0,
        max_entropy: 0.0,
        p10_margin: 0.0,
        mean_margin: 0.0,
        log_length: 0.0,
        truncated: 0.0,
        looping: 0.0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_sure_draft_stays_and_the_next_rung_is_not_asked() {
    let (small, large) = (says("small", sure("four")), says("large", sure("never")));
    let told = ask("cascade", &[&small, &large]).await;
    let finished = told.finished();
    assert_eq!((finished.text.as_str(), finished.model.as_str()), ("four", "small"));
    assert_eq!(told.kinds(), [Stay]);
    let decision = told.decisions()[0];
    assert!(decision.confidence.unwrap() >= decision.threshold.unwrap());
    assert!(finished.ledger.spans[0].why.contains("reaches the threshold"));
    assert!(large.calls().is_empty());
    assert_eq!(signals_of(&small), [SignalMode::Full]);
}

#[tokio::test(start_paused = true)]
async fn an_unsure_draft_is_retracted_when_the_next_rung_speaks() {
    let (small, large) = (says("small", unsure("füve")), says("large", sure("four")));
    let told = ask("cascade", &[&small, &large]).await;
    let finished = told.finished();
    assert_eq!((finished.text.as_str(), finished.model.as_str()), ("four", "large"));
    assert_eq!(told.kinds(), [Escalate, Stay]);
    assert_eq!(told.retractions(), ["füve".len()]);
    let place = |wanted: fn(&AnswerEvent) -> bool| told.events.iter().position(wanted).unwrap();
    let decided = place(|event| matches!(event, AnswerEvent::Decided(d) if d.kind == Escalate));
    let retracted = place(|event| matches!(event, AnswerEvent::Retracted { model, .. } if model == "small"));
    let next = place(|event| matches!(event, AnswerEvent::Segment { author, .. } if author == "large"));
    assert!(decided < retracted && retracted + 1 == next, "the draft stands until the next words are there");
    let [drafted, kept] = finished.ledger.rungs.as_slice() else { panic!() };
    assert_eq!((drafted.tokens_kept, drafted.tokens_wasted, drafted.cost.decode_rows), (0, 5, 5));
    assert_eq!((kept.tokens_kept, kept.tokens_wasted, kept.cost.decode_rows), (4, 0, 4));
    assert_eq!(signals_of(&large), [SignalMode::None], "the last rung cannot escalate");
}

#[tokio::test(start_paused = true)]
async fn three_rungs_and_the_last_always_stays() {
    let models = [says("a", unsure("one")), says("b", unsure("two!")), says("c", unsure("three"))];
    let told = ask("cascade", &models.each_ref()).await;
    assert_eq!((told.shown.as_str(), told.finished().model.as_str()), ("three", "c"));
    assert_eq!(told.kinds(), [Escalate, Escalate, Stay]);
    assert_eq!(told.retractions(), [3, 4]);
    assert_eq!(told.decisions()[2].confidence, None, "nobody judged it");
}

#[tokio::test(start_paused = true)]
async fn the_request_threshold_decides() {
    let models = [says("a", sure("draft")), says("b", sure("better"))];
    assert_eq!(ask("cascade:threshold=1", &models.each_ref()).await.shown, "better");
    let models = [says("a", unsure("draft")), says("b", sure("better"))];
    assert_eq!(ask("cascade:threshold=0", &models.each_ref()).await.shown, "draft");
}

#[tokio::test(start_paused = true)]
async fn a_constant_confidence_is_only_compared() {
    let zero = weightless();
    for (threshold, expected) in [(0.5, "draft"), (0.51, "better")] {
        let models = [says("a", unsure("draft")), says("b", sure("better"))];
        let config = RouterConfig { weights: zero, ..RouterConfig::with_ladder(["a", "b"]) };
        let router = router_with(slots(&models.each_ref()), config).await;
        let request = question(&format!("cascade:threshold={threshold}"));
        let told = listen(router.answer(RequestCtx::new("r"), request).unwrap()).await;
        assert_eq!((told.shown.as_str(), told.decisions()[0].confidence), (expected, Some(0.5)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hopeless_draft_is_given_up_early() {
    let long = "x-".repeat(100);
    let slow = unsure(&long).token_delay(Duration::from_millis(10));
    let (small, large) = (says("small", slow), says("large", sure("short")));
    let told = ask("cascade", &[&small, &large]).await;
    assert_eq!(told.shown, "short");
    assert!(told.decisions()[0].reason.contains("given up early"));
    let drafted = &told.finished().ledger.rungs[0];
    assert!((24..=33).contains(&drafted.tokens_wasted), "{}", drafted.tokens_wasted);
    assert_eq!(
        u64::from(drafted.tokens_wasted),
        drafted.cost.decode_rows,
        "the stopped run still said its cost"
    );
}

#[tokio::test(start_paused = true)]
async fn a_draft_in_a_loop_is_given_up() {
    let (small, large) = (says("small", sure(&"ab".repeat(200))), says("large", sure("short")));
    assert_eq!(ask("cascade", &[&small, &large]).await.shown, "short");
}

#[tokio::test(start_paused = true)]
async fn an_empty_draft_escalates() {
    let models = [says("a", sure("")), says("b", sure("words"))];
    let told = ask("cascade", &models.each_ref()).await;
    assert_eq!((told.shown.as_str(), told.decisions()[0].confidence), ("words", Some(0.0)));
    assert!(told.retractions().is_empty(), "nothing was shown");
}

#[tokio::test(start_paused = true)]
async fn the_last_rung_may_say_nothing() {
    let models = [says("a", unsure("nonsense")), says("b", sure(""))];
    let told = ask("cascade", &models.each_ref()).await;
    assert_eq!((told.shown.as_str(), told.finished().model.as_str()), ("", "b"));
    assert_eq!(told.retractions(), [8]);
}

#[tokio::test(start_paused = true)]
async fn the_draft_stays_shown_while_the_next_rung_loads() {
    let (small, large) = (says("small", unsure("draft")), says("large", sure("final")));
    let fakes =
        FakeSlots::new().with(small.clone()).with_loading(large.clone(), Duration::from_secs(30), 1000);
    let router = router(fakes, &["small", "large"]).await;
    let told = listen(router.answer(RequestCtx::new("r"), question("cascade")).unwrap()).await;
    let place = |wanted: fn(&AnswerEvent) -> bool| told.events.iter().position(wanted).unwrap();
    let loading = place(|event| matches!(event, AnswerEvent::Loading { source, .. } if source.is_empty()));
    let fetching = place(|event| matches!(event, AnswerEvent::Loading { done: 500, total: 1000, .. }));
    let retracted = place(|event| matches!(event, AnswerEvent::Retracted { .. }));
    assert!(fetching < loading && loading < retracted);
    assert_eq!(told.shown, "final");
    assert!(told.finished().ttft_ms < 100.0, "the reader saw the draft at once");

    // The deadline passes while it loads: the draft is the answer.
    let fakes = FakeSlots::new().with(small.clone()).with_loading(large.clone(), Duration::from_secs(30), 0);
    let router = crate::told::router(fakes, &["small", "large"]).await;
    let ctx = RequestCtx::new("r").with_timeout(Duration::from_secs(5));
    let told = listen(router.answer(ctx, question("cascade")).unwrap()).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("draft", FinishReason::Deadline));
    nothing_left(&router, &[&small, &large]).await;
}

fn failures() -> [BackendError; 3] {
    [
        BackendError::Unavailable { model: "x".into(), why: "draining".into() },
        BackendError::Overloaded { model: "x".into(), waiting: 8 },
        BackendError::Load { model: "x".into(), why: "no source".into(), code: "HUB_NO_SOURCE".into() },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_draft_rung_that_cannot_be_asked_is_passed_over() {
    for failure in failures() {
        let fakes = slots(&[&says("small", sure("draft")), &says("large", sure("final"))]);
        fakes.fail("small", failure.clone());
        let router = router(fakes, &["small", "large"]).await;
        let told = listen(router.answer(RequestCtx::new("r"), question("cascade")).unwrap()).await;
        assert_eq!((told.shown.as_str(), told.kinds()), ("final", vec![Escalate, Stay]));
        assert_eq!(told.decisions()[0].reason, failure.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn the_draft_stands_when_the_last_rung_cannot_be_asked() {
    for failure in failures() {
        let fakes = slots(&[&says("small", unsure("draft")), &says("large", sure("final"))]);
        fakes.fail("large", failure);
        let router = router(fakes, &["small", "large"]).await;
        let told = listen(router.answer(RequestCtx::new("r"), question("cascade")).unwrap()).await;
        assert_eq!((told.shown.as_str(), told.finished().reason), ("draft", FinishReason::Stop));
        assert_eq!(told.kinds(), [Escalate, Stay]);
        assert!(told.retractions().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_draft_given_up_early_is_completed_when_nobody_else_can() {
    let long: String = (0..40).map(|n| format!("{n},")).collect();
    let small = says("small", unsure(&long));
    let fakes = slots(&[&small, &says("large", sure("final"))]);
    fakes.fail("large", BackendError::Unavailable { model: "large".into(), why: "failed".into() });
    let router = router(fakes, &["small", "large"]).await;
    let told = listen(router.answer(RequestCtx::new("r"), question("cascade")).unwrap()).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), (long.as_str(), FinishReason::Stop));
    nothing_left(&router, &[&small]).await;
}

#[tokio::test(start_paused = true)]
async fn a_prompt_too_long_for_the_draft_goes_to_a_longer_context() {
    let (small, large) = (says("small", sure("draft")).context(8), says("large", sure("final")));
    let told = ask("cascade", &[&small, &large]).await;
    assert_eq!((told.shown.as_str(), told.kinds()), ("final", vec![Escalate, Stay]));
    assert!(told.decisions()[0].reason.contains("context of 8"));
    let told = ask("cascade", &[&small, &says("large", sure("final")).context(9)]).await;
    let Err(RouterError::Backend(BackendError::Engine(EngineError::ContextOverflow { context, .. }))) =
        told.end
    else {
        panic!("{:?}", told.end)
    };
    assert_eq!(context, 9);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_model_is_an_error_not_a_reason_to_escalate() {
    let models = [says("small", sure("draft"))];
    let request = AnswerRequest { ladder: vec!["smal".into(), "small".into()], ..question("cascade") };
    let told = ask_for(request, &models.each_ref()).await;
    assert!(matches!(told.end, Err(RouterError::Backend(BackendError::UnknownModel { .. }))));
}

#[tokio::test(start_paused = true)]
async fn under_a_constraint_signals_are_masked() {
    let models = [says("a", sure("yes")), says("b", sure("no"))];
    let constraint = Some(Pattern::Choice(vec!["yes".into(), "no".into()]));
    let told = ask_for(AnswerRequest { constraint, ..question("cascade") }, &models.each_ref()).await;
    assert_eq!(told.shown, "yes");
    assert_eq!(signals_of(&models[0]), [SignalMode::Masked]);
}

#[tokio::test(start_paused = true)]
async fn a_draft_cut_by_the_budget_is_judged_as_such() {
    // Weights of its own: the fitted ones may see nothing in being cut off.
    let weights = Weights { truncated: -1.0, ..weightless() };
    for (max_tokens, expected) in [(6, 0.5), (5, 1.0 / (1.0 + 1_f32.exp()))] {
        let models = [says("a", sure("abcde")), says("b", sure("x"))];
        let config = RouterConfig { weights, ..RouterConfig::with_ladder(["a", "b"]) };
        let router = router_with(slots(&models.each_ref()), config).await;
        let request = AnswerRequest { max_tokens, ..question("cascade") };
        let told = listen(router.answer(RequestCtx::new("r"), request).unwrap()).await;
        let confidence = told.decisions()[0].confidence.unwrap();
        assert!((confidence - expected).abs() < 1e-6, "{confidence} with {max_tokens} tokens");
    }
}
