//! One rung writes: from a model's name to streamed text, with failover.
//!
//! The request owns everything that a lost engine would take away: prompt, emitted ids,
//! text decoder and seed. So attempt n+1 opens prompt ++ emitted ids and goes on; no text
//! is repeated and no character is split.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use understudy_backend::{Backend, BackendError, OpenRequest, RequestCtx, RunEvent, RunStream, SeqId, Slots};
use understudy_engine::{
    EngineError,
    codec::Codec,
    text::TextStream,
    verbs::{RunSpec, SignalMode, StepResult, StopReason, StopWhen, TokenId},
};

use crate::answer::Answer;
use crate::constraints::Constraints;
use crate::{AnswerRequest, FinishReason, RouterConfig, RouterError};

/// How often a rung is tried before its answer is interrupted.
const MAX_ATTEMPTS: u32 = 2;
/// Load events on their way to the reader; more are skipped, they are informative.
const PROGRESS_CAPACITY: usize = 8;
/// How long a stopped run may take to say what it cost. An engine polls cancellation at
/// each token, so a live one answers within a token's time.
const DRAIN_LIMIT: Duration = Duration::from_millis(250);
/// Pauses between questions after a lost model: doubling, from and to.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(800));
/// A draft is judged every so many tokens.
const JUDGE_EVERY: usize = 8;

/// What every rung of a request shares.
pub(crate) struct Job {
    pub(crate) ctx: RequestCtx,
    pub(crate) request: AnswerRequest,
    pub(crate) config: Arc<RouterConfig>,
    pub(crate) slots: Arc<dyn Slots>,
    pub(crate) constraints: Arc<Constraints>,
}

/// How a rung ended that was not hindered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RungEnd {
    /// It said all it had to say, or all it may.
    Done(FinishReason),
    /// Given up because its confidence, this number, was hopeless.
    Hopeless(f32),
}

/// What hindered a rung. Text shown so far stays shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Trouble {
    /// The request is over: cancelled or past its deadline.
    Over(FinishReason),
    /// The engine was lost, and once more or for too long.
    Lost(String),
    /// It cannot or will not.
    Refused(RouterError),
}

impl From<BackendError> for Trouble {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Cancelled => Self::Over(FinishReason::Cancelled),
            BackendError::Deadline => Self::Over(FinishReason::Deadline),
            BackendError::EngineLost { why, .. } => Self::Lost(why),
            BackendError::Engine(EngineError::StaleSeq) => Self::Lost("the engine was replaced".into()),
            BackendError::Engine(EngineError::Cancelled) => Self::Lost("the engine gave the run up".into()),
            other => Self::Refused(other.into()),
        }
    }
}

impl From<RouterError> for Trouble {
    fn from(error: RouterError) -> Self {
        Self::Refused(error)
    }
}

/// One rung's answer in the making.
pub(crate) struct RungRun<'a> {
    job: &'a Job,
    model: &'a str,
    signals: SignalMode,
    /// Confidence that the answer needs, when the policy may go on to another rung.
    threshold: Option<f32>,
    attempt: u32,
    steps: Vec<StepResult>,
    text: TextStream,
    /// Tokens since the last delta: their bytes are held or were none.
    undelivered: u32,
}

impl<'a> RungRun<'a> {
    /// A rung whose answer will stay, whatever it is.
    pub(crate) fn last(job: &'a Job, model: &'a str) -> Self {
        let text = TextStream::new(&job.request.stop);
        Self {
            job,
            model,
            signals: SignalMode::None,
            threshold: None,
            attempt: 0,
            steps: Vec::new(),
            text,
            undelivered: 0,
        }
    }

    /// A rung that needs this confidence for its answer to stay.
    pub(crate) fn draft(job: &'a Job, model: &'a str, threshold: f32) -> Self {
        let signals = if job.request.constraint.is_some() { SignalMode::Masked } else { SignalMode::Full };
        Self { signals, threshold: Some(threshold), ..Self::last(job, model) }
    }

    /// Stops judging: the draft shall be completed after all.
    pub(crate) fn accept_anything(&mut self) {
        self.threshold = None;
    }

    pub(crate) fn model(&self) -> &'a str {
        self.model
    }

    /// Confidence in what was written.
    pub(crate) fn confidence(&self, truncated: bool) -> f32 {
        self.job.config.weights.judge(&self.steps, truncated)
    }

    /// Writes until done, given up or hindered. Called again, goes on where it stopped.
    pub(crate) async fn generate(&mut self, answer: &mut Answer) -> Result<RungEnd, Trouble> {
        let end = loop {
            match self.attempt(answer).await {
                Err(Trouble::Lost(why)) if self.attempt + 1 < MAX_ATTEMPTS => {
                    tracing::warn!(request = %self.job.ctx.request_id, model = self.model, why, "engine lost, trying again");
                    self.attempt += 1;
                }
                end => break end,
            }
        };
        match end {
            Ok(RungEnd::Done(reason)) => self.flush(answer, reason == FinishReason::Stop).await?,
            Err(Trouble::Lost(_)) => self.flush(answer, false).await?,
            // Past the deadline nothing can be sent; a hopeless draft may be continued.
            Ok(RungEnd::Hopeless(_)) | Err(Trouble::Over(_) | Trouble::Refused(_)) => {}
        }
        end
    }

    /// One sequence, from prompt ++ emitted ids.
    async fn attempt(&mut self, answer: &mut Answer) -> Result<RungEnd, Trouble> {
        let (job, model) = (self.job, self.model);
        let left = job.request.max_tokens.saturating_sub(self.steps.len() as u32);
        if left == 0 {
            return Ok(RungEnd::Done(FinishReason::Length));
        }
        let ctx = RequestCtx { attempt: self.attempt, ..job.ctx.clone() };
        answer.account(model);
        let backend = self.backend(&ctx, answer).await?;
        let codec = backend.codec();
        let mut prompt = ctx.bound(async { Ok(self.prompt(codec.clone()).await) }).await??;
        let prompt_tokens = prompt.len();
        let emitted: Vec<TokenId> = self.steps.iter().map(|step| step.token).collect();
        prompt.extend(&emitted);
        let at = prompt.len();
        let gate = match &job.request.constraint {
            None => None,
            Some(pattern) => {
                let limit = Duration::from_millis(job.config.constraint_budget_ms);
                let gate = job.constraints.gate(pattern, codec.clone(), &emitted, left, limit);
                Some(ctx.bound(async { Ok(gate.await) }).await??)
            }
        };
        let opened =
            backend.open(&ctx, OpenRequest { prompt, sampler: job.request.sampler.clone(), gate }).await?;
        let sequence = OpenSequence { backend: backend.as_ref(), seq: opened.seq };
        let account = answer.account(model);
        if self.steps.is_empty() {
            account.prompt_tokens = prompt_tokens;
            account.cached_prompt_tokens = opened.cached;
            account.numerics.clone_from(&backend.card().numerics);
        }

        // A token of its own: the run can be stopped without ending the request.
        let run_ctx = RequestCtx { cancel: ctx.cancel.child_token(), ..ctx.clone() };
        let spec = RunSpec { max_tokens: left, stop_when: StopWhen::default(), signals: self.signals };
        let mut run = backend.run(&run_ctx, sequence.seq, at, spec).await?;
        let end = self.read(&ctx, &mut run, codec.as_ref(), answer).await;
        if !matches!(end, Ok(Read::Stopped(_)) | Err(Trouble::Lost(_))) {
            run_ctx.cancel.cancel();
            self.drain(run, answer).await;
        }
        match end? {
            Read::Stopped(StopReason::Cancelled) => Err(Trouble::Lost("the engine gave the run up".into())),
            Read::Stopped(StopReason::End | StopReason::Signal) | Read::StopText => {
                Ok(RungEnd::Done(FinishReason::Stop))
            }
            Read::Stopped(StopReason::Length | StopReason::ContextFull) => {
                Ok(RungEnd::Done(FinishReason::Length))
            }
            Read::Stopped(StopReason::Constraint) => Ok(RungEnd::Done(FinishReason::Constraint)),
            Read::Hopeless(confidence) => Ok(RungEnd::Hopeless(confidence)),
        }
    }

    /// Reads tokens until the run ends or there is a reason to end it.
    async fn read(
        &mut self,
        ctx: &RequestCtx,
        run: &mut RunStream,
        codec: &dyn Codec,
        answer: &mut Answer,
    ) -> Result<Read, Trouble> {
        loop {
            match run.next(ctx).await? {
                RunEvent::Stopped { reason, cost, .. } => {
                    answer.account(self.model).cost += cost;
                    // A cancelled request may hear of it from its run first.
                    if reason == StopReason::Cancelled && ctx.cancel.is_cancelled() {
                        return Err(Trouble::Over(FinishReason::Cancelled));
                    }
                    return Ok(Read::Stopped(reason));
                }
                RunEvent::Step(step) => {
                    answer.account(self.model).token(step.forced, true);
                    self.steps.push(step);
                    self.undelivered += 1;
                    let piece = self.text.push(codec.token_bytes(step.token));
                    self.deliver(answer, piece.text).await?;
                    if piece.stopped.is_some() {
                        return Ok(Read::StopText);
                    }
                    if let Some(confidence) = self.hopeless() {
                        return Ok(Read::Hopeless(confidence));
                    }
                }
            }
        }
    }

    /// The confidence so far, when it is too low to wait for the rest.
    fn hopeless(&self) -> Option<f32> {
        let (threshold, exit) = (self.threshold?, self.job.config.early_exit);
        let count = self.steps.len();
        if count < exit.min_tokens || !count.is_multiple_of(JUDGE_EVERY) {
            return None;
        }
        Some(self.confidence(false)).filter(|confidence| *confidence < threshold * exit.share)
    }

    async fn deliver(&mut self, answer: &mut Answer, text: String) -> Result<(), Trouble> {
        if !text.is_empty() {
            answer.delta(self.model, text, std::mem::take(&mut self.undelivered)).await?;
        }
        Ok(())
    }

    /// Shows what the decoder still holds. Where the answer was cut off, the beginning of
    /// a character is dropped instead of shown as a replacement.
    async fn flush(&mut self, answer: &mut Answer, complete: bool) -> Result<(), Trouble> {
        let mut rest = self.text.finish().text;
        if !complete && rest.ends_with(char::REPLACEMENT_CHARACTER) {
            rest.pop();
        }
        self.deliver(answer, rest).await
    }

    /// Waits for a stopped run's last words: tokens on their way, and its cost.
    async fn drain(&self, mut run: RunStream, answer: &mut Answer) {
        let ctx = RequestCtx::new(self.job.ctx.request_id.0.clone()).with_timeout(DRAIN_LIMIT);
        let account = answer.account(self.model);
        loop {
            match run.next(&ctx).await {
                Ok(RunEvent::Step(step)) => account.token(step.forced, false),
                Ok(RunEvent::Stopped { cost, .. }) => return account.cost += cost,
                // An engine that is gone took its count with it.
                Err(_) => return,
            }
        }
    }

    /// Renders and tokenizes on a blocking thread: conversations can be long.
    async fn prompt(&self, codec: Arc<dyn Codec>) -> Result<Vec<TokenId>, RouterError> {
        let messages = self.job.request.messages.clone();
        let encode = move || codec.encode_prompt(&codec.render(&messages)?);
        let encoded = tokio::task::spawn_blocking(encode).await;
        Ok(encoded.map_err(|failed| RouterError::Internal(failed.to_string()))??)
    }

    /// A ready backend. A model that was lost is asked for until it is back.
    async fn backend(&self, ctx: &RequestCtx, answer: &Answer) -> Result<Arc<dyn Backend>, Trouble> {
        let give_up = Instant::now() + Duration::from_millis(self.job.config.resume_wait_ms);
        let mut pause = RETRY_PAUSE.0;
        loop {
            let asked = ctx.bound(self.ask_slots(ctx, answer));
            let asked = match self.attempt {
                0 => asked.await,
                _ => tokio::time::timeout_at(give_up, asked).await.unwrap_or_else(|_| Err(self.too_long())),
            };
            match asked {
                Err(error) if self.attempt > 0 && may_come_back(&error) => {
                    if Instant::now() + pause >= give_up {
                        return Err(Trouble::Lost(error.to_string()));
                    }
                    ctx.bound(async {
                        tokio::time::sleep(pause).await;
                        Ok(())
                    })
                    .await?;
                    pause = (pause * 2).min(RETRY_PAUSE.1);
                }
                asked => return Ok(asked?),
            }
        }
    }

    fn too_long(&self) -> BackendError {
        BackendError::EngineLost { model: self.model.into(), why: "it did not come back in time".into() }
    }

    /// Asks the slots once, passing progress on.
    async fn ask_slots(&self, ctx: &RequestCtx, answer: &Answer) -> Result<Arc<dyn Backend>, BackendError> {
        let (sender, mut progress) = mpsc::channel(PROGRESS_CAPACITY);
        let mut ready = self.job.slots.backend(ctx, self.model, sender);
        loop {
            tokio::select! {
                biased;
                Some(event) = progress.recv() => answer.loading(event),
                ready = &mut ready => return ready,
            }
        }
    }
}

/// Failures of a restart in progress.
fn may_come_back(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::Unavailable { .. } | BackendError::EngineLost { .. } | BackendError::Overloaded { .. }
    )
}

/// Why reading a run ended.
enum Read {
    Stopped(StopReason),
    StopText,
    Hopeless(f32),
}

/// Gives the sequence back on every way out, a dropped request included.
struct OpenSequence<'a> {
    backend: &'a dyn Backend,
    seq: SeqId,
}

impl Drop for OpenSequence<'_> {
    fn drop(&mut self) {
        self.backend.close(self.seq);
    }
}
