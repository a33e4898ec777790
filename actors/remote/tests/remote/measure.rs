//! What the wire costs, on a quiet machine:
//! `cargo test --release -p understudy-remote --test remote -- --ignored --nocapture measure`
#![allow(clippy::print_stderr, reason = "figures are for whoever runs this")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use understudy_backend::fake::{FakeBackend, FakeSlots};
use understudy_backend::{
    Backend, BackendError, LoadEvent, ModelCard, OpenRequest, Opened, Pace, RequestCtx, RunEvent, RunStream,
    SeqId, Slots,
};
use understudy_engine::codec::Codec;
use understudy_engine::verbs::{Cost, Draft, RunSpec, StepResult, StopReason, TokenId, Verified, VerifySpec};
use understudy_remote::Peer;

use crate::far::{Far, channel, connect, ctx, open, read, run_of, serve};

/// A fake whose runs tell when each token was sent, one token each `pace`.
#[derive(Clone)]
struct Clocked {
    inner: FakeBackend,
    pace: Duration,
    sent: Arc<Mutex<Vec<Instant>>>,
}

#[async_trait]
impl Backend for Clocked {
    fn card(&self) -> &ModelCard {
        self.inner.card()
    }

    fn codec(&self) -> Arc<dyn Codec> {
        self.inner.codec()
    }

    fn pace(&self) -> Pace {
        self.inner.pace()
    }

    async fn open(&self, ctx: &RequestCtx, request: OpenRequest) -> Result<Opened, BackendError> {
        self.inner.open(ctx, request).await
    }

    async fn extend(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        ids: Vec<TokenId>,
    ) -> Result<usize, BackendError> {
        self.inner.extend(ctx, seq, at, ids).await
    }

    async fn run(
        &self,
        _: &RequestCtx,
        _: SeqId,
        _: usize,
        spec: RunSpec,
    ) -> Result<RunStream, BackendError> {
        let (sender, events) = mpsc::channel(32);
        let (pace, sent) = (self.pace, self.sent.clone());
        tokio::spawn(async move {
            let mut due = tokio::time::interval(pace.max(Duration::from_nanos(1)));
            for token in 0..spec.max_tokens {
                if !pace.is_zero() {
                    due.tick().await;
                }
                sent.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                let step = StepResult {
                    token: 97 + token % 26,
                    logprob: -0.1,
                    signals: None,
                    forced: false,
                    alternatives: None,
                };
                if sender.send(Ok(RunEvent::Step(step))).await.is_err() {
                    return;
                }
            }
            let (reason, cost) = (StopReason::Length, Cost::default());
            let _ = sender.send(Ok(RunEvent::Stopped { reason, len: 1, cost })).await;
        });
        Ok(RunStream::new("m", events))
    }

    async fn propose(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        k: usize,
    ) -> Result<(Draft, Cost), BackendError> {
        self.inner.propose(ctx, seq, at, k).await
    }

    async fn verify(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        spec: VerifySpec,
    ) -> Result<(Verified, Cost), BackendError> {
        self.inner.verify(ctx, seq, at, spec).await
    }

    async fn truncate(&self, ctx: &RequestCtx, seq: SeqId, len: usize) -> Result<usize, BackendError> {
        self.inner.truncate(ctx, seq, len).await
    }

    async fn fork(&self, ctx: &RequestCtx, seq: SeqId, lane: u32) -> Result<SeqId, BackendError> {
        self.inner.fork(ctx, seq, lane).await
    }

    async fn score(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        candidates: Vec<Vec<TokenId>>,
    ) -> Result<(Vec<f32>, Cost), BackendError> {
        self.inner.score(ctx, seq, candidates).await
    }

    async fn embed(&self, ctx: &RequestCtx, ids: Vec<TokenId>) -> Result<(Vec<f32>, Cost), BackendError> {
        self.inner.embed(ctx, ids).await
    }

    fn close(&self, seq: SeqId) {
        self.inner.close(seq);
    }
}

#[async_trait]
impl Slots for Clocked {
    async fn backend(
        &self,
        _: &RequestCtx,
        _: &str,
        _: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        Ok(Arc::new(self.clone()))
    }
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// Says what they are; p50 and p99.
fn tell(what: &str, mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort_unstable();
    let [half, most, all] = [0.5, 0.99, 1.0].map(|share| quantile(&times, share));
    eprintln!("{what}: p50 {half:?}, p99 {most:?}, max {all:?} of {}", times.len());
    [half, most]
}

/// Processor time of this process so far.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(' ').collect::<Vec<_>>();
    let fields: Vec<&str> = ticks.into_iter().rev().collect();
    let of = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((of(13) + of(14)) * 10)
}

/// A node without the wire that can be cut in between.
async fn straight(slots: impl Slots + 'static) -> (Far, Peer) {
    let far = Far::new(slots).await;
    let peer = Peer { channel: channel(&serve(&far.service, Some(1)).await), ..far.peer.clone() };
    (far, peer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn measure_calls() {
    let (_far, peer) = straight(FakeSlots::new().with(FakeBackend::new("m"))).await;
    let backend = connect(&peer, "m").await.unwrap();
    let seq = open(&backend, &ctx(), "q").await.unwrap();
    let mut times = Vec::new();
    for _ in 0..20_000 {
        let began = Instant::now();
        backend.truncate(&ctx(), seq, 1).await.unwrap();
        times.push(began.elapsed());
    }
    tell("a call", times.split_off(1000));
}

/// In turns, since a virtual machine is not the same from one minute to the next: a byte through a bare socket, a
/// token beside the engine, a token over the wire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn measure_tokens() {
    let pace = Duration::from_millis(5);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let clocked = Clocked { inner: FakeBackend::new("m"), pace, sent: sent.clone() };
    let (_far, peer) = straight(clocked.clone()).await;
    let remote = connect(&peer, "m").await.unwrap();
    let mut added = Vec::new();
    for _ in 0..7 {
        tell("a byte through a bare socket", bytes(1000, pace).await);
        let mut most = Vec::new();
        for (what, backend) in [("beside the engine", &clocked as &dyn Backend), ("over the wire", &remote)] {
            sent.lock().unwrap().clear();
            let seq = open(backend, &ctx(), "q").await.unwrap();
            let mut run = backend.run(&ctx(), seq, 1, run_of(1000)).await.unwrap();
            let mut arrived = Vec::new();
            while let Ok(RunEvent::Step(_)) = run.next(&ctx()).await {
                arrived.push(Instant::now());
            }
            let sent = sent.lock().unwrap().clone();
            let times = arrived.iter().zip(&sent).map(|(arrived, sent)| arrived.duration_since(*sent));
            most.push(tell(&format!("a token, from sent to read, {what}"), times.collect()));
        }
        added.push([0, 1].map(|at| most[1][at].saturating_sub(most[0][at])));
    }
    for (at, share) in ["p50", "p99"].into_iter().enumerate() {
        let mut rounds: Vec<_> = added.iter().map(|added| added[at]).collect();
        rounds.sort_unstable();
        let (least, half, most) = (rounds[0], quantile(&rounds, 0.5), quantile(&rounds, 1.0));
        eprintln!("the wire adds at {share}: {half:?} in the median of 7 rounds, {least:?} to {most:?}");
    }
}

/// What one byte takes from a task to another, each `pace`.
async fn bytes(count: usize, pace: Duration) -> Vec<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    near.set_nodelay(true).unwrap();
    let sending = tokio::spawn(async move {
        let (mut due, mut sent) = (tokio::time::interval(pace), Vec::new());
        for _ in 0..count {
            due.tick().await;
            sent.push(Instant::now());
            near.write_all(&[1]).await.unwrap();
        }
        sent
    });
    let mut arrived = Vec::new();
    while far.read_exact(&mut [0]).await.is_ok() {
        arrived.push(Instant::now());
    }
    arrived.iter().zip(sending.await.unwrap()).map(|(arrived, sent)| arrived.duration_since(sent)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn measure_throughput() {
    for (streams, pace, tokens) in [(64, Duration::from_millis(10), 1000), (16, Duration::ZERO, 50_000)] {
        let clocked = Clocked { inner: FakeBackend::new("m"), pace, sent: Arc::default() };
        let (_far, peer) = straight(clocked).await;
        let remote = Arc::new(connect(&peer, "m").await.unwrap());
        let (began, before) = (Instant::now(), busy());
        let runs: Vec<_> = (0..streams)
            .map(|_| {
                let remote = remote.clone();
                tokio::spawn(async move {
                    let seq = open(remote.as_ref(), &ctx(), "q").await.unwrap();
                    let mut run = remote.run(&ctx(), seq, 1, run_of(tokens)).await.unwrap();
                    assert_eq!(read(&mut run).await.len(), tokens as usize + 1);
                })
            })
            .collect();
        for run in runs {
            run.await.unwrap();
        }
        let (took, spent) = (began.elapsed(), busy() - before);
        let all = f64::from(streams * tokens);
        eprintln!(
            "{streams} runs, a token each {pace:?}: {:.0} tokens/s in {took:?}, {:.0} per second of processor (both ends)",
            all / took.as_secs_f64(),
            all / spent.as_secs_f64().max(0.01),
        );
    }
}
