//! To the end in the engine's batch.

use async_trait::async_trait;
use understudy_backend::RunEvent;
use understudy_engine::verbs::StopReason;

use super::{Advance, Until, Writer, finish_reason, turn_ends};
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::session::{Run, Session};
use crate::{FinishReason, Origin};

/// Decodes by the verb `run`. Looks at boundaries as tokens arrive, so an engine may have computed a
/// token or two more by then: [`super::Stepping`] does not.
pub(crate) struct Running {
    session: Session,
}

impl Running {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }

    async fn once(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        until: &mut dyn Until,
    ) -> Result<Advance, Trouble> {
        let left = desk.left(candidate);
        if left == 0 {
            return Ok(Advance::Done(FinishReason::Length));
        }
        self.session.ready(desk, candidate).await?;
        let mut run = self.session.run(desk, left).await?;
        match self.read(&mut run, desk, candidate, until).await {
            Ok(Read::Stopped(stop)) => {
                self.session.ended();
                Ok(Advance::Done(finish_reason(stop)?))
            }
            Err(Trouble::Lost(why)) => Err(Trouble::Lost(why)),
            Ok(Read::Enough(advance)) => {
                self.session.stop(run, desk).await;
                Ok(advance)
            }
            Err(trouble) => {
                self.session.stop(run, desk).await;
                Err(trouble)
            }
        }
    }

    /// Reads tokens until the run ends or there is a reason to end it.
    async fn read(
        &mut self,
        run: &mut Run,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        until: &mut dyn Until,
    ) -> Result<Read, Trouble> {
        let (author, codec) = (self.session.author()?, self.session.codec()?);
        loop {
            let step = match run.next().await? {
                RunEvent::Step(step) => step,
                RunEvent::Stopped { reason, cost, .. } => {
                    desk.books.account(&author.model).cost += cost;
                    // A cancelled request may hear of it from its run first.
                    if reason == StopReason::Cancelled && desk.job.ctx.cancel.is_cancelled() {
                        return Err(Trouble::Over(FinishReason::Cancelled));
                    }
                    return Ok(Read::Stopped(reason));
                }
            };
            if until.refuses(candidate, &step, codec.token_bytes(step.token)) {
                desk.books.account(&author.model).unseen(1);
                return Ok(Read::Enough(Advance::Refused(step)));
            }
            self.session.keep(&step);
            let origin = Origin::undrafted(&step);
            desk.write(candidate, &author, step, origin, &*codec).await?;
            if let Some(end) = turn_ends(desk, candidate, until) {
                return Ok(Read::Enough(end));
            }
        }
    }
}

/// Why reading a run ended.
enum Read {
    Stopped(StopReason),
    Enough(Advance),
}

#[async_trait]
impl Writer for Running {
    async fn advance(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        until: &mut dyn Until,
    ) -> Result<Advance, Trouble> {
        loop {
            match self.once(desk, candidate, until).await {
                Err(Trouble::Lost(why)) if self.session.lost(desk, &why) => {}
                end => return end,
            }
        }
    }
}
