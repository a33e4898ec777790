use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use understudy_backend::fake::{FakeBackend, FakeSlots, Reply};
use understudy_backend::{Backend, BackendError, LoadEvent, RequestCtx, Slots};
use understudy_engine::EngineError;
use understudy_router::{
    AnswerEvent, AnswerRequest, FinishReason, JsonSpec, Pattern, RouterConfig, RouterError, RouterHandle,
    Whitespace,
};

use crate::told::{
    ask, ask_for, listen, nothing_left, question, router, router_with, says, slots, sure, unsure,
};

#[tokio::test(start_paused = true)]
async fn one_model_answers_and_the_books_say_so() {
    let model = says("m", sure("four").token_delay(Duration::from_millis(10))).cached_prefix(3);
    let told = ask("direct", &[&model]).await;
    let finished = told.finished();
    assert_eq!((finished.text.as_str(), finished.reason), ("four", FinishReason::Stop));
    assert_eq!((finished.model.as_str(), finished.policy.as_str()), ("m", "direct"));
    assert_eq!((finished.completion_tokens, finished.cached_prompt_tokens), (4, 3));
    assert_eq!(finished.prompt_tokens as usize, "<user>question\n<assistant>".len());
    assert_eq!(finished.numerics, "fake-exact");
    assert!((finished.ttft_ms - 10.0).abs() < 2.0, "{}", finished.ttft_ms);
    assert!((finished.decode_tok_s - 100.0).abs() < 5.0, "{}", finished.decode_tok_s);
    let rung = &finished.ledger.rungs[0];
    assert_eq!((rung.tokens_kept, rung.tokens_wasted, rung.cost.decode_rows), (4, 0, 4));
    assert_eq!(rung.cost.prefill_rows, u64::from(finished.prompt_tokens) - 3);
}

#[tokio::test(start_paused = true)]
async fn stop_texts_end_the_answer_wherever_tokens_split_them() {
    let model = says("m", sure("one\n\ntwo"));
    let request = AnswerRequest { stop: vec!["\n\nt".into(), "zzz".into()], ..question("direct") };
    let told = ask_for(request, &[&model]).await;
    let finished = told.finished();
    assert_eq!((finished.text.as_str(), finished.reason), ("one", FinishReason::Stop));
    let rung = &finished.ledger.rungs[0];
    assert_eq!(rung.tokens_kept, 3);
    assert!(rung.tokens_wasted >= 3, "the stop text was generated");
    assert_eq!(u64::from(rung.tokens_kept + rung.tokens_wasted), rung.cost.decode_rows, "INV-L2");
}

#[tokio::test(start_paused = true)]
async fn characters_are_never_split() {
    let text = "naïve — 🚀🚀 日本";
    let told = ask("direct", &[&says("m", sure(text))]).await;
    assert_eq!(told.finished().text, text);
    let deltas = told.events.iter().filter_map(|event| match event {
        AnswerEvent::Delta { text, .. } => Some(text.chars().count()),
        _ => None,
    });
    assert!(deltas.clone().all(|count| count == 1), "one token per byte, so one character per delta");

    // Cut inside the rocket: what came of it is not shown.
    let request = AnswerRequest { max_tokens: 3, ..question("direct") };
    let cut = ask_for(request, &[&says("m", sure("a🚀"))]).await;
    let rung = &cut.finished().ledger.rungs[0];
    assert_eq!((cut.shown.as_str(), cut.finished().reason), ("a", FinishReason::Length));
    assert_eq!((rung.tokens_kept, rung.tokens_wasted), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_answer_with_its_text() {
    let model = says("m", sure("abcdefgh").token_delay(Duration::from_millis(100)));
    let router = router(slots(&[&model]), &["m"]).await;
    let ctx = RequestCtx::new("r").with_timeout(Duration::from_millis(350));
    let told = listen(router.answer(ctx, question("direct")).unwrap()).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("abc", FinishReason::Deadline));
    assert_eq!(told.finished().ledger.rungs[0].cost.decode_rows, 3, "the run was asked what it cost");
    nothing_left(&router, &[&model]).await;
}

#[tokio::test(start_paused = true)]
async fn the_callers_token_ends_the_answer_with_its_text() {
    let model = says("m", sure("abcdefgh").token_delay(Duration::from_millis(100)));
    let router = router(slots(&[&model]), &["m"]).await;
    let cancel = CancellationToken::new();
    let ctx = RequestCtx { cancel: cancel.clone(), ..RequestCtx::new("r") };
    let stream = router.answer(ctx, question("direct")).unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(250)).await;
        cancel.cancel();
    });
    let told = listen(stream).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("ab", FinishReason::Cancelled));
    nothing_left(&router, &[&model]).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_frees_the_model_but_not_the_callers_token() {
    let model = says("m", sure("abcdefgh").token_delay(Duration::from_secs(10)));
    let router = router(slots(&[&model]), &["m"]).await;
    let ctx = RequestCtx::new("r");
    let mut stream = router.answer(ctx.clone(), question("direct")).unwrap();
    while !matches!(stream.next().await, Some(Ok(AnswerEvent::Delta { .. }))) {}
    assert_eq!((model.open_sequences(), router.running()), (1, 1));
    drop(stream);
    nothing_left(&router, &[&model]).await;
    assert!(!ctx.cancel.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_reading_stops_the_engine() {
    let model = says("m", sure(&"x".repeat(1000)));
    let router = router(slots(&[&model]), &["m"]).await;
    let request = AnswerRequest { max_tokens: 1000, ..question("direct") };
    let ctx = RequestCtx::new("r").with_timeout(Duration::from_secs(60));
    let stream = router.answer(ctx, request).unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    nothing_left(&router, &[&model]).await;
    let told = listen(stream).await;
    assert_eq!(told.finished().reason, FinishReason::Deadline);
    assert!(told.shown.len() < 100, "{} tokens waited for nobody", told.shown.len());
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_only_model_are_errors() {
    let unknown = ask("direct:model=n", &[&says("m", sure("x"))]).await;
    assert!(matches!(unknown.end, Err(RouterError::Backend(BackendError::UnknownModel { .. }))));
    let small = ask("direct", &[&says("m", sure("x")).context(4)]).await;
    assert!(matches!(
        small.end,
        Err(RouterError::Backend(BackendError::Engine(EngineError::ContextOverflow { context: 4, .. })))
    ));
    let fake_slots = slots(&[&says("m", sure("x"))]);
    fake_slots.fail("m", BackendError::Overloaded { model: "m".into(), waiting: 9 });
    let router = router(fake_slots, &["m"]).await;
    let busy = listen(router.answer(RequestCtx::new("r"), question("direct")).unwrap()).await;
    assert!(matches!(busy.end, Err(RouterError::Backend(BackendError::Overloaded { waiting: 9, .. }))));
}

#[tokio::test(start_paused = true)]
async fn constraints_hold_and_forced_tokens_are_counted() {
    let constrained = |constraint| AnswerRequest { constraint: Some(constraint), ..question("direct") };
    let model = says("m", sure("perhaps"));
    let choice = Pattern::Choice(vec!["yes".into(), "no".into()]);
    let told = ask_for(constrained(choice), &[&model]).await;
    assert!(["yes", "no"].contains(&told.shown.as_str()), "{}", told.shown);
    assert_eq!(told.finished().reason, FinishReason::Constraint);
    assert_eq!(
        told.finished().ledger.forced as usize,
        told.shown.len() - 1,
        "only the first letter was chosen"
    );

    let told =
        ask_for(constrained(Pattern::Regex("[0-9]{2}-[a-c]".into())), &[&says("m", sure("73-b"))]).await;
    assert_eq!((told.shown.as_str(), told.finished().ledger.forced), ("73-b", 1));
    let schema = JsonSpec::new(
        r#"{"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"],
        "additionalProperties": false}"#,
    );
    let compact = Pattern::Json(JsonSpec { whitespace: Whitespace::None, ..schema });
    let told = ask_for(constrained(compact.clone()), &[&model]).await;
    assert_eq!((told.shown.as_str(), told.finished().reason), ("{\"a\":\"x\"}", FinishReason::Constraint));

    let short = AnswerRequest { max_tokens: 8, ..constrained(compact) };
    let told = ask_for(short, &[&model]).await;
    assert!(matches!(told.end, Err(RouterError::TooFewTokens { left: 8, needed: 9 })), "{:?}", told.end);

    let huge = constrained(Pattern::Regex("((\\w{99}){99}){99}".into()));
    assert!(matches!(ask_for(huge, &[&model]).await.end, Err(RouterError::Constraint(_))));
}

#[tokio::test(start_paused = true)]
async fn sixteen_at_once_do_not_mix() {
    let mut model = FakeBackend::new("m").max_sequences(4);
    for n in 0..16 {
        let reply =
            Reply::text(format!("answer {n} {}", "x".repeat(n))).token_delay(Duration::from_millis(n as u64));
        model = model.when(format!("ask-{n}\n"), reply);
    }
    let router = router(slots(&[&model]), &["m"]).await;
    let asked = (0..16).map(|n| {
        let request = AnswerRequest::ask(format!("ask-{n}"), "direct".parse().unwrap());
        tokio::spawn(listen(router.answer(RequestCtx::new(format!("r{n}")), request).unwrap()))
    });
    for (n, told) in asked.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(told.await.unwrap().finished().text, format!("answer {n} {}", "x".repeat(n)));
    }
    nothing_left(&router, &[&model]).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_run_than_allowed() {
    let model = says("m", sure("abc").token_delay(Duration::from_secs(1)));
    let config = RouterConfig { max_requests: 1, ..RouterConfig::with_ladder(["m"]) };
    let router = router_with(slots(&[&model]), config).await;
    let first = router.answer(RequestCtx::new("1"), question("direct")).unwrap();
    let refused = router.answer(RequestCtx::new("2"), question("direct")).unwrap_err();
    assert_eq!(refused, RouterError::Overloaded { limit: 1 });
    assert_eq!(listen(first).await.shown, "abc");
    nothing_left(&router, &[&model]).await;
    assert!(router.answer(RequestCtx::new("3"), question("direct")).is_ok());
}

/// Panics inside the policy of whoever asks for the model `bomb`.
struct Mined(FakeSlots);

#[async_trait]
impl Slots for Mined {
    async fn backend(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        assert_ne!(model, "bomb", "stepped on it");
        self.0.backend(ctx, model, progress).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_own_request_only() {
    let model = says("m", sure("fine").token_delay(Duration::from_millis(50)));
    let router = router(Mined(slots(&[&model])), &["m"]).await;
    let neighbour = router.answer(RequestCtx::new("1"), question("direct")).unwrap();
    let hurt = listen(router.answer(RequestCtx::new("2"), question("direct:model=bomb")).unwrap()).await;
    let Err(RouterError::Internal(why)) = hurt.end else { panic!("{:?}", hurt.end) };
    assert!(why.contains("stepped on it"), "{why}");
    assert_eq!(listen(neighbour).await.shown, "fine");
    let later = listen(router.answer(RequestCtx::new("3"), question("direct")).unwrap()).await;
    assert_eq!(later.shown, "fine");
    nothing_left(&router, &[&model]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_router_says_so() {
    let model = says("m", sure("abc").token_delay(Duration::from_secs(9)));
    let router = router(slots(&[&model]), &["m"]).await;
    let running = router.answer(RequestCtx::new("1"), question("direct")).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    router.stop();
    assert!(matches!(listen(running).await.end, Err(RouterError::NotRunning)));
    assert!(matches!(router.answer(RequestCtx::new("2"), question("direct")), Err(RouterError::NotRunning)));
    nothing_left(&router, &[&model]).await;
    let idle = RouterHandle::new(RouterConfig::with_ladder(["m"]), Arc::new(slots(&[&model]))).unwrap();
    assert!(matches!(idle.answer(RequestCtx::new("3"), question("direct")), Err(RouterError::NotRunning)));
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_serves_later_requests() {
    let (a, b) = (says("a", sure("from a")), says("b", sure("from b")));
    let router = router(slots(&[&a, &b]), &["a"]).await;
    let mut config = router.config();
    router.reconfigure(RouterConfig::with_ladder(["b"])).unwrap();
    config.changed().await.unwrap();
    let told = listen(router.answer(RequestCtx::new("r"), question("direct")).unwrap()).await;
    assert_eq!(told.shown, "from b");
    let twice = router.reconfigure(RouterConfig::with_ladder(["b", "b"]));
    assert!(matches!(twice, Err(RouterError::Invalid { field, .. }) if field == "ladder"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the models say and however sure they are, the books balance (`listen`
    /// checks INV-L1 to INV-L6) and the text is one model's reply, cut by budget or stop.
    #[test]
    fn the_books_balance(
        replies in prop::collection::vec(("[a-c🚀é ]{0,40}", any::<bool>()), 1..4),
        max_tokens in 1_u32..60,
        stop in prop::option::of("[a-c]{1,2}"),
    ) {
        let models: Vec<_> = replies.iter().enumerate().map(|(n, (text, confident))| {
            says(&format!("m{n}"), if *confident { sure(text) } else { unsure(text) })
        }).collect();
        let request = AnswerRequest { max_tokens, stop: stop.into_iter().collect(), ..question("cascade") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let told = runtime.block_on(ask_for(request, &models.iter().collect::<Vec<_>>()));
        prop_assert!(replies.iter().any(|(text, _)| text.starts_with(&told.finished().text)));
    }
}
