//! One model's sequence over a request's prompt and a candidate's tokens.
//!
//! The request owns everything that a lost engine would take away: prompt, tokens, text decoder and
//! seed. So a sequence is opened when it is needed and brought up to the candidate, whoever wrote
//! that; after a loss the same is done once more. No text is repeated and no character is split.

mod opening;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use understudy_backend::{Backend, NodeId, RequestCtx, RunEvent, RunStream, SeqId};
use understudy_engine::codec::Codec;
use understudy_engine::verbs::{Draft, RunSpec, StepResult, StopWhen, TokenId, Verified, VerifySpec};

use crate::RouterError;
use crate::candidate::{Author, Candidate, Written};
use crate::desk::{Desk, Trouble};
use crate::request::Conversation;

pub use opening::MOST_LANE;

/// How often a model is tried before its answer is interrupted: nodes come and go, and an answer outlives several.
const MAX_ATTEMPTS: u32 = 8;
/// How long a stopped run may take to say what it cost. An engine polls cancellation at
/// each token, so a live one answers within a token's time.
const DRAIN_LIMIT: Duration = Duration::from_millis(250);

/// After how many losses on one node, all at the same place, the request is taken for their cause. Elsewhere one of them
/// may be of the whole node, or of the way to it, before the request was even read again.
const fn blamed_after(node: NodeId) -> usize {
    match node {
        NodeId(0) => 2,
        _ => 3,
    }
}

/// A model and its sequence.
pub(crate) struct Session {
    model: String,
    attempt: u32,
    open: Option<Open>,
    /// Where the sequence is, or was last.
    node: NodeId,
    /// Nodes that lost it, one entry for each loss.
    losses: Vec<NodeId>,
    /// Tokens that it had at the last loss.
    lost_at: usize,
    /// Losses up to the last one, all on one node and at the same place.
    in_a_row: usize,
    /// The weights that began the answer: only their twins go on with it.
    digest: Option<String>,
}

/// An open sequence.
struct Open {
    sequence: OpenSequence,
    author: Author,
    prompt: Vec<TokenId>,
    /// Tokens after the prompt, in this model's vocabulary.
    held: Vec<TokenId>,
    /// The engine may have more tokens than are held.
    ahead: bool,
}

/// Gives the sequence back on every way out, a dropped request included.
struct OpenSequence {
    backend: Arc<dyn Backend>,
    codec: Arc<dyn Codec>,
    seq: SeqId,
}

impl Drop for OpenSequence {
    fn drop(&mut self) {
        self.backend.close(self.seq);
    }
}

/// A run in progress.
pub(crate) struct Run {
    stream: RunStream,
    cancel: CancellationToken,
    ctx: RequestCtx,
}

impl Session {
    pub(crate) fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            attempt: 0,
            open: None,
            node: NodeId::default(),
            losses: Vec::new(),
            lost_at: 0,
            in_a_row: 0,
            digest: None,
        }
    }

    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// The open sequence's model.
    ///
    /// # Errors
    /// [`Trouble::Lost`] where [`ready`](Self::ready) has not made one.
    pub(crate) fn author(&self) -> Result<Author, Trouble> {
        Ok(self.opened()?.author.clone())
    }

    pub(crate) fn codec(&self) -> Result<Arc<dyn Codec>, Trouble> {
        Ok(self.opened()?.sequence.codec.clone())
    }

    pub(crate) fn backend(&self) -> Result<&Arc<dyn Backend>, Trouble> {
        Ok(&self.opened()?.sequence.backend)
    }

    /// The tokens of the prompt, and those after it that the sequence holds.
    pub(crate) fn tokens(&self) -> Result<(&[TokenId], &[TokenId]), Trouble> {
        let open = self.opened()?;
        Ok((&open.prompt, &open.held))
    }

    /// Whether the sequence holds all of the candidate: it does not where that ends within a character
    /// of another vocabulary's tokens.
    pub(crate) fn holds(&self, candidate: &Candidate) -> Result<bool, Trouble> {
        let open = self.opened()?;
        Ok(open.agrees_with(candidate) == (open.held.len(), candidate.bytes().len()))
    }

    fn opened(&self) -> Result<&Open, Trouble> {
        self.open.as_ref().ok_or_else(|| Trouble::Lost("its sequence is closed".into()))
    }

    fn opened_mut(&mut self) -> Result<&mut Open, Trouble> {
        self.open.as_mut().ok_or_else(|| Trouble::Lost("its sequence is closed".into()))
    }

    /// Notes a loss; whether to try again.
    pub(crate) fn lost(&mut self, desk: &Desk<'_>, why: &str) -> bool {
        let worth_it = match self.open.take() {
            // What a request does to an engine again and again it may do to every engine. One that grew in between met
            // with somebody else's misfortune.
            Some(open) => {
                let again_here = self.losses.last() == Some(&self.node);
                let has_grown = open.held.len() > std::mem::replace(&mut self.lost_at, open.held.len());
                self.losses.push(self.node);
                self.in_a_row = if again_here && !has_grown { self.in_a_row + 1 } else { 1 };
                self.in_a_row < blamed_after(self.node)
            }
            // No engine had it, which says nothing of the request. Once it has begun it was looked for long enough.
            None => !self.has_begun(),
        };
        let again = self.attempt + 1 < MAX_ATTEMPTS && worth_it;
        if again {
            let (request, node) = (&desk.job.ctx.request_id, self.node.0);
            tracing::warn!(%request, model = self.model, node, why, "engine lost, trying again");
            self.attempt += 1;
        }
        again
    }

    /// There was a sequence: the answer waits for its model.
    fn has_begun(&self) -> bool {
        self.attempt > 0 || self.digest.is_some()
    }

    /// Makes the sequence hold prompt and candidate, opening it first if need be.
    pub(crate) async fn ready(&mut self, desk: &mut Desk<'_>, candidate: &Candidate) -> Result<(), Trouble> {
        if self.open.is_none() {
            self.open = Some(self.opening(desk, candidate).await?);
        }
        let ctx = self.ctx(desk);
        self.opened_mut()?.follow(&ctx, candidate).await
    }

    /// What a candidate has beyond this sequence, where that holds its beginning token by token and
    /// the rest is of the same vocabulary. Opens the sequence, with the prompt alone, if need be.
    pub(crate) async fn unread(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &Candidate,
    ) -> Result<Option<Vec<TokenId>>, Trouble> {
        if self.open.is_none() {
            let candidate = desk.candidate();
            self.open = Some(self.opening(desk, &candidate).await?);
        }
        let open = self.opened()?;
        let Some(ids) = candidate.ids_in(&open.author.vocabulary) else { return Ok(None) };
        let rest = ids.strip_prefix(open.held.as_slice()).filter(|_| !open.ahead);
        Ok(rest.map(<[TokenId]>::to_vec))
    }

    fn ctx(&self, desk: &Desk<'_>) -> RequestCtx {
        RequestCtx { attempt: self.attempt, avoid: self.losses.clone(), ..desk.job.ctx.clone() }
    }

    /// Starts decoding up to `max_tokens` tokens. Each token that the caller keeps is told by
    /// [`keep`](Self::keep).
    pub(crate) async fn run(&mut self, desk: &Desk<'_>, max_tokens: u32) -> Result<Run, Trouble> {
        let ctx = self.ctx(desk);
        let open = self.opened_mut()?;
        open.ahead = true;
        // A token of its own: the run can be stopped without ending the request.
        let cancel = ctx.cancel.child_token();
        let run_ctx = RequestCtx { cancel: cancel.clone(), ..ctx.clone() };
        let spec = RunSpec { max_tokens, stop_when: StopWhen::default(), signals: desk.signals() };
        let stream = open.sequence.backend.run(&run_ctx, open.sequence.seq, open.len(), spec).await?;
        Ok(Run { stream, cancel, ctx })
    }

    /// Notes a token that came from a run and stays.
    pub(crate) fn keep(&mut self, step: &StepResult) {
        if let Some(open) = &mut self.open {
            open.held.push(step.token);
        }
    }

    /// The run has ended by itself: the sequence has what was kept and nothing more.
    pub(crate) fn ended(&mut self) {
        if let Some(open) = &mut self.open {
            open.ahead = false;
        }
    }

    /// Ends a run: tokens on their way are booked and thrown away.
    pub(crate) async fn stop(&mut self, run: Run, desk: &mut Desk<'_>) {
        run.cancel.cancel();
        let ctx = RequestCtx::new(run.ctx.request_id.0.clone()).with_timeout(DRAIN_LIMIT);
        let mut stream = run.stream;
        let account = desk.books.account(&self.model);
        loop {
            match stream.next(&ctx).await {
                Ok(RunEvent::Step(_)) => account.unseen(1),
                Ok(RunEvent::Stopped { cost, .. }) => return account.cost += cost,
                // An engine that is gone took its count with it.
                Err(_) => return self.open = None,
            }
        }
    }

    /// Checks a draft in one pass; see [`Backend::verify`]. All tokens that come back are held; those
    /// that the caller does not keep are taken off by the next [`ready`](Self::ready).
    pub(crate) async fn verify(
        &mut self,
        desk: &mut Desk<'_>,
        spec: VerifySpec,
    ) -> Result<Verified, Trouble> {
        let ctx = self.ctx(desk);
        let open = self.opened_mut()?;
        let sequence = &open.sequence;
        let (verified, cost) = sequence.backend.verify(&ctx, sequence.seq, open.len(), spec).await?;
        open.held.extend(verified.steps.iter().map(|step| step.token));
        desk.books.account(&self.model).cost += cost;
        Ok(verified)
    }

    /// Drafts `k` tokens that the sequence does not keep.
    pub(crate) async fn propose(&mut self, desk: &mut Desk<'_>, k: usize) -> Result<Draft, Trouble> {
        let ctx = self.ctx(desk);
        let open = self.opened()?;
        let sequence = &open.sequence;
        let (draft, cost) = sequence.backend.propose(&ctx, sequence.seq, open.len(), k).await?;
        desk.books.account(&self.model).cost += cost;
        Ok(draft)
    }
}

impl Open {
    fn len(&self) -> usize {
        self.prompt.len() + self.held.len()
    }

    /// Truncates and extends the sequence until its tokens spell the candidate's bytes, a character in
    /// the making excepted.
    async fn follow(&mut self, ctx: &RequestCtx, candidate: &Candidate) -> Result<(), Trouble> {
        let (same, from) = self.agrees_with(candidate);
        let rest = self.spelled(candidate, same, from)?;
        let OpenSequence { backend, seq, .. } = &self.sequence;
        if self.ahead || same < self.held.len() {
            backend.truncate(ctx, *seq, self.prompt.len() + same).await?;
            self.held.truncate(same);
            self.ahead = false;
        }
        if !rest.is_empty() {
            backend.extend(ctx, *seq, self.len(), rest.clone()).await?;
            self.held.extend(rest);
        }
        Ok(())
    }

    /// How many tokens, and which bytes, the sequence shares with the candidate from its beginning.
    fn agrees_with(&self, candidate: &Candidate) -> (usize, usize) {
        let mut bytes = 0;
        for (same, &token) in self.held.iter().enumerate() {
            let spelled = self.sequence.codec.token_bytes(token);
            let ours = candidate.bytes().get(bytes..).is_some_and(|rest| rest.starts_with(spelled));
            // A token without bytes is only the same where the candidate has it too.
            let twin = candidate.tokens().get(same).is_some_and(|written| written.step.token == token);
            if !ours || (spelled.is_empty() && !twin) {
                return (same, bytes);
            }
            bytes += spelled.len();
        }
        (self.held.len(), bytes)
    }

    /// What follows the `same` tokens, or `from` bytes, that are held already: the candidate's own tokens
    /// where they are of this vocabulary, else its text encoded anew.
    fn spelled(&self, candidate: &Candidate, same: usize, from: usize) -> Result<Vec<TokenId>, Trouble> {
        let tokens = candidate.tokens();
        let ends_at = |count: usize| tokens.get(..count).map(|held| held.last().map_or(0, |last| last.end));
        let first = match ends_at(same) {
            Some(end) if end == from => Some(same),
            _ => tokens.iter().rposition(|token| token.end == from).map(|at| at + 1),
        };
        let ours = |token: &Written| token.author.vocabulary == self.author.vocabulary;
        if let Some(rest) = first.and_then(|first| tokens.get(first..)).filter(|rest| rest.iter().all(ours)) {
            return Ok(rest.iter().map(|token| token.step.token).collect());
        }
        let bytes = candidate.bytes().get(from..).unwrap_or_default();
        let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        match text {
            "" => Ok(Vec::new()),
            text => Ok(self.sequence.codec.encode_text(text).map_err(RouterError::from)?),
        }
    }
}

impl Run {
    /// The next event, no later than the request's deadline.
    pub(crate) async fn next(&mut self) -> Result<RunEvent, Trouble> {
        Ok(self.stream.next(&self.ctx).await?)
    }
}

/// Renders and tokenizes on a blocking thread: conversations can be long.
pub(crate) async fn prompt_ids(
    (messages, tools): Conversation,
    codec: Arc<dyn Codec>,
) -> Result<Vec<TokenId>, RouterError> {
    let encode = move || codec.encode_prompt(&codec.render(&messages, &tools)?);
    let encoded = tokio::task::spawn_blocking(encode).await;
    Ok(encoded.map_err(|failed| RouterError::Internal(failed.to_string()))??)
}
