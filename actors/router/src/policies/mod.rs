//! Policies: small programs over rungs.

mod cascade;
mod direct;

use crate::answer::Answer;
use crate::generate::{Job, Trouble};
use crate::plan::Plan;
use crate::{FinishReason, PolicySpec, RouterError};

/// Runs the request's policy. The answer's text and books are complete when it returns.
pub(crate) async fn run(job: &Job, plan: &Plan, answer: &mut Answer) -> Result<FinishReason, RouterError> {
    let end = match (&job.request.policy, plan.rungs.as_slice()) {
        (_, []) => return Err(RouterError::invalid("ladder", "is empty")),
        (PolicySpec::Direct { .. }, [rung, ..]) => direct::direct(job, answer, &rung.model).await,
        (PolicySpec::Cascade { .. }, [drafts @ .., last]) => {
            cascade::cascade(job, answer, drafts, &last.model).await
        }
    };
    match end {
        Ok(reason) | Err(Trouble::Over(reason)) => Ok(reason),
        Err(Trouble::Lost(_)) => Ok(FinishReason::Interrupted),
        Err(Trouble::Refused(error)) => Err(error),
    }
}
