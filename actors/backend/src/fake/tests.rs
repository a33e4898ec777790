//! The fake keeps a backend's rules.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use understudy_engine::{
    EngineError,
    gate::TokenGate,
    pace::Pace,
    verbs::{
        Acceptance, Draft, RunSpec, SamplerSpec, SignalMode, StopReason, StopWhen, TokenId, Verified,
        VerifySpec,
    },
};
use understudy_grammars::Pattern;

use super::{Call, FakeBackend, FakeSlots, Fault, Reply};
use crate::{
    Backend, BackendError, LoadEvent, OpenGate, OpenRequest, Opened, RequestCtx, RunEvent, RunStream, Slots,
};

const RUN: RunSpec = RunSpec {
    max_tokens: 64,
    stop_when: StopWhen { entropy_above: None, margin_below: None },
    signals: SignalMode::Full,
};

fn ids(text: &str) -> Vec<TokenId> {
    text.bytes().map(TokenId::from).collect()
}

fn check(draft: &str) -> VerifySpec {
    VerifySpec {
        draft: Draft::certain(ids(draft)),
        acceptance: Acceptance::Exact,
        most: 64,
        signals: SignalMode::None,
    }
}

fn said(verified: &Verified) -> String {
    verified.steps.iter().map(|step| char::from(step.token as u8)).collect()
}

/// Forces the text in front of `|`, and foresees what comes after; anything may come then, to a length.
#[derive(Clone)]
struct Form {
    forced: Vec<TokenId>,
    foreseen: Vec<TokenId>,
    most: usize,
    seen: usize,
}

impl Form {
    fn new(form: &str, most: usize) -> Self {
        let (forced, foreseen) = form.split_once('|').unwrap();
        Self { forced: ids(forced), foreseen: ids(foreseen), most, seen: 0 }
    }
}

impl TokenGate for Form {
    fn mask(&mut self, allowed: &mut [u32]) {
        allowed.fill(u32::MAX);
    }
    fn accept(&mut self, token: TokenId) -> bool {
        let fits = self.forced.get(self.seen).is_none_or(|only| *only == token);
        self.seen += usize::from(fits);
        fits
    }
    fn rollback(&mut self, count: usize) {
        self.seen -= count;
    }
    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(self.clone())
    }
    fn forced(&mut self) -> Vec<TokenId> {
        self.forced.get(self.seen..).map(<[_]>::to_vec).unwrap_or_default()
    }
    fn foreseen(&mut self, most: usize) -> Vec<TokenId> {
        let past = self.seen.saturating_sub(self.forced.len());
        self.foreseen.iter().skip(past).take(most).copied().collect()
    }
    fn is_complete(&mut self) -> bool {
        self.seen >= self.most
    }
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
    let (verified, cost) = backend.verify(&ctx, seq, 1, check("abX")).await.unwrap();
    assert_eq!((said(&verified), verified.drafted, verified.accepted), ("abc".into(), 3, 2));
    assert_eq!(cost.decode_rows, 4);
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
async fn a_verification_ends_where_a_run_would_and_fails_as_a_verb_does() {
    let backend = FakeBackend::new("m")
        .when("q", Reply::text("abcd"))
        .when("error", Reply::text("abcd").fail_once_at(2, Fault::Error(EngineError::NonFiniteLogits)));
    let ctx = RequestCtx::new("r");
    let seq = open(&backend, &ctx, "q").await.seq;
    let (verified, _) = backend.verify(&ctx, seq, 1, VerifySpec { most: 2, ..check("abcd") }).await.unwrap();
    assert_eq!((said(&verified), verified.accepted, verified.stop), ("ab".into(), 1, None));
    let end = VerifySpec { draft: Draft::certain(vec![99, 100, 256]), ..check("") };
    let (verified, _) = backend.verify(&ctx, seq, 3, end).await.unwrap();
    assert_eq!((said(&verified), verified.accepted, verified.stop), ("cd".into(), 3, Some(StopReason::End)));

    let seq = open(&backend, &ctx, "error").await.seq;
    let failed = backend.verify(&ctx, seq, 5, check("abcd")).await;
    assert_eq!(failed, Err(EngineError::NonFiniteLogits.into()));
    let (verified, _) = backend.verify(&ctx, seq, 5, check("abcd")).await.unwrap();
    assert_eq!(said(&verified), "abcd", "the sequence was as before");
    assert!(backend.verify(&ctx, seq, 9, VerifySpec { most: 0, ..check("") }).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_verification_heeds_its_gate() {
    let backend = FakeBackend::new("m").when("q", Reply::text("{}abcdef"));
    let ctx = RequestCtx::new("r");
    let open = async |form: Form| {
        let pattern = Arc::new(Pattern::Regex(".*".into()));
        let gate = OpenGate { gate: Box::new(form), pattern, emitted: 0, left: 0 };
        let request = OpenRequest { prompt: ids("q"), sampler: SamplerSpec::default(), gate: Some(gate) };
        backend.open(&ctx, request).await.unwrap().seq
    };
    for (draft, drafted, accepted, text) in
        [("{}ax", 2, 1, "{}ab"), ("no", 0, 0, "{}abc"), ("", 0, 0, "{}abc"), ("{}", 0, 0, "{}abc")]
    {
        let seq = open(Form::new("{}|abX", 9)).await;
        let (verified, _) = backend.verify(&ctx, seq, 1, check(draft)).await.unwrap();
        assert_eq!((verified.drafted, verified.accepted, said(&verified)), (drafted, accepted, text.into()));
        assert!(verified.steps[0].forced && verified.steps[1].forced && !verified.steps[2].forced);
        assert_eq!(verified.foreseen, 3 - (text.len() - 2));
    }
    let seq = open(Form::new("{}|", 2)).await;
    let (verified, cost) = backend.verify(&ctx, seq, 1, check("{}ab")).await.unwrap();
    assert_eq!((said(&verified), verified.stop), ("{}".into(), Some(StopReason::Constraint)));
    assert_eq!(cost.decode_rows, 0, "what is forced needs no arithmetic");
}

#[tokio::test(start_paused = true)]
async fn leniency_and_pace_are_scripted() {
    let pace = Pace::measured([(1, 0.010), (5, 0.020)]);
    let backend = FakeBackend::new("m").when("q", Reply::text("abcd").tolerates(1)).paced(pace);
    assert_eq!(backend.pace().seconds(5), Some(0.020));
    let ctx = RequestCtx::new("r");
    for (alpha, text) in [(0.0, "ab"), (0.3, "aXc")] {
        let seq = open(&backend, &ctx, "q").await.seq;
        let spec = VerifySpec { acceptance: Acceptance::Lenient { alpha }, ..check("aXX") };
        let (verified, _) = backend.verify(&ctx, seq, 1, spec).await.unwrap();
        assert_eq!(said(&verified), text);
    }
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
