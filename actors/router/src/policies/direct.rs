//! One model answers.

use crate::FinishReason;
use crate::answer::Answer;
use crate::generate::{Job, RungEnd, RungRun, Trouble};

pub(super) async fn direct(job: &Job, answer: &mut Answer, model: &str) -> Result<FinishReason, Trouble> {
    answer.why = "the only model asked".into();
    match RungRun::last(job, model).generate(answer).await? {
        RungEnd::Done(reason) => Ok(reason),
        // Only drafts are judged.
        RungEnd::Hopeless(_) => Ok(FinishReason::Length),
    }
}
