//! The fake keeps a backend's rules.

use std::time::Duration;

use tokio::sync::mpsc;
use understudy_engine::{
    EngineError,
    verbs::{Draft, RunSpec, SamplerSpec, SignalMode, StopReason, StopWhen, TokenId},
};

use super::{Call, FakeBackend, FakeSlots, Fault, Reply};
use crate::{Backend, BackendError, LoadEvent, OpenRequest, Opened, RequestCtx, RunEvent, RunStream, Slots};

const RUN: RunSpec = RunSpec {
    max_tokens: 64,
    stop_when: StopWhen { entropy_above: None, margin_below: None },
    signals: SignalMode::Full,
};

fn ids(text: &str) -> Vec<TokenId> {
    text.bytes().map(TokenId::from).collect()
}

async fn open(backend: &FakeBackend, ctx: &RequestCtx, prompt: &str) -> Opened {
    let request = OpenRequest { prompt: ids(prompt), sampler: SamplerSpec::default(), gate: None };
    backend.open(ctx, request).await.unwrap()
}

async fn read(run: &mut RunStream, ctx: &RequestCtx) -> (String, Result<StopReason, BackendError>) {
    let mut text = String::new();
    loop {
        match run.next(ctx).await {
            Ok(RunEvent::Step(step)) => text.push(char::from(step.token as u8)),
            Ok(RunEvent::Stopped { reason, .. }) => return (text, Ok(reason)),
            Err(error) => return (text, Err(error)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_engine_is_survived_by_reopening_from_emitted_ids() {
    let reply = Reply::text("hello").fail_once_at(3, Fault::Lost("panic".into()));
    let backend = FakeBackend::new("m").when("hi", reply);
    let ctx = RequestCtx::new("r");
    let opened = open(&backend, &ctx, "hi<assistant>").await;
    let mut run = backend.run(&ctx, opened.seq, 13, RUN).await.unwrap();
    let (text, end) = read(&mut run, &ctx).await;
    assert_eq!(text, "hel");
    assert!(matches!(end, Err(BackendError::EngineLost { .. })), "{end:?}");
    let stale = backend.truncate(&ctx, opened.seq, 5).await;
    assert_eq!(stale, Err(BackendError::Engine(EngineError::StaleSeq)));

    let again = open(&backend, &ctx, "hi<assistant>hel").await;
    let mut run = backend.run(&ctx, again.seq, 16, RUN).await.unwrap();
    assert_eq!(read(&mut run, &ctx).await, ("lo".into(), Ok(StopReason::End)));
}

#[tokio::test(start_paused = true)]
async fn a_hang_ends_at_the_deadline_and_an_error_keeps_the_sequence() {
    let backend = FakeBackend::new("m")
        .when("hang", Reply::text("abc").fail_at(1, Fault::Hang))
        .when("error", Reply::text("abc").fail_once_at(1, Fault::Error(EngineError::NonFiniteLogits)));
    let ctx = RequestCtx::new("r").with_timeout(Duration::from_secs(1));
    let opened = open(&backend, &ctx, "error").await;
    let mut run = backend.run(&ctx, opened.seq, 5, RUN).await.unwrap();
    let (text, end) = read(&mut run, &ctx).await;
    assert_eq!((text.as_str(), end), ("a", Err(EngineError::NonFiniteLogits.into())));
    let mut again = backend.run(&ctx, opened.seq, 6, RUN).await.unwrap();
    assert_eq!(read(&mut again, &ctx).await, ("bc".into(), Ok(StopReason::End)));

    let opened = open(&backend, &ctx, "hang").await;
    let mut run = backend.run(&ctx, opened.seq, 4, RUN).await.unwrap();
    assert_eq!(read(&mut run, &ctx).await, ("a".into(), Err(BackendError::Deadline)));
}

#[tokio::test(start_paused = true)]
async fn verbs_check_lengths_and_follow_the_script() {
    let backend =
        FakeBackend::new("m").when("q", Reply::text("abcd").logprob_at(1, -2.0).signals_at(2, 3.0, 0.1));
    let ctx = RequestCtx::new("r");
    let seq = open(&backend, &ctx, "q").await.seq;
    let wrong = backend.extend(&ctx, seq, 7, ids("x")).await;
    assert_eq!(wrong, Err(EngineError::LengthMismatch { expected: 7, actual: 1 }.into()));

    let until_unsure =
        RunSpec { stop_when: StopWhen { entropy_above: Some(1.0), margin_below: None }, ..RUN };
    let mut run = backend.run(&ctx, seq, 1, until_unsure).await.unwrap();
    assert_eq!(read(&mut run, &ctx).await, ("ab".into(), Ok(StopReason::Signal)));
    assert_eq!(backend.extend(&ctx, seq, 3, ids("C")).await, Ok(4));
    let (draft, _) = backend.propose(&ctx, seq, 4, 4).await.unwrap();
    assert_eq!(draft.ids, [100, 256]);
    assert_eq!(backend.truncate(&ctx, seq, 1).await, Ok(1));
    let draft = Draft { ids: ids("abX"), q: vec![vec![]; 3] };
    let (verified, _) = backend.verify(&ctx, seq, 1, draft, SignalMode::None).await.unwrap();
    assert_eq!((verified.accepted, verified.next.map(|s| s.token)), (2, Some(u32::from(b'c'))));
    let copy = backend.fork(&ctx, seq, 1).await.unwrap();
    let (scores, _) = backend.score(&ctx, copy, vec![ids("d"), ids("z")]).await.unwrap();
    assert!(scores[0] > scores[1]);
    let (embedding, _) = backend.embed(&ctx, ids("text")).await.unwrap();
    assert!((embedding.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
    backend.close(seq);
    backend.close(seq);
    assert_eq!(backend.open_sequences(), 1);
    assert_eq!(backend.calls().iter().filter(|call| **call == Call::Close).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_loses_its_sequences_and_its_permit() {
    let slow = Reply::text("abc").token_delay(Duration::from_secs(5));
    let backend = FakeBackend::new("m").when("q", slow).max_sequences(1);
    let (first, second) = (RequestCtx::new("1"), RequestCtx::new("2"));
    let seq = open(&backend, &first, "q").await.seq;
    let mut run = backend.run(&first, seq, 1, RUN).await.unwrap();
    let busy = backend.run(&first, seq, 1, RUN).await.err();
    assert_eq!(busy, Some(EngineError::SeqBusy.into()));
    let waits = second.clone().with_timeout(Duration::from_secs(1));
    let request = OpenRequest { prompt: ids("q"), sampler: SamplerSpec::default(), gate: None };
    assert_eq!(backend.open(&waits, request).await, Err(BackendError::Deadline));
    first.cancel.cancel();
    assert_eq!(run.next(&first).await, Err(BackendError::Cancelled));
    open(&backend, &second, "q").await;
    assert_eq!(backend.open_sequences(), 1);
}

#[tokio::test(start_paused = true)]
async fn slots_load_once_fail_and_suggest() {
    let slots = FakeSlots::new()
        .with_loading(FakeBackend::new("small"), Duration::from_secs(9), 100)
        .with(FakeBackend::new("large"));
    let ctx = RequestCtx::new("r");
    let (progress, mut events) = mpsc::channel(8);
    slots.backend(&ctx, "small", progress.clone()).await.unwrap();
    assert!(matches!(events.recv().await, Some(LoadEvent::Fetching { done: 0, total: 100, .. })));
    let before = tokio::time::Instant::now();
    slots.backend(&ctx, "small", progress.clone()).await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
    let unknown = slots.backend(&ctx, "smol", progress.clone()).await.err();
    assert_eq!(
        unknown,
        Some(BackendError::UnknownModel { name: "smol".into(), suggestion: Some("small".into()) })
    );
    slots
        .fail("large", BackendError::Load { model: "large".into(), why: "torn".into(), code: "GGUF".into() });
    assert!(matches!(slots.backend(&ctx, "large", progress).await, Err(BackendError::Load { .. })));
}
