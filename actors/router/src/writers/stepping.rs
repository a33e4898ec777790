//! Pass by pass: each checks a draft, if there is one, and adds the model's own token.

use async_trait::async_trait;
use understudy_engine::verbs::{Acceptance, Draft, StepResult, StopReason, TokenId, Verified, VerifySpec};

use super::{Advance, Until, Writer, finish_reason, turn_ends};
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::drafters::Drafters;
use crate::session::Session;
use crate::{AnswerEvent, FinishReason, Origin};

/// Most tokens of others that one pass reads with an eye to taking them back; an engine takes 64 rows.
const LONGEST_REVIEW: usize = 48;

/// What a pass has brought.
struct Pass {
    steps: Vec<(StepResult, Origin)>,
    stop: Option<StopReason>,
}

impl Pass {
    /// Of a draft, those tokens stand that are at their place in the pass, and no more than the target has accepted.
    /// Those among them that the constraint left no choice about are forced all the same.
    fn of(verified: Verified, draft: &[TokenId]) -> Self {
        let same =
            draft.iter().zip(&verified.steps).take_while(|(token, step)| **token == step.token).count();
        let mut standing = verified.accepted;
        let origin = |(at, step): (usize, StepResult)| {
            let is_accepted = at < same && standing > 0 && !step.forced;
            standing -= usize::from(is_accepted);
            let origin = if is_accepted { Origin::Accepted } else { Origin::undrafted(&step) };
            (step, origin)
        };
        Self { steps: verified.steps.into_iter().enumerate().map(origin).collect(), stop: verified.stop }
    }
}

/// Decodes by the verb `verify`.
pub(crate) struct Stepping {
    session: Session,
    drafters: Option<Drafters>,
    acceptance: Acceptance,
    /// Tokens that the constraint foresees: then nobody needs to draft.
    foreseen: usize,
    /// What others wrote is to be read first, with this leniency.
    review: Option<f32>,
}

impl Stepping {
    /// Without drafts: one pass, one token.
    pub(crate) fn new(session: Session) -> Self {
        Self { session, drafters: None, acceptance: Acceptance::Exact, foreseen: 0, review: None }
    }

    /// With drafts.
    pub(crate) fn with(self, drafters: Drafters, acceptance: Acceptance) -> Self {
        Self { drafters: Some(drafters), acceptance, ..self }
    }

    async fn once(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        until: &mut dyn Until,
    ) -> Result<Advance, Trouble> {
        loop {
            let left = desk.left(candidate);
            if left == 0 {
                return Ok(Advance::Done(FinishReason::Length));
            }
            if let Some(alpha) = self.review.take()
                && let Some(verified) = self.read(desk, candidate, alpha).await?
            {
                if let Some(end) = self.take(desk, candidate, until, Pass::of(verified, &[])).await? {
                    return Ok(end);
                }
                continue;
            }
            self.session.ready(desk, candidate).await?;
            let draft = match &mut self.drafters {
                Some(drafters) if self.foreseen == 0 && left > 1 => {
                    drafters.draft(desk, candidate, &self.session, left as usize - 1).await?
                }
                _ => Draft::default(),
            };
            let drafted = draft.ids.clone();
            let spec = VerifySpec { draft, acceptance: self.acceptance, most: left, signals: desk.signals() };
            let verified = self.session.verify(desk, spec).await?;
            self.foreseen = verified.foreseen;
            let drafters = self.drafters.as_mut();
            let drafts = drafters.and_then(|drafters| drafters.learn(desk, self.session.model(), &verified));
            let end = self.take(desk, candidate, until, Pass::of(verified, &drafted)).await?;
            if let Some(drafts) = drafts {
                desk.screen.send(AnswerEvent::Drafted(drafts)).await?;
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Reads what others wrote since, in a pass (for long texts a few) that brings the next token too: the
    /// big-little decoder of Kim et al. 2023, "Speculative decoding with big little decoder", section 3. What
    /// comes back are this model's own tokens; the candidate ends before them. `None`: there is nothing that it
    /// could compare.
    async fn read(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        alpha: f32,
    ) -> Result<Option<Verified>, Trouble> {
        loop {
            let Some(mut unread) = self.session.unread(desk, candidate).await? else { return Ok(None) };
            if unread.is_empty() {
                return Ok(None);
            }
            let before = candidate.tokens().len() - unread.len();
            unread.truncate(LONGEST_REVIEW);
            let spec = VerifySpec {
                most: desk.left(candidate) + (candidate.tokens().len() - before) as u32,
                draft: Draft::certain(unread),
                acceptance: Acceptance::Lenient { alpha },
                signals: desk.signals(),
            };
            let mut verified = self.session.verify(desk, spec).await?;
            let written = candidate.tokens().get(before..).unwrap_or_default().iter();
            let same = written
                .zip(&verified.steps)
                .take_while(|(theirs, own)| theirs.step.token == own.token)
                .count();
            if same > 0 && same == verified.steps.len() && verified.stop.is_none() {
                // There is more to read.
                continue;
            }
            if before + same < candidate.tokens().len() {
                let reason = format!("{} would not have said so", self.session.model());
                desk.take_back(candidate, before + same, &reason).await?;
            }
            verified.steps.drain(..same);
            self.foreseen = verified.foreseen;
            return Ok(Some(verified));
        }
    }

    /// Writes what a pass has brought; `None` to go on.
    async fn take(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        until: &mut dyn Until,
        pass: Pass,
    ) -> Result<Option<Advance>, Trouble> {
        let (author, codec) = (self.session.author()?, self.session.codec()?);
        let mut steps = pass.steps.into_iter();
        // Nothing follows a stop text, whoever wrote it.
        let mut end = candidate.is_stopped().then_some(Advance::Done(FinishReason::Stop));
        while end.is_none() {
            let Some((step, origin)) = steps.next() else { break };
            if until.refuses(candidate, &step, codec.token_bytes(step.token)) {
                desk.books.account(&author.model).unseen(1);
                end = Some(Advance::Refused(step));
                break;
            }
            desk.write(candidate, &author, step, origin, &*codec).await?;
            end = turn_ends(desk, candidate, until);
        }
        desk.books.account(&author.model).unseen(steps.len() as u32);
        if end.is_some() && steps.len() > 0 {
            self.foreseen = 0;
        }
        match (end, pass.stop) {
            // What stopped the model comes after what is not taken.
            (Some(end), _) => Ok(Some(end)),
            (None, Some(StopReason::Cancelled)) if desk.job.ctx.cancel.is_cancelled() => {
                Err(Trouble::Over(FinishReason::Cancelled))
            }
            (None, Some(stop)) => Ok(Some(Advance::Done(finish_reason(stop)?))),
            (None, None) => Ok(None),
        }
    }
}

#[async_trait]
impl Writer for Stepping {
    async fn advance(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        until: &mut dyn Until,
    ) -> Result<Advance, Trouble> {
        loop {
            match self.once(desk, candidate, until).await {
                Err(Trouble::Lost(why)) if self.session.lost(desk, &why) => self.foreseen = 0,
                end => return end,
            }
        }
    }

    fn review(&mut self, alpha: f32) {
        self.review = Some(alpha);
    }
}
