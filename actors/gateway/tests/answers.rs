//! What a client of `Inference` sees.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::time::{Duration, Instant};

use common::{SOON, ask, ask_small, event_of, read, refusal, start, start_with};
use tokio_stream::StreamExt as _;
use understudy_backend::{
    BackendError,
    fake::{FakeBackend, Fault, Reply},
};
use understudy_engine::EngineError;
use understudy_proto::v1::{
    Constraint, DeltaOrigin, EmbedRequest, GenerateRequest, Message, Sampling, ScoreRequest, TokenizeRequest,
    Validator, constraint::Kind, generate_event::Event, validator,
};

#[tokio::test]
async fn an_answer_streams_and_its_account_covers_the_text() {
    let harness = start("").await;
    let request = GenerateRequest { request_id: "mine-1".into(), ..ask_small("2+2?") };
    let mut events = harness.client().await.generate(request, SOON).await.unwrap();
    let Event::Started(started) = event_of(events.next().await.unwrap().unwrap()) else {
        panic!("not started")
    };
    assert_eq!((started.request_id.as_str(), started.policy.as_str()), ("mine-1", "direct"));
    assert_eq!(started.ladder, ["small"]);
    let (shown, end) = read(events).await;
    let end = end.unwrap();
    assert_eq!((shown.as_str(), end.text.as_str(), end.finish_reason.as_str()), ("4", "4", "stop"));
    assert_eq!((end.model.as_str(), end.numerics.as_str()), ("small", "fake-exact"));
    let ledger = end.ledger.unwrap();
    assert_eq!((ledger.spans[0].start, ledger.spans[0].end), (0, 1));
    assert!(ledger.rungs[0].row_steps > 0);
    assert!(end.usage.unwrap().prompt_tokens > 0);
}

#[tokio::test]
async fn a_cascade_escalates_and_the_text_shown_is_the_final_one() {
    let harness = start("").await;
    let mut events = harness.client().await.generate(ask("unsure"), SOON).await.unwrap();
    let (mut shown, mut escalated, mut end) = (String::new(), None, None);
    while let Some(event) = events.next().await {
        match event_of(event.unwrap()) {
            Event::Delta(delta) => shown.push_str(&delta.text),
            Event::Retracted(r) => shown.truncate(shown.len() - r.bytes as usize),
            Event::Escalated(e) => escalated = e.decision,
            Event::Finished(f) => end = Some(f),
            _ => {}
        }
    }
    let (escalated, end) = (escalated.unwrap(), end.unwrap());
    assert_eq!((escalated.from.as_str(), escalated.to.as_str()), ("small", "large"));
    assert_eq!((shown.as_str(), end.text.as_str(), end.model.as_str()), ("certainly", "certainly", "large"));
}

/// Text with its origin, of events.
fn origins(events: &[Event]) -> Vec<(DeltaOrigin, &str)> {
    let mut pieces = Vec::new();
    for event in events {
        if let Event::Delta(delta) = event {
            pieces.push((delta.origin(), delta.text.as_str()));
        }
    }
    pieces
}

#[tokio::test]
async fn whose_text_where_from_and_what_validators_say_is_told_as_it_comes() {
    let harness = start("").await;
    let regex = |pattern: &str| Constraint { kind: Some(Kind::Regex(pattern.into())) };
    let told = async |request| {
        let events = harness.client().await.generate(request, SOON).await.unwrap();
        events.map(|event| event_of(event.unwrap())).collect::<Vec<_>>().await
    };

    let constrained = GenerateRequest { constraint: Some(regex("(4|five)")), ..ask_small("2+2?") };
    let events = told(constrained).await;
    assert_eq!(origins(&events), [(DeltaOrigin::Unspecified, "4")]);
    let certain = GenerateRequest { constraint: Some(regex("4!")), ..ask_small("2+2?") };
    let events = told(certain).await;
    assert!(origins(&events).iter().all(|(origin, _)| *origin == DeltaOrigin::Forced), "{events:?}");

    let drafted = GenerateRequest { policy: "speculate:draft=small,with=model".into(), ..ask("unsure") };
    let events = told(drafted).await;
    let Some(Event::Finished(end)) = events.last() else { panic!("{events:?}") };
    let ledger = end.ledger.as_ref().unwrap();
    let mut sums = (0, 0);
    for event in &events {
        if let Event::Drafted(drafted) = event {
            assert_eq!((drafted.drafter.as_str(), drafted.target.as_str()), ("small", "large"));
            sums = (sums.0 + drafted.drafted, sums.1 + drafted.accepted);
        }
    }
    assert!(ledger.drafted > 0, "{ledger:?}");
    assert_eq!(sums, (ledger.drafted, ledger.accepted));

    let validators = vec![Validator { kind: Some(validator::Kind::Matches(regex("certainly"))) }];
    let judged = GenerateRequest { validators, ..ask("unsure") };
    let events = told(judged).await;
    let Some(Event::Finished(end)) = events.last() else { panic!("{events:?}") };
    let (mut segments, mut validated) = (Vec::new(), Vec::new());
    for event in &events {
        match event {
            Event::Segment(segment) => segments.push((segment.author.as_str(), segment.start)),
            Event::Validated(one) => validated.push((one.model.clone(), one.validation.clone().unwrap())),
            _ => {}
        }
    }
    assert_eq!(segments, [("small", 0), ("large", 0)]);
    let candidates = &end.ledger.as_ref().unwrap().candidates;
    let known = candidates.iter().map(|judged| (judged.model.clone(), judged.validators[0].clone()));
    assert_eq!(validated, known.collect::<Vec<_>>());
    assert_eq!(validated[0].1.verdict, "fail");
}

#[tokio::test]
async fn the_node_answers_in_process_with_the_same_events() {
    let harness = start("").await;
    let ctx = understudy_backend::RequestCtx::new("local");
    let mut answer = harness.node.inference().generate(ctx, ask_small("2+2?")).await.unwrap();
    let mut last = None;
    while let Some(event) = answer.next().await {
        last = event.unwrap().event;
    }
    assert!(matches!(last, Some(Event::Finished(end)) if end.text == "4"));
}

#[tokio::test]
async fn embed_score_and_tokenize_answer() {
    let harness = start("").await;
    let client = harness.client().await;
    let embedded =
        client.embed(EmbedRequest { model: String::new(), text: "hello".into() }, SOON).await.unwrap();
    assert_eq!((embedded.model.as_str(), embedded.tokens), ("small", 5));
    let length: f32 = embedded.values.iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-5);
    let tokens =
        client.tokenize(TokenizeRequest { model: "large".into(), text: "ab".into() }, SOON).await.unwrap();
    assert_eq!(tokens.ids, [97, 98]);
    let messages = vec![Message { role: "user".into(), content: "2+2".into(), ..Message::default() }];
    let candidates = vec!["4".into(), "5".into()];
    let request = ScoreRequest { model: "small".into(), messages, candidates, ..Default::default() };
    let scored = client.score(request, SOON).await.unwrap();
    assert!(scored.logprobs[0] > scored.logprobs[1], "{:?}", scored.logprobs);
    assert_eq!(scored.tokens, [1, 1]);
    assert_eq!(harness.small.open_sequences(), 0, "score keeps no sequence");
}

#[tokio::test]
async fn long_texts_are_scored_whole() {
    let essay = "so it goes on and on. ".repeat(20);
    let small = FakeBackend::new("small").when("essay", Reply::text(essay.clone()).logprob(-0.5));
    let harness = start_with("", small).await;
    let client = harness.client().await;
    let request = ScoreRequest {
        messages: vec![Message { role: "user".into(), content: "essay".into(), ..Message::default() }],
        candidates: vec![essay.clone(), "so".into(), essay.replace("goes", "went")],
        ..Default::default()
    };
    let scored = client.score(request, SOON).await.unwrap();
    assert_eq!(scored.tokens, [440, 2, 440]);
    assert!((scored.logprobs[0] + 220.0).abs() < 1e-3, "{:?}", scored.logprobs);
    assert!((scored.logprobs[1] + 1.0).abs() < 1e-4, "{:?}", scored.logprobs);
    assert!(scored.logprobs[2] < scored.logprobs[0], "{:?}", scored.logprobs);

    // The fake wants no beginning token: the first id is given.
    let ids: Vec<u32> = format!("essay{essay}").bytes().map(u32::from).collect();
    let scored = client.score(ScoreRequest { ids, ..Default::default() }, SOON).await.unwrap();
    assert_eq!((scored.tokens.as_slice(), scored.logprobs.len()), ([444].as_slice(), 1));
    assert_eq!(harness.small.open_sequences(), 0, "score keeps no sequence");
}

#[tokio::test]
async fn texts_that_cannot_be_scored_are_refused() {
    let harness = start("").await;
    let client = harness.client().await;
    let message = || vec![Message { role: "user".into(), content: "hi".into(), ..Message::default() }];
    let cases = [
        (ScoreRequest { ids: vec![65], ..Default::default() }, "REQUEST_INVALID"),
        (ScoreRequest { ids: vec![65, 9_999_999], ..Default::default() }, "REQUEST_INVALID"),
        (ScoreRequest { ids: vec![65, 66], messages: message(), ..Default::default() }, "REQUEST_INVALID"),
        (ScoreRequest { ids: vec![65; 1_000_000], ..Default::default() }, "CONTEXT_OVERFLOW"),
        (ScoreRequest { messages: message(), ..Default::default() }, "REQUEST_INVALID"),
        (ScoreRequest { candidates: vec!["a".into()], ..Default::default() }, "PROMPT_EMPTY"),
    ];
    for (request, code) in cases {
        let shown = format!("{} ids, {} candidates", request.ids.len(), request.candidates.len());
        assert_eq!(client.score(request, SOON).await.unwrap_err().code, code, "{shown}");
    }
    assert_eq!(harness.small.open_sequences(), 0);
}

#[tokio::test]
async fn every_refusal_has_its_code_field_and_help() {
    let harness = start("").await;
    let client = harness.client().await;
    let message = |role: &str| Message { role: role.into(), content: "hi".into(), ..Message::default() };
    let sampling = |temperature| Some(Sampling { temperature, ..Default::default() });
    let regex = |pattern: &str| Some(Constraint { kind: Some(Kind::Regex(pattern.into())) });
    let cases = [
        (ask(""), "PROMPT_EMPTY", "prompt"),
        (ask(" \n\t"), "PROMPT_EMPTY", "prompt"),
        (GenerateRequest { messages: vec![message("user")], ..ask("x") }, "REQUEST_INVALID", "prompt"),
        (GenerateRequest { messages: vec![message("robot")], ..ask("") }, "REQUEST_INVALID", "messages"),
        (GenerateRequest { policy: "cascde".into(), ..ask("x") }, "POLICY_UNKNOWN", "policy"),
        (GenerateRequest { policy: "cascade:threshold=2".into(), ..ask("x") }, "POLICY_UNKNOWN", "policy"),
        (GenerateRequest { policy: "cascade".into(), ..ask_small("x") }, "REQUEST_INVALID", "model"),
        (GenerateRequest { max_tokens: Some(0), ..ask("x") }, "REQUEST_INVALID", "max_tokens"),
        (GenerateRequest { stop: vec![String::new()], ..ask("x") }, "REQUEST_INVALID", "stop"),
        (GenerateRequest { sampling: sampling(f32::NAN), ..ask("x") }, "REQUEST_INVALID", "temperature"),
        (GenerateRequest { constraint: regex("("), ..ask("x") }, "CONSTRAINT_INVALID", "constraint"),
        (
            GenerateRequest { constraint: Some(Constraint { kind: None }), ..ask("x") },
            "CONSTRAINT_INVALID",
            "constraint",
        ),
        (GenerateRequest { request_id: "two words".into(), ..ask("x") }, "REQUEST_INVALID", "request_id"),
    ];
    for (request, code, field) in cases {
        let error = refusal(&client, request.clone()).await;
        assert_eq!(error.code, code, "{request:?}: {error}");
        assert_eq!(error.fields.first().map(|(path, _)| path.as_str()), Some(field), "{request:?}");
        assert_eq!(error.help, understudy_gateway::codes::find(code).unwrap().help);
        assert_eq!(error.status, tonic::Code::InvalidArgument);
    }
}

#[tokio::test]
async fn causes_below_the_gateway_arrive_as_codes() {
    let broken = FakeBackend::new("small")
        .when("dead end", Reply::text("abc").fail_at(1, Fault::Error(EngineError::DeadEnd)))
        .when("nan", Reply::text("abc").fail_at(1, Fault::Error(EngineError::NonFiniteLogits)));
    let harness = start_with("", broken).await;
    let client = harness.client().await;
    for (prompt, code) in [("dead end", "CONSTRAINT_DEAD_END"), ("nan", "NON_FINITE")] {
        assert_eq!(refusal(&client, ask_small(prompt)).await.code, code);
    }
    let unknown = refusal(&client, GenerateRequest { model: "smal".into(), ..ask("x") }).await;
    assert_eq!((unknown.code.as_str(), unknown.metadata["suggestion"].as_str()), ("MODEL_UNKNOWN", "small"));
    let unknown = refusal(&client, GenerateRequest { model: "x".repeat(100_000), ..ask("x") }).await;
    assert_eq!(unknown.code, "MODEL_UNKNOWN", "a huge name must not break the stream");
    for (failure, code) in [
        (load_failure("HUB_NO_SOURCE"), "HUB_NO_SOURCE"),
        (load_failure("GGUF_TRUNCATED"), "MODEL_LOAD_FAILED"),
        (BackendError::Overloaded { model: "large".into(), waiting: 3 }, "OVERLOADED"),
    ] {
        harness.slots.fail("large", failure);
        let error = refusal(&client, GenerateRequest { model: "large".into(), ..ask("x") }).await;
        assert_eq!((error.code.as_str(), error.metadata["model"].as_str()), (code, "large"));
        assert_eq!(error.retry_after.is_some(), code == "OVERLOADED");
    }
}

fn load_failure(code: &str) -> BackendError {
    BackendError::Load { model: "large".into(), why: "broken".into(), code: code.into() }
}

#[tokio::test]
async fn a_megabyte_over_the_context_is_refused_by_its_length() {
    let harness = start("").await;
    let client = harness.client().await;
    let error = refusal(&client, ask_small(&"word ".repeat(1 << 18))).await;
    assert_eq!((error.code.as_str(), error.status), ("CONTEXT_OVERFLOW", tonic::Code::InvalidArgument));
    assert_eq!(error.metadata["context"], "4096");

    let error = refusal(&client, ask_small(&"x".repeat(5 << 20))).await;
    assert_eq!(error.code, "MESSAGE_TOO_LARGE", "{error}");
    let (shown, _) = read(client.generate(ask_small("2+2"), SOON).await.unwrap()).await;
    assert_eq!(shown, "4", "the connection survives");
}

#[tokio::test]
async fn a_deadline_ends_an_answer_with_the_text_so_far() {
    let harness = start("").await;
    let begun = Instant::now();
    let events =
        harness.client().await.generate(ask_small("slow"), Duration::from_millis(600)).await.unwrap();
    let (shown, end) = read(events).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    match end {
        Ok(end) => assert_eq!((end.finish_reason.as_str(), end.text), ("deadline", shown)),
        Err(error) => assert_eq!(error.code, "DEADLINE"),
    }
    harness.within(SOON, "closing the sequence", |h| h.small.open_sequences() == 0).await;
}

#[tokio::test]
async fn the_node_bounds_deadlines_and_unary_calls_too() {
    let hangs = FakeBackend::new("small").when("hang", Reply::text("abc").fail_at(1, Fault::Hang));
    let harness = start_with("[timeouts]\nrequest_ms = 300", hangs).await;
    let client = harness.client().await;
    let begun = Instant::now();
    let (_, end) = read(client.generate(ask_small("hang"), SOON).await.unwrap()).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(end.map_or_else(|error| error.code == "DEADLINE", |end| end.finish_reason == "deadline"));
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_sequence() {
    let harness = start("").await;
    let client = harness.client().await;
    let mut events = client.generate(ask_small("slow"), SOON).await.unwrap();
    while !matches!(event_of(events.next().await.unwrap().unwrap()), Event::Delta(_)) {}
    assert_eq!((harness.small.open_sequences(), harness.node.in_flight()), (1, 1));
    drop(events);
    harness.within(Duration::from_secs(1), "cancelling", |h| h.small.open_sequences() == 0).await;
    harness.within(Duration::from_secs(1), "freeing the place", |h| h.node.in_flight() == 0).await;
}

#[tokio::test]
async fn sixteen_streams_do_not_mix() {
    let model = (0..16).fold(FakeBackend::new("small"), |model, i| {
        let reply = Reply::text(format!("<{i}>").repeat(20)).token_delay(Duration::from_millis(1));
        model.when(format!("question {i:02}."), reply)
    });
    let harness = start_with("", model).await;
    let client = harness.client().await;
    let asked = (0..16).map(|i| {
        let client = client.clone();
        tokio::spawn(async move {
            let events = client.generate(ask_small(&format!("question {i:02}.")), SOON).await.unwrap();
            let (shown, end) = read(events).await;
            assert_eq!(shown, format!("<{i}>").repeat(20));
            assert_eq!(end.unwrap().text, shown);
        })
    });
    for answer in asked.collect::<Vec<_>>() {
        answer.await.unwrap();
    }
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once_with_a_time_to_retry() {
    let harness = start("[limits]\nmax_requests = 1").await;
    let client = harness.client().await;
    let mut first = client.generate(ask_small("slow"), SOON).await.unwrap();
    first.next().await.unwrap().unwrap();
    let error = refusal(&client, ask_small("2+2")).await;
    assert_eq!((error.code.as_str(), error.status), ("OVERLOADED", tonic::Code::ResourceExhausted));
    assert!(error.retry_after.is_some_and(|delay| delay > Duration::ZERO));
    drop(first);
    harness.within(SOON, "freeing the place", |h| h.node.in_flight() == 0).await;
    assert_eq!(read(client.generate(ask_small("2+2"), SOON).await.unwrap()).await.0, "4");
}
