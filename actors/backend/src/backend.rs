//! The trait that carries verbs.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use understudy_engine::{
    codec::Codec,
    gate::TokenGate,
    model::gates::Gate,
    pace::Pace,
    verbs::{Cost, Draft, RunSpec, SamplerSpec, StepResult, StopReason, TokenId, Verified, VerifySpec},
};
use understudy_grammars::Pattern;

use crate::{BackendError, NodeId, RequestCtx, SeqId};

/// Tokens of a run travel through a channel of this capacity. When it is full the engine
/// parks the run (other runs go on) until the reader catches up.
pub const RUN_CHANNEL_CAPACITY: usize = 32;

/// What is known of a loaded model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCard {
    /// Its name in the catalogue, or the file's stem.
    pub name: String,
    /// GGUF architecture, or `bert`.
    pub architecture: String,
    /// Whether it writes text; a model that does not only embeds.
    pub generates: bool,
    /// Longest sequence in tokens that this slot accepts.
    pub context: usize,
    /// Bytes of weights read to decode one token.
    pub bytes_per_token: u64,
    /// The arithmetic that produced its answers, for example `cpu-f32`.
    pub numerics: String,
    /// What is known of its fast kernels on this machine.
    pub gates: Vec<Gate>,
    /// Digest of the tokenizer.
    pub codec_digest: String,
    /// Digest of the weights: slots of the same one are twins, and an answer that one began the other ends.
    pub digest: String,
}

/// What `open` needs.
pub struct OpenRequest {
    /// Prompt ids, at least one.
    pub prompt: Vec<TokenId>,
    /// How tokens are sampled.
    pub sampler: SamplerSpec,
    /// Which tokens are allowed.
    pub gate: Option<OpenGate>,
}

/// A gate of the sampler, and what it was made of: who cannot be handed a gate makes one of its own.
pub struct OpenGate {
    /// The gate, after the tokens that were emitted.
    pub gate: Box<dyn TokenGate>,
    /// What the answer must look like.
    pub pattern: Arc<Pattern>,
    /// So many of the last tokens of the prompt are the beginning of the answer.
    pub emitted: usize,
    /// So many tokens the answer may still have.
    pub left: u32,
}

/// What `open` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The new sequence.
    pub seq: SeqId,
    /// Prompt tokens found in the prefix cache.
    pub cached: usize,
}

/// One event of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// A token.
    Step(StepResult),
    /// The end; nothing follows.
    Stopped {
        /// Why.
        reason: StopReason,
        /// Length of the sequence now.
        len: usize,
        /// What the run cost.
        cost: Cost,
    },
}

/// Events of a run, in order. Dropping it cancels the run.
#[derive(Debug)]
pub struct RunStream {
    events: mpsc::Receiver<Result<RunEvent, BackendError>>,
    model: String,
}

impl RunStream {
    /// Wraps the receiving end; a sender dropped before `Stopped` reads as a lost engine.
    pub fn new(model: impl Into<String>, events: mpsc::Receiver<Result<RunEvent, BackendError>>) -> Self {
        Self { events, model: model.into() }
    }

    /// The next event if it is there already.
    pub fn ready(&mut self) -> Option<Result<RunEvent, BackendError>> {
        self.events.try_recv().ok()
    }

    /// The next event, no later than the request's deadline.
    ///
    /// # Errors
    /// [`BackendError::Deadline`], [`BackendError::Cancelled`], or the engine's failure.
    pub async fn next(&mut self, ctx: &RequestCtx) -> Result<RunEvent, BackendError> {
        let model = &self.model;
        let events = &mut self.events;
        ctx.bound(async {
            events.recv().await.unwrap_or_else(|| {
                Err(BackendError::EngineLost {
                    model: model.clone(),
                    why: "its thread ended without an answer".into(),
                })
            })
        })
        .await
    }
}

/// The verbs of one model.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The model behind it.
    fn card(&self) -> &ModelCard;

    /// Where it is; 0 is this process.
    fn node(&self) -> NodeId {
        NodeId::default()
    }

    /// Its tokenizer and template.
    fn codec(&self) -> Arc<dyn Codec>;

    /// What its passes took lately, by the rows of a single request: what checking a draft costs. The way there and back
    /// is part of it.
    fn pace(&self) -> Pace;

    /// Seconds there and back, which each verb takes once; 0 in this process.
    fn round_trip(&self) -> f64 {
        0.0
    }

    /// Makes a sequence of the prompt. Waits for a permit of the slot; the permit is held
    /// until `close`.
    async fn open(&self, ctx: &RequestCtx, request: OpenRequest) -> Result<Opened, BackendError>;

    /// Appends tokens chosen elsewhere; answers the new length.
    async fn extend(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        ids: Vec<TokenId>,
    ) -> Result<usize, BackendError>;

    /// Decodes. The stream's channel holds [`RUN_CHANNEL_CAPACITY`] events.
    async fn run(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        spec: RunSpec,
    ) -> Result<RunStream, BackendError>;

    /// Drafts `k` tokens without keeping them.
    async fn propose(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        k: usize,
    ) -> Result<(Draft, Cost), BackendError>;

    /// Checks a draft in one forward pass; what stands of it and the next token are kept.
    async fn verify(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        spec: VerifySpec,
    ) -> Result<(Verified, Cost), BackendError>;

    /// Drops everything after `len` tokens.
    async fn truncate(&self, ctx: &RequestCtx, seq: SeqId, len: usize) -> Result<usize, BackendError>;

    /// Copies a sequence; the copy samples on `lane`.
    async fn fork(&self, ctx: &RequestCtx, seq: SeqId, lane: u32) -> Result<SeqId, BackendError>;

    /// Log-probability sum of each candidate continuation; the sequence is unchanged.
    async fn score(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        candidates: Vec<Vec<TokenId>>,
    ) -> Result<(Vec<f32>, Cost), BackendError>;

    /// Mean-pooled, L2-normalised hidden state of a text.
    async fn embed(&self, ctx: &RequestCtx, ids: Vec<TokenId>) -> Result<(Vec<f32>, Cost), BackendError>;

    /// Gives the sequence back without waiting. Idempotent; also happens when the
    /// request's cancel token fires.
    fn close(&self, seq: SeqId);
}

/// Progress of making a model ready, shown to whoever waits for it.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadEvent {
    /// Its file is being fetched.
    Fetching {
        /// Model.
        model: String,
        /// Source, for people.
        source: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Its weights are being mapped and warmed.
    Loading {
        /// Model.
        model: String,
    },
}

/// Finds a backend by model name, loading (and fetching) it when needed.
#[async_trait]
pub trait Slots: Send + Sync {
    /// A ready backend. `progress` may be dropped; its capacity is the caller's choice and
    /// events that do not fit are skipped (they are informative only).
    async fn backend(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError>;
}
