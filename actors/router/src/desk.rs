//! What every policy of a request shares: the request, its books, and the screen.

use std::sync::Arc;

use tokio::sync::mpsc;
use understudy_actors::Constraints;
use understudy_backend::{Backend, BackendError, RequestCtx, Slots};
use understudy_engine::EngineError;
use understudy_engine::codec::Codec;
use understudy_engine::verbs::{SignalMode, StepResult};

use crate::books::Books;
use crate::candidate::{Author, Candidate};
use crate::confidence::Features;
use crate::costs::Costs;
use crate::drafters::Records;
use crate::screen::Screen;
use crate::{
    AnswerEvent, AnswerRequest, Decision, DecisionKind, FinishReason, Origin, RouterConfig, RouterError,
    TokenLogprob, ValidatorRecord,
};

/// Load events on their way to the reader; more are skipped, they are informative.
const PROGRESS_CAPACITY: usize = 8;
/// A draft is judged every so many tokens.
const JUDGE_EVERY: usize = 8;

/// What every part of a request shares and none changes.
pub(crate) struct Job {
    pub(crate) ctx: RequestCtx,
    pub(crate) request: AnswerRequest,
    pub(crate) config: Arc<RouterConfig>,
    pub(crate) slots: Arc<dyn Slots>,
    pub(crate) constraints: Arc<Constraints>,
    /// How drafts have fared.
    pub(crate) records: Arc<Records>,
    /// What answers have cost.
    pub(crate) costs: Arc<Costs>,
}

/// What hindered a model. Text shown so far stays shown.
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

/// When a draft is given up before it is complete.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Below this confidence.
    pub(crate) least: f32,
    /// Never before this many tokens.
    pub(crate) min_tokens: usize,
}

/// One policy's place of work.
pub(crate) struct Desk<'a> {
    pub(crate) job: &'a Job,
    pub(crate) books: Books,
    pub(crate) screen: Screen,
    /// Whose random numbers: parallel samples of a request differ in it.
    pub(crate) lane: u32,
    /// In place of the request's.
    pub(crate) temperature: Option<f32>,
    /// Whether the answer is judged, so that its tokens need signals.
    pub(crate) judged: bool,
    /// Drafts are given up when they are worse than this.
    pub(crate) patience: Option<Patience>,
    /// Why the text has its author, for people.
    pub(crate) why: String,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(job: &'a Job, screen: Screen) -> Self {
        Self {
            job,
            books: Books::default(),
            screen,
            lane: 0,
            temperature: None,
            judged: job.request.collect_evidence,
            patience: None,
            why: String::new(),
        }
    }

    /// A desk of its own for a candidate that nobody watches; see [`absorb`](Self::absorb).
    pub(crate) fn aside(&self, lane: u32) -> Desk<'a> {
        Desk { lane, judged: true, ..Desk::new(self.job, self.screen.unwatched()) }
    }

    /// Takes over the books of a desk aside. What nobody has been told of them is told now.
    pub(crate) async fn absorb(&mut self, mut aside: Desk<'a>) -> Result<(), Trouble> {
        let decisions = std::mem::take(&mut aside.books.decisions);
        let (drafts, candidates) = (aside.books.drafts.clone(), aside.books.candidates.clone());
        self.books.absorb(aside.books);
        for drafts in drafts {
            self.screen.send(AnswerEvent::Drafted(drafts)).await?;
        }
        for decision in decisions {
            self.decide(decision).await?;
        }
        for (_, judged) in candidates {
            for found in judged.validators {
                self.validated(&judged.model, found).await?;
            }
        }
        Ok(())
    }

    /// Asks the slots for a model, passing progress on.
    pub(crate) async fn backend(
        &self,
        ctx: &RequestCtx,
        model: &str,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let (sender, mut progress) = mpsc::channel(PROGRESS_CAPACITY);
        let mut ready = self.job.slots.backend(ctx, model, sender);
        loop {
            tokio::select! {
                biased;
                Some(event) = progress.recv() => self.screen.loading(event),
                ready = &mut ready => return ready,
            }
        }
    }

    /// An empty answer.
    pub(crate) fn candidate(&self) -> Candidate {
        Candidate::new(&self.job.request.stop)
    }

    /// Tokens that a candidate may still get.
    pub(crate) fn left(&self, candidate: &Candidate) -> u32 {
        self.job.request.max_tokens.saturating_sub(candidate.tokens().len() as u32)
    }

    /// The signals that tokens are to bring.
    pub(crate) fn signals(&self) -> SignalMode {
        match (self.judged, &self.job.request.constraint) {
            (false, _) => SignalMode::None,
            (true, Some(_)) => SignalMode::Masked,
            (true, None) => SignalMode::Full,
        }
    }

    /// Books a token, appends it to the candidate and shows the text.
    pub(crate) async fn write(
        &mut self,
        candidate: &mut Candidate,
        author: &Author,
        step: StepResult,
        origin: Origin,
        codec: &dyn Codec,
    ) -> Result<(), Trouble> {
        self.books.account(&author.model).token(step.forced);
        let told = self.job.request.top_logprobs.map(|_| TokenLogprob::of(&step, codec));
        let bytes = codec.token_bytes(step.token);
        candidate.push(author, step, origin, bytes);
        told.into_iter().for_each(|told| candidate.tell(told));
        Ok(self.screen.show(candidate).await?)
    }

    /// Withdraws all but the first `count` tokens of the candidate.
    pub(crate) async fn take_back(
        &mut self,
        candidate: &mut Candidate,
        count: usize,
        reason: &str,
    ) -> Result<(), Trouble> {
        candidate.truncate(count);
        self.screen.will_retract(reason);
        Ok(self.screen.show(candidate).await?)
    }

    /// The candidate is over: shows what was undecided.
    pub(crate) async fn close(
        &mut self,
        candidate: &mut Candidate,
        end: FinishReason,
    ) -> Result<(), Trouble> {
        candidate.finish(end);
        Ok(self.screen.show(candidate).await?)
    }

    /// The confidence so far, when it is too low to wait for the rest.
    pub(crate) fn hopeless(&self, candidate: &Candidate) -> Option<f32> {
        let Patience { least, min_tokens } = self.patience?;
        let count = candidate.tokens().len();
        if count < min_tokens || !count.is_multiple_of(JUDGE_EVERY) {
            return None;
        }
        let features = Features::of_candidate(candidate, false)?;
        Some(self.job.config.weights.confidence(&features)).filter(|confidence| *confidence < least)
    }

    /// Announces what a validator has found.
    pub(crate) async fn validated(&self, model: &str, found: ValidatorRecord) -> Result<(), Trouble> {
        Ok(self.screen.send(AnswerEvent::Validated { model: model.to_owned(), found }).await?)
    }

    /// Announces a decision and books it.
    pub(crate) async fn decide(&mut self, decision: Decision) -> Result<(), Trouble> {
        self.screen.send(AnswerEvent::Decided(decision.clone())).await?;
        if matches!(decision.kind, DecisionKind::Escalate | DecisionKind::Stay | DecisionKind::Retract) {
            self.screen.will_retract(&decision.reason);
        }
        self.books.decisions.push(decision);
        Ok(())
    }
}
