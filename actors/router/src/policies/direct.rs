//! One model writes, token by token.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Definition, Make, Pen, Policy, Written};
use crate::RouterError;
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};
use crate::plan::Cast;
use crate::policy_spec::{Param, ParamKind};
use crate::session::Session;
use crate::writers::{Advance, Running, Stepping, TheEnd, Writer};

pub(super) const DEFINITION: Definition = Definition {
    name: "direct",
    about: "one model answers",
    params: &[Param {
        name: "model",
        kind: ParamKind::Model,
        about: "which one; the ladder's first rung if not named",
    }],
    make: Make::Pen(|_| plain()),
};

/// Without drafts.
struct Plain;

pub(super) fn plain() -> Arc<dyn Pen> {
    Arc::new(Plain)
}

impl Pen for Plain {
    fn writer(&self, cast: &Cast, rung: usize, watched: bool) -> Box<dyn Writer> {
        let session = Session::new(cast.model(rung));
        // In the engine's batch where nobody stops it on the way.
        if watched { Box::new(Stepping::new(session)) } else { Box::new(Running::new(session)) }
    }
}

/// One model writes all of an answer.
struct Solo {
    pen: Arc<dyn Pen>,
}

pub(super) fn solo(pen: Arc<dyn Pen>) -> Box<dyn Policy> {
    Box::new(Solo { pen })
}

#[async_trait]
impl Policy for Solo {
    async fn write(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        candidate: &mut Candidate,
    ) -> Result<Written, Trouble> {
        let lead = cast.lead.unwrap_or_else(|| self.pen.lead(cast));
        let mut writer = self.pen.writer(cast, lead, false);
        let end = writer.advance(desk, candidate, &mut TheEnd).await?;
        written(desk, candidate, end).await
    }
}

/// The last turn is over: closes the candidate.
pub(super) async fn written(
    desk: &mut Desk<'_>,
    candidate: &mut Candidate,
    end: Advance,
) -> Result<Written, Trouble> {
    match end {
        Advance::Hopeless(confidence) => Ok(Written::Hopeless(confidence)),
        Advance::Done(reason) => {
            desk.close(candidate, reason).await?;
            Ok(Written::Done(reason))
        }
        Advance::Boundary | Advance::Refused(_) => {
            Err(Trouble::Refused(RouterError::Internal("a writer stopped before the end".into())))
        }
    }
}
