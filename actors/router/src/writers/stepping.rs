//! Pass by pass: each checks a draft, if there is one, and adds the model's own token.

use async_trait::async_trait;
use understudy_engine::verbs::{Acceptance, Draft, StopReason, Verified};

use super::{Advance, Until, Writer, finish_reason};
use crate::FinishReason;
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::drafters::Drafters;
use crate::session::Session;

/// Decodes by the verb `verify`.
pub(crate) struct Stepping {
    session: Session,
    drafters: Option<Drafters>,
    acceptance: Acceptance,
    /// Tokens that the constraint foresees: then nobody needs to draft.
    foreseen: usize,
}

impl Stepping {
    /// Without drafts: one pass, one token.
    pub(crate) fn new(session: Session) -> Self {
        Self { session, drafters: None, acceptance: Acceptance::Exact, foreseen: 0 }
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
            self.session.ready(desk, candidate).await?;
            let draft = match &mut self.drafters {
                Some(drafters) if self.foreseen == 0 && left > 1 => {
                    drafters.draft(desk, candidate, &self.session, left as usize - 1).await?
                }
                _ => Draft::default(),
            };
            let verified =
                self.session.verify(desk, draft, self.acceptance, left, desk.signals()).await?;
            self.foreseen = verified.foreseen;
            if let Some(drafters) = &mut self.drafters {
                drafters.learn(desk, &verified).await?;
            }
            if let Some(end) = self.take(desk, candidate, until, verified).await? {
                return Ok(end);
            }
        }
    }

    /// Writes what a pass has brought; `None` to go on.
    async fn take(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        until: &mut dyn Until,
        verified: Verified,
    ) -> Result<Option<Advance>, Trouble> {
        let (author, codec) = (self.session.author()?, self.session.codec()?);
        let mut steps = verified.steps.into_iter();
        let mut end = None;
        while let (None, Some(step)) = (end, steps.next()) {
            if until.refuses(candidate, &step) {
                desk.books.account(&author.model).unseen(1);
                end = Some(Advance::Refused(step));
                break;
            }
            desk.write(candidate, &author, step, codec.token_bytes(step.token)).await?;
            end = match desk.hopeless(candidate) {
                _ if candidate.is_stopped() => Some(Advance::Done(FinishReason::Stop)),
                Some(confidence) => Some(Advance::Hopeless(confidence)),
                None => until.reached(candidate).then_some(Advance::Boundary),
            };
        }
        desk.books.account(&author.model).unseen(steps.len() as u32);
        if end.is_some() && steps.len() > 0 {
            self.foreseen = 0;
        }
        match (end, verified.stop) {
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
}
