//! The cheapest rung answers first; the next one takes over while confidence is too low.
//!
//! The draft is shown as it is written and stays shown while the next rung is fetched,
//! loaded and prefilled: it is retracted right before the next rung's first words. When
//! no other rung can answer, the draft stands after all.

use understudy_backend::BackendError;

use crate::answer::Answer;
use crate::generate::{Job, RungEnd, RungRun, Trouble};
use crate::plan::PlannedRung;
use crate::{Decision, DecisionKind, FinishReason, RouterError};

/// An earlier rung whose text is shown.
struct Draft<'a> {
    run: RungRun<'a>,
    state: State,
}

enum State {
    Complete(FinishReason),
    GivenUp,
    Broken,
}

pub(super) async fn cascade<'a>(
    job: &'a Job,
    answer: &mut Answer,
    drafts: &'a [PlannedRung],
    last: &'a str,
) -> Result<FinishReason, Trouble> {
    let mut standing: Option<Draft<'a>> = None;
    for (at, rung) in drafts.iter().enumerate() {
        let next = drafts.get(at + 1).map_or(last, |next| next.model.as_str());
        let mut run = RungRun::draft(job, &rung.model, rung.threshold);
        let end = run.generate(answer).await;
        let (verdict, state) = judge(&run, rung, next, end)?;
        let stays = verdict.kind == DecisionKind::Stay;
        if stays {
            answer.take_over(&rung.model).await?;
            answer.why.clone_from(&verdict.reason);
        }
        answer.decide(verdict).await?;
        match state {
            State::Complete(reason) if stays => return Ok(reason),
            state if answer.author().is_none_or(|author| author == rung.model) => {
                standing = Some(Draft { run, state })
            }
            // It wrote nothing: what an earlier rung wrote is still shown.
            _ => {}
        }
    }
    let mut run = RungRun::last(job, last);
    match run.generate(answer).await {
        Ok(RungEnd::Done(reason)) => {
            answer.take_over(last).await?;
            let reason_to_stay =
                if drafts.is_empty() { "the only rung" } else { "the last rung's answer stands" };
            answer.why = reason_to_stay.into();
            answer.decide(stay(last, reason_to_stay.into(), None, None)).await?;
            Ok(reason)
        }
        Ok(RungEnd::Hopeless(_)) => Ok(FinishReason::Length),
        Err(trouble) => draft_stands(answer, standing, last, trouble).await,
    }
}

/// What becomes of a draft: it stays, the next rung takes over, or the request is over.
fn judge(
    run: &RungRun<'_>,
    rung: &PlannedRung,
    next: &str,
    end: Result<RungEnd, Trouble>,
) -> Result<(Decision, State), Trouble> {
    let threshold = rung.threshold;
    let escalate = |reason, confidence: Option<f32>| Decision {
        kind: DecisionKind::Escalate,
        from: rung.model.clone(),
        to: Some(next.into()),
        reason,
        confidence,
        threshold: confidence.map(|_| threshold),
    };
    Ok(match end {
        Ok(RungEnd::Done(reason)) => {
            let confidence = run.confidence(reason == FinishReason::Length);
            let decision = if confidence >= threshold {
                let why = format!("confidence {confidence:.2} reaches the threshold {threshold:.2}");
                stay(&rung.model, why, Some(confidence), Some(threshold))
            } else {
                escalate(
                    format!("confidence {confidence:.2} is below the threshold {threshold:.2}"),
                    Some(confidence),
                )
            };
            (decision, State::Complete(reason))
        }
        Ok(RungEnd::Hopeless(confidence)) => {
            let why = format!(
                "given up early: confidence {confidence:.2} is far below the threshold {threshold:.2}"
            );
            (escalate(why, Some(confidence)), State::GivenUp)
        }
        Err(Trouble::Lost(why)) => (escalate(format!("{} was lost: {why}", rung.model), None), State::Broken),
        Err(Trouble::Refused(error)) if another_rung_may(&error) => {
            (escalate(error.to_string(), None), State::Broken)
        }
        Err(trouble) => return Err(trouble),
    })
}

/// The last rung failed. A draft that is still shown is the answer then.
async fn draft_stands(
    answer: &mut Answer,
    standing: Option<Draft<'_>>,
    last: &str,
    trouble: Trouble,
) -> Result<FinishReason, Trouble> {
    let why = match &trouble {
        Trouble::Lost(why) => format!("{last} was lost: {why}"),
        Trouble::Refused(error) if another_rung_may(error) => error.to_string(),
        _ => return Err(trouble),
    };
    let Some(mut draft) = standing.filter(|_| answer.author() != Some(last)) else { return Err(trouble) };
    if matches!(draft.state, State::Broken) {
        // Its text, if any, is all there is.
        let nothing_shown = answer.author().is_none();
        return if nothing_shown { Err(trouble) } else { Ok(FinishReason::Interrupted) };
    }
    let why = format!("no other rung could answer, the draft stands: {why}");
    answer.why.clone_from(&why);
    answer.decide(stay(draft.run.model(), why, None, None)).await?;
    match draft.state {
        State::Complete(reason) => Ok(reason),
        State::GivenUp | State::Broken => {
            draft.run.accept_anything();
            match draft.run.generate(answer).await? {
                RungEnd::Done(reason) => Ok(reason),
                RungEnd::Hopeless(_) => Ok(FinishReason::Length),
            }
        }
    }
}

fn stay(model: &str, reason: String, confidence: Option<f32>, threshold: Option<f32>) -> Decision {
    Decision { kind: DecisionKind::Stay, from: model.into(), to: None, reason, confidence, threshold }
}

/// Whether the failure is about this model, not about the request.
fn another_rung_may(error: &RouterError) -> bool {
    match error {
        RouterError::Backend(error) => match error {
            BackendError::Unavailable { .. }
            | BackendError::Overloaded { .. }
            | BackendError::Load { .. }
            | BackendError::EngineLost { .. } => true,
            BackendError::Engine(error) => {
                !matches!(error, understudy_engine::EngineError::InvalidArgument(_))
            }
            BackendError::Cancelled | BackendError::Deadline | BackendError::UnknownModel { .. } => false,
        },
        // Another template or vocabulary may do.
        RouterError::Codec(_) | RouterError::Constraint(_) | RouterError::TooFewTokens { .. } => true,
        _ => false,
    }
}
