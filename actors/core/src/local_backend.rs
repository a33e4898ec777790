//! The verbs over an engine thread of this process.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use understudy_backend::{
    Backend, BackendError, ModelCard, OpenRequest, Opened, RequestCtx, RunStream, SeqId,
};
use understudy_engine::{
    codec::Codec,
    pace::Pace,
    verbs::{Cost, Draft, OpenSpec, Outcome, RunSpec, TokenId, Verb, Verified, VerifySpec},
};

use crate::engine_thread::EngineHandle;

/// The present incarnation of a slot's engine, if there is one.
#[derive(Default)]
pub(crate) struct CurrentEngine(RwLock<Option<Arc<EngineHandle>>>);

impl CurrentEngine {
    pub(crate) fn get(&self) -> Option<Arc<EngineHandle>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, engine: Arc<EngineHandle>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(engine);
    }

    /// Forgets this incarnation; a later one stays.
    pub(crate) fn clear(&self, boot: u64) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|engine| engine.boot() == boot) {
            *current = None;
        }
    }
}

/// A [`Backend`] that survives restarts of its engine: sequences of the engine before are
/// stale, `open` reaches the present one. Every wait is bounded by the request.
pub struct LocalBackend {
    card: ModelCard,
    codec: Arc<dyn Codec>,
    current: Arc<CurrentEngine>,
}

impl LocalBackend {
    pub(crate) fn new(card: ModelCard, codec: Arc<dyn Codec>, current: Arc<CurrentEngine>) -> Self {
        Self { card, codec, current }
    }

    fn engine(&self) -> Result<Arc<EngineHandle>, BackendError> {
        let why = || "its engine is not running".to_string();
        self.current
            .get()
            .ok_or_else(|| BackendError::Unavailable { model: self.card.name.clone(), why: why() })
    }

    /// The engine and the sequence's key in it; stale if the engine is another or none.
    fn engine_of(
        &self,
        seq: SeqId,
    ) -> Result<(Arc<EngineHandle>, understudy_engine::verbs::SeqKey), BackendError> {
        let engine = self.current.get().ok_or(understudy_engine::EngineError::StaleSeq)?;
        let key = engine.key_of(seq)?;
        Ok((engine, key))
    }
}

fn misanswered<T>(outcome: &Outcome) -> Result<T, BackendError> {
    Err(crate::engine_thread::misanswered(outcome))
}

#[async_trait]
impl Backend for LocalBackend {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn codec(&self) -> Arc<dyn Codec> {
        self.codec.clone()
    }

    fn pace(&self) -> Pace {
        self.current.get().map(|engine| engine.pace()).unwrap_or_default()
    }

    async fn open(&self, ctx: &RequestCtx, request: OpenRequest) -> Result<Opened, BackendError> {
        let engine = self.engine()?;
        let permit = engine.permit(ctx).await?;
        let OpenRequest { prompt, sampler, gate } = request;
        let gate = gate.map(|open| open.gate);
        let verb = Verb::Open(OpenSpec { prompt, sampler, gate, partition: ctx.tenant.as_str().into() });
        match engine.call(ctx, verb, Some(permit)).await?.0 {
            Outcome::Opened { seq, cached } => Ok(Opened { seq: engine.seq_id(seq), cached }),
            other => misanswered(&other),
        }
    }

    async fn extend(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        ids: Vec<TokenId>,
    ) -> Result<usize, BackendError> {
        let (engine, seq) = self.engine_of(seq)?;
        match engine.call(ctx, Verb::Extend { seq, at, ids }, None).await?.0 {
            Outcome::Length(len) => Ok(len),
            other => misanswered(&other),
        }
    }

    async fn run(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        spec: RunSpec,
    ) -> Result<RunStream, BackendError> {
        let (engine, seq) = self.engine_of(seq)?;
        engine.run(ctx, Verb::Run { seq, at, spec })
    }

    async fn propose(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        k: usize,
    ) -> Result<(Draft, Cost), BackendError> {
        let (engine, seq) = self.engine_of(seq)?;
        match engine.call(ctx, Verb::Propose { seq, at, k }, None).await? {
            (Outcome::Proposed(draft), cost) => Ok((draft, cost)),
            (other, _) => misanswered(&other),
        }
    }

    async fn verify(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        spec: VerifySpec,
    ) -> Result<(Verified, Cost), BackendError> {
        let (engine, seq) = self.engine_of(seq)?;
        match engine.call(ctx, Verb::Verify { seq, at, spec }, None).await? {
            (Outcome::Verified(verified), cost) => Ok((verified, cost)),
            (other, _) => misanswered(&other),
        }
    }

    async fn truncate(&self, ctx: &RequestCtx, seq: SeqId, len: usize) -> Result<usize, BackendError> {
        let (engine, seq) = self.engine_of(seq)?;
        match engine.call(ctx, Verb::Truncate { seq, len }, None).await?.0 {
            Outcome::Length(len) => Ok(len),
            other => misanswered(&other),
        }
    }

    async fn fork(&self, ctx: &RequestCtx, seq: SeqId, lane: u32) -> Result<SeqId, BackendError> {
        let (engine, seq) = self.engine_of(seq)?;
        let permit = engine.permit(ctx).await?;
        match engine.call(ctx, Verb::Fork { seq, lane }, Some(permit)).await?.0 {
            Outcome::Forked(copy) => Ok(engine.seq_id(copy)),
            other => misanswered(&other),
        }
    }

    async fn score(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        candidates: Vec<Vec<TokenId>>,
    ) -> Result<(Vec<f32>, Cost), BackendError> {
        let (engine, seq) = self.engine_of(seq)?;
        match engine.call(ctx, Verb::Score { seq, candidates }, None).await? {
            (Outcome::Scores(scores), cost) => Ok((scores, cost)),
            (other, _) => misanswered(&other),
        }
    }

    async fn embed(&self, ctx: &RequestCtx, ids: Vec<TokenId>) -> Result<(Vec<f32>, Cost), BackendError> {
        let engine = self.engine()?;
        let permit = engine.permit(ctx).await?;
        match engine.call(ctx, Verb::Embed { ids }, Some(permit)).await? {
            (Outcome::Embedding(vector), cost) => Ok((vector, cost)),
            (other, _) => misanswered(&other),
        }
    }

    fn close(&self, seq: SeqId) {
        if let Some(engine) = self.current.get() {
            engine.close(seq);
        }
    }
}
