//! How one model goes on with a candidate.
//!
//! | module | what it holds |
//! |---|---|
//! | `running` | [`Running`]: to the end, by the verb `run` |
//! | `stepping` | [`Stepping`]: pass by pass, by the verb `verify`: with drafts, or to a boundary |
//!
//! A policy says who writes; a writer says how. Both are driven by the same [`Until`].

mod running;
mod stepping;

use async_trait::async_trait;
use understudy_engine::verbs::{StepResult, StopReason};

pub(crate) use running::Running;
pub(crate) use stepping::Stepping;

use crate::FinishReason;
use crate::candidate::Candidate;
use crate::desk::{Desk, Trouble};

/// A model with a way of writing. Keeps its sequences from one call to the next.
#[async_trait]
pub(crate) trait Writer: Send {
    /// Goes on with the candidate, whoever wrote it so far, to its end or to a boundary.
    async fn advance(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &mut Candidate,
        until: &mut dyn Until,
    ) -> Result<Advance, Trouble>;

    /// Before it goes on, the model is to read what others wrote since its last word, and to take it
    /// back from the token on that it finds less than `1 - alpha` times as likely as its own choice.
    fn review(&mut self, _alpha: f32) {}
}

/// When a writer hands the pen back before the end.
pub(crate) trait Until: Send {
    /// Not to be written: the writer stops before this token.
    fn refuses(&mut self, _candidate: &Candidate, _step: &StepResult, _bytes: &[u8]) -> bool {
        false
    }

    /// Enough is written.
    fn reached(&mut self, _candidate: &Candidate) -> bool {
        false
    }
}

/// Only the end is one.
pub(crate) struct TheEnd;

impl Until for TheEnd {}

/// How far a writer came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Advance {
    /// The candidate is complete.
    Done(FinishReason),
    /// Given up because its confidence, this number, was hopeless.
    Hopeless(f32),
    /// [`Until::reached`].
    Boundary,
    /// [`Until::refuses`] this token.
    Refused(StepResult),
}

/// Why the turn ends with the token that was just written, if it does.
fn turn_ends(desk: &Desk<'_>, candidate: &Candidate, until: &mut dyn Until) -> Option<Advance> {
    if candidate.is_stopped() {
        return Some(Advance::Done(FinishReason::Stop));
    }
    let hopeless = desk.hopeless(candidate).map(Advance::Hopeless);
    hopeless.or_else(|| until.reached(candidate).then_some(Advance::Boundary))
}

/// What an engine's reason means for the answer.
fn finish_reason(stop: StopReason) -> Result<FinishReason, Trouble> {
    match stop {
        StopReason::End | StopReason::Signal => Ok(FinishReason::Stop),
        StopReason::Length | StopReason::ContextFull => Ok(FinishReason::Length),
        StopReason::Constraint => Ok(FinishReason::Constraint),
        StopReason::Cancelled => Err(Trouble::Lost("the engine gave the run up".into())),
    }
}
