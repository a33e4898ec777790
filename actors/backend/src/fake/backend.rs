//! The fake as a [`Backend`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use understudy_engine::{
    EngineError,
    codec::Codec,
    pace::Pace,
    verbs::{Cost, Draft, RunSpec, TokenId, Verified, VerifySpec},
};

use super::call::Call;
use super::sequences::{Sequences, text_of};
use super::verify::Checked;
use super::{ByteCodec, Fault};
use crate::backend::RUN_CHANNEL_CAPACITY;
use crate::{Backend, BackendError, ModelCard, NodeId, OpenRequest, Opened, RequestCtx, RunStream, SeqId};

/// A backend that plays [`Reply`](super::Reply)s. Cheap to clone; clones share everything.
///
/// Without a matching [`when`](Self::when) it says `ok`.
#[derive(Clone)]
pub struct FakeBackend {
    pub(super) card: ModelCard,
    pub(super) node: NodeId,
    pub(super) cached_prefix: usize,
    pub(super) pace: Pace,
    pub(super) round_trip: f64,
    pub(super) codec: Arc<dyn Codec>,
    pub(super) shared: Arc<Shared>,
    pub(super) permits: Option<Arc<Semaphore>>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) sequences: Mutex<Sequences>,
    pub(super) calls: Mutex<Vec<Call>>,
    /// What the next `open`s say.
    pub(super) refusals: Mutex<VecDeque<BackendError>>,
}

impl FakeBackend {
    /// Every verb that arrived, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sequences open now: a test's leak check.
    pub fn open_sequences(&self) -> usize {
        self.lock().count()
    }

    /// The next `times` calls of `open` fail so.
    pub fn refuse(&self, times: usize, failure: BackendError) {
        let mut refusals = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.extend(std::iter::repeat_n(failure, times));
    }

    /// The engine dies now.
    pub fn lose_engine(&self) {
        self.lock().lose();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Sequences> {
        self.shared.sequences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: Call) {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    pub(super) fn lost(&self, why: impl Into<String>) -> BackendError {
        BackendError::EngineLost { model: self.card.name.clone(), why: why.into() }
    }

    pub(super) fn cost(&self, prefill_rows: u64, decode_rows: u64) -> Cost {
        Cost {
            prefill_rows,
            adopted_rows: 0,
            decode_rows,
            forward_passes: decode_rows.max(u64::from(prefill_rows > 0)),
            bytes_read: decode_rows * self.card.bytes_per_token,
            compute_us: 10 * prefill_rows + 100 * decode_rows,
        }
    }

    async fn permit(&self) -> Result<Option<OwnedSemaphorePermit>, BackendError> {
        match &self.permits {
            Some(permits) => permits
                .clone()
                .acquire_owned()
                .await
                .map(Some)
                .map_err(|_| self.lost("its permits are closed")),
            None => Ok(None),
        }
    }

    /// The sequences, if the handle is of this boot and the request still wants something.
    fn sequences_for(&self, ctx: &RequestCtx, seq: SeqId) -> Result<MutexGuard<'_, Sequences>, BackendError> {
        alive(ctx)?;
        let sequences = self.lock();
        if seq.boot == sequences.boot { Ok(sequences) } else { Err(EngineError::StaleSeq.into()) }
    }

    /// Closes the sequence when its request is cancelled.
    fn tie_to_request(&self, ctx: &RequestCtx, seq: SeqId) {
        let Ok(closed) = self.lock().get(seq.key).map(|sequence| sequence.closed.clone()) else { return };
        let (cancel, backend) = (ctx.cancel.clone(), self.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = cancel.cancelled() => backend.close(seq),
            }
        });
    }
}

/// A request that is over gets no more work done.
fn alive(ctx: &RequestCtx) -> Result<(), BackendError> {
    if ctx.cancel.is_cancelled() {
        return Err(BackendError::Cancelled);
    }
    match ctx.remaining() {
        Some(Duration::ZERO) => Err(BackendError::Deadline),
        _ => Ok(()),
    }
}

#[async_trait]
impl Backend for FakeBackend {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn node(&self) -> NodeId {
        self.node
    }

    fn codec(&self) -> Arc<dyn Codec> {
        self.codec.clone()
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn round_trip(&self) -> f64 {
        self.round_trip
    }

    async fn open(&self, ctx: &RequestCtx, request: OpenRequest) -> Result<Opened, BackendError> {
        self.note(Call::Open(text_of(&request.prompt)));
        let refusal = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        refusal.map_or(Ok(()), Err)?;
        check_tokens("prompt", &request.prompt)?;
        if request.prompt.len() > self.card.context {
            let (tokens, context) = (request.prompt.len(), self.card.context);
            return Err(EngineError::ContextOverflow { tokens, context }.into());
        }
        let permit = ctx.bound(self.permit()).await?;
        let cached = self.cached_prefix.min(request.prompt.len() - 1);
        let unpaid = (request.prompt.len() - cached) as u64;
        let gate = request.gate.map(|open| open.gate);
        let seq = {
            let mut sequences = self.lock();
            let key = sequences.open(request.prompt, &request.sampler, gate, unpaid, permit)?;
            SeqId { node: self.node, boot: sequences.boot, key }
        };
        self.tie_to_request(ctx, seq);
        Ok(Opened { seq, cached })
    }

    async fn extend(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        ids: Vec<TokenId>,
    ) -> Result<usize, BackendError> {
        self.note(Call::Extend(text_of(&ids)));
        check_tokens("extension", &ids)?;
        let mut sequences = self.sequences_for(ctx, seq)?;
        let sequence = sequences.at(seq.key, at)?;
        if at + ids.len() > self.card.context {
            return Err(
                EngineError::ContextOverflow { tokens: at + ids.len(), context: self.card.context }.into()
            );
        }
        for id in &ids {
            if let Err(refused) = sequence.append(*id) {
                sequence.truncate(at)?;
                return Err(refused.into());
            }
        }
        sequence.unpaid_rows += ids.len() as u64;
        Ok(sequence.tokens.len())
    }

    async fn run(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        spec: RunSpec,
    ) -> Result<RunStream, BackendError> {
        self.note(Call::Run(spec));
        let closed = {
            let mut sequences = self.sequences_for(ctx, seq)?;
            let sequence = sequences.at(seq.key, at)?;
            sequence.busy = true;
            sequence.closed.clone()
        };
        let (sender, receiver) = mpsc::channel(RUN_CHANNEL_CAPACITY);
        tokio::spawn(self.clone().play(ctx.clone(), seq.key, spec, closed, sender));
        Ok(RunStream::new(self.card.name.clone(), receiver))
    }

    async fn propose(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        k: usize,
    ) -> Result<(Draft, Cost), BackendError> {
        self.note(Call::Propose(k));
        let mut sequences = self.sequences_for(ctx, seq)?;
        sequences.at(seq.key, at)?;
        let mut ids = Vec::new();
        for ahead in 0..k {
            let (token, _) = sequences.scripted(seq.key, ahead)?;
            ids.push(token);
            if token == ByteCodec::END {
                break;
            }
        }
        let rows = ids.len() as u64;
        Ok((Draft::certain(ids), self.cost(0, rows)))
    }

    async fn verify(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        spec: VerifySpec,
    ) -> Result<(Verified, Cost), BackendError> {
        self.note(Call::Verify(text_of(&spec.draft.ids)));
        // A pass takes as long as a token.
        let delay = self.token_delay(seq.key);
        ctx.bound(async {
            tokio::time::sleep(delay).await;
            Ok(())
        })
        .await?;
        let (checked, prefill) = {
            let mut sequences = self.sequences_for(ctx, seq)?;
            let sequence = sequences.at(seq.key, at)?;
            let prefill = std::mem::take(&mut sequence.unpaid_rows);
            let checked = sequences.verify(seq.key, &spec, self.card.context)?;
            if let Checked::Fault(Fault::Lost(_)) = checked {
                sequences.lose();
            }
            (checked, prefill)
        };
        match checked {
            Checked::Done { verified, rows } => Ok((verified, self.cost(prefill, rows))),
            Checked::Fault(Fault::Error(error)) => Err(error.into()),
            Checked::Fault(Fault::Lost(why)) => Err(self.lost(why)),
            Checked::Fault(Fault::Hang) => ctx.bound(std::future::pending()).await,
        }
    }

    async fn truncate(&self, ctx: &RequestCtx, seq: SeqId, len: usize) -> Result<usize, BackendError> {
        self.note(Call::Truncate(len));
        self.sequences_for(ctx, seq)?.idle(seq.key)?.truncate(len)?;
        Ok(len)
    }

    async fn fork(&self, ctx: &RequestCtx, seq: SeqId, lane: u32) -> Result<SeqId, BackendError> {
        self.note(Call::Fork(lane));
        let permit = ctx.bound(self.permit()).await?;
        let key = self.sequences_for(ctx, seq)?.fork(seq.key, permit)?;
        let copy = SeqId { key, ..seq };
        self.tie_to_request(ctx, copy);
        Ok(copy)
    }

    async fn score(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        candidates: Vec<Vec<TokenId>>,
    ) -> Result<(Vec<f32>, Cost), BackendError> {
        self.note(Call::Score(candidates.iter().map(|ids| text_of(ids)).collect()));
        let mut sequences = self.sequences_for(ctx, seq)?;
        sequences.idle(seq.key)?;
        let mut scores = Vec::with_capacity(candidates.len());
        for candidate in &candidates {
            check_tokens("candidate", candidate)?;
            let mut score = 0.0;
            for (ahead, id) in candidate.iter().enumerate() {
                let (expected, logprob) = sequences.scripted(seq.key, ahead)?;
                score += if *id == expected { logprob } else { UNEXPECTED_LOGPROB };
            }
            scores.push(score);
        }
        let rows = candidates.iter().map(|ids| ids.len() as u64).sum();
        Ok((scores, self.cost(rows, 0)))
    }

    async fn embed(&self, ctx: &RequestCtx, ids: Vec<TokenId>) -> Result<(Vec<f32>, Cost), BackendError> {
        self.note(Call::Embed(text_of(&ids)));
        alive(ctx)?;
        check_tokens("text", &ids)?;
        let mut histogram = [0.0_f32; 32];
        for id in &ids {
            histogram[*id as usize % 32] += 1.0;
        }
        let norm = histogram.iter().map(|x| x * x).sum::<f32>().sqrt();
        Ok((histogram.iter().map(|x| x / norm).collect(), self.cost(ids.len() as u64, 0)))
    }

    fn close(&self, seq: SeqId) {
        let mut sequences = self.lock();
        if seq.boot == sequences.boot && sequences.get(seq.key).is_ok() {
            sequences.close(seq.key);
            self.note(Call::Close);
        }
    }
}

/// What the fake thinks of a token that its script does not expect.
const UNEXPECTED_LOGPROB: f32 = -10.0;

pub(super) fn check_tokens(what: &'static str, ids: &[TokenId]) -> Result<(), EngineError> {
    if ids.is_empty() {
        return Err(EngineError::Empty(what));
    }
    match ids.iter().find(|id| **id as usize >= ByteCodec::VOCAB) {
        Some(id) => Err(EngineError::TokenOutOfRange { id: *id, vocab: ByteCodec::VOCAB }),
        None => Ok(()),
    }
}
