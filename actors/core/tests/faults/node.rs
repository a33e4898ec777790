//! A node of scripted models with short limits, and ways to use it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use understudy_actors::engine_thread::EngineConfig;
use understudy_actors::scripted::{Script, ScriptedModels};
use understudy_actors::supervisor::Backoff;
use understudy_actors::{LocalSlots, NodeHealth, NodeTree, SlotConfig, SlotState, TreeOptions};
use understudy_backend::{Backend, BackendError, OpenRequest, RequestCtx, RunEvent, RunStream, SeqId, Slots};
use understudy_engine::verbs::{RunSpec, SamplerSpec, SignalMode, StopReason, StopWhen};

/// Every fault test ends within this.
pub const BOUND: Duration = Duration::from_secs(2);

/// An engine that does not beat this long is abandoned.
pub const STALL: Duration = Duration::from_millis(400);

pub struct Node {
    pub slots: LocalSlots,
    pub health: Arc<NodeHealth>,
    pub tree: NodeTree,
}

pub async fn node(scripts: &[&Script], adjust: impl FnOnce(&mut SlotConfig)) -> Node {
    let health = Arc::new(NodeHealth::default());
    let mut config =
        SlotConfig::new(EngineConfig { health: health.clone(), stall_limit: STALL, ..EngineConfig::new("") });
    adjust(&mut config);
    let models = Arc::new(ScriptedModels::new(scripts.iter().map(|script| (*script).clone())));
    let slots = LocalSlots::new(config, models.clone(), models);
    let millis = Duration::from_millis;
    let backoff = Backoff { first: millis(10), most: millis(40), ..Backoff::default() };
    let options = TreeOptions { backoff, seed: 1, ..TreeOptions::default() };
    let tree =
        NodeTree::start(options, slots.clone(), health.clone(), vec![]).await.expect("the tree starts");
    Node { slots, health, tree }
}

pub fn ctx() -> RequestCtx {
    RequestCtx::new("test").with_timeout(Duration::from_secs(10))
}

impl Node {
    pub async fn backend(&self, model: &str) -> Result<Arc<dyn Backend>, BackendError> {
        self.slots.backend(&ctx(), model, mpsc::channel(1).0).await
    }

    /// Waits until the slot is in this state; how long that took.
    pub async fn reaches(&self, model: &str, state: SlotState) -> Duration {
        let began = Instant::now();
        let mut status = self.slots.watch(model).expect("the slot exists");
        let reached = tokio::time::timeout(BOUND, status.wait_for(|status| status.state == state)).await;
        reached
            .unwrap_or_else(|_| panic!("{model} never got {state:?}: {:?}", self.slots.list()))
            .expect("the slot lives");
        began.elapsed()
    }
}

pub fn run_of(max_tokens: u32) -> RunSpec {
    RunSpec { max_tokens, stop_when: StopWhen::default(), signals: SignalMode::None }
}

pub async fn open(backend: &dyn Backend, ctx: &RequestCtx) -> Result<SeqId, BackendError> {
    let request = OpenRequest { prompt: vec![65], sampler: SamplerSpec::default(), gate: None };
    backend.open(ctx, request).await.map(|opened| opened.seq)
}

/// Opens and starts a run.
pub async fn start(backend: &dyn Backend, ctx: &RequestCtx, tokens: u32) -> (SeqId, RunStream) {
    let seq = open(backend, ctx).await.expect("a sequence");
    (seq, backend.run(ctx, seq, 1, run_of(tokens)).await.expect("a run"))
}

/// Reads to the end: how many tokens, and how it ended.
pub async fn read(run: &mut RunStream, ctx: &RequestCtx) -> (usize, Result<StopReason, BackendError>) {
    let mut tokens = 0;
    loop {
        match run.next(ctx).await {
            Ok(RunEvent::Step(_)) => tokens += 1,
            Ok(RunEvent::Stopped { reason, .. }) => return (tokens, Ok(reason)),
            Err(error) => return (tokens, Err(error)),
        }
    }
}

/// A whole answer of a slot that serves.
pub async fn answers(node: &Node, model: &str) -> Result<usize, BackendError> {
    let backend = node.backend(model).await?;
    let ctx = ctx();
    let seq = open(backend.as_ref(), &ctx).await?;
    let mut run = backend.run(&ctx, seq, 1, run_of(5)).await?;
    let (tokens, end) = read(&mut run, &ctx).await;
    backend.close(seq);
    end.map(|_| tokens)
}

/// Polls until it holds; how long that took.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < BOUND, "{what} did not happen within {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}

/// Figures for the report; shown with `--nocapture`.
#[allow(clippy::print_stdout, reason = "a test's figures")]
pub fn figure(what: &str, took: Duration) {
    println!("figure: {what}: {took:.1?}");
    assert!(took < BOUND, "{what} took {took:?}");
}
