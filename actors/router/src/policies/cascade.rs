//! The cheapest rung answers first; the next one takes over while confidence is too low.
//!
//! The draft is shown as it is written and stays shown while the next rung is fetched, loaded and
//! prefilled: it is retracted right before the next rung's first words. When no other rung can
//! answer, the draft stands after all. With `select=best` the last rung's answer is judged too, and
//! the better of it and the drafts stands.

use async_trait::async_trait;

use super::{Definition, Make, Policy, Written};
use crate::candidate::Candidate;
use crate::desk::{Desk, Patience, Trouble};
use crate::judge::{Judgement, judge};
use crate::plan::Cast;
use crate::policy_spec::{Param, ParamKind, Params};
use crate::{Decision, DecisionKind, FinishReason, RouterError};

pub(super) const DEFINITION: Definition = Definition {
    name: "cascade",
    about: "the first rung answers; while its confidence is too low, the next one does",
    params: &[
        Param {
            name: "threshold",
            kind: ParamKind::Share,
            about: "confidence from which an answer stays; each rung's own if not named",
        },
        Param {
            name: "select",
            kind: ParamKind::Word(&["last", "best"]),
            about: "after an escalation: the last rung's answer (default), or the one with the most confidence",
        },
    ],
    make: Make::Whole(|params, inner| Box::new(Cascade::of(params, inner))),
};

struct Cascade {
    threshold: Option<f32>,
    selects_best: bool,
    inner: Box<dyn Policy>,
}

/// An earlier rung's answer.
struct Draft {
    candidate: Candidate,
    rung: usize,
    confidence: Option<f32>,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Complete(FinishReason),
    GivenUp,
    Broken,
}

impl Cascade {
    fn of(params: &Params, inner: Box<dyn Policy>) -> Self {
        Self {
            threshold: params.number("threshold"),
            selects_best: params.text("select") == Some("best"),
            inner,
        }
    }

    /// A rung drafts, and its answer is judged; the decision is announced.
    async fn draft(&self, desk: &mut Desk<'_>, cast: &Cast, rung: usize) -> Result<(Draft, bool), Trouble> {
        let model = cast.model(rung);
        let threshold = self.threshold.unwrap_or_else(|| cast.threshold(rung));
        let exit = desk.job.config.early_exit;
        desk.judged = true;
        // A calibrated confidence is of whole answers: its scale says nothing of beginnings.
        let calibrated = desk.job.config.profile_of(&desk.job.request.task).is_some();
        desk.patience =
            (!calibrated).then_some(Patience { least: threshold * exit.share, min_tokens: exit.min_tokens });
        let mut candidate = desk.candidate();
        let end = self.inner.write(desk, &cast.led_by(rung), &mut candidate).await;
        desk.patience = None;
        let (why, weighed, confidence, state) = match end {
            Ok(Written::Done(reason)) => {
                let Judgement { confidence, preference, doubt } = judge(desk, model, &candidate).await?;
                // A threshold of the request is one of confidences; a profile's is one of preferences.
                let weighed = if self.threshold.is_some() { confidence } else { preference };
                let relation = if weighed >= threshold { "reaches" } else { "is below" };
                let what = if weighed == confidence { "confidence" } else { "preference" };
                let mut why = format!("{what} {weighed:.2} {relation} the threshold {threshold:.2}");
                doubt.iter().for_each(|doubt| why = format!("{why}; {doubt}"));
                (why, Some(weighed), Some(confidence), State::Complete(reason))
            }
            Ok(Written::Hopeless(confidence)) => {
                let why = format!(
                    "given up early: confidence {confidence:.2} is far below the threshold {threshold:.2}"
                );
                (why, Some(confidence), Some(confidence), State::GivenUp)
            }
            Err(Trouble::Lost(why)) => (format!("{model} was lost: {why}"), None, None, State::Broken),
            Err(Trouble::Refused(error)) if error.is_about_one_model() => {
                (error.to_string(), None, None, State::Broken)
            }
            Err(trouble) => return Err(trouble),
        };
        let is_complete = matches!(state, State::Complete(_));
        let stays = is_complete && weighed.is_some_and(|weighed| weighed >= threshold);
        if stays {
            desk.screen.claim(&candidate).await?;
            desk.why.clone_from(&why);
        }
        desk.decide(Decision {
            kind: if stays { DecisionKind::Stay } else { DecisionKind::Escalate },
            from: model.into(),
            to: if stays { None } else { Some(cast.model(rung + 1).into()) },
            reason: why,
            confidence: weighed,
            threshold: weighed.map(|_| threshold),
        })
        .await?;
        Ok((Draft { candidate, rung, confidence, state }, stays))
    }

    /// The last rung's answer stands, or the best draft where that is what was asked for.
    async fn select(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        drafts: Vec<Draft>,
        candidate: &mut Candidate,
        reason: FinishReason,
    ) -> Result<Written, Trouble> {
        let last = cast.model(cast.last());
        let only = cast.rungs.len() == 1;
        if !self.selects_best || only {
            desk.screen.claim(candidate).await?;
            let why = if only { "the only rung" } else { "the last rung's answer stands" };
            desk.why = why.into();
            desk.decide(stay(last, why.into(), None, None)).await?;
            return Ok(Written::Done(reason));
        }
        let confidence = judge(desk, last, candidate).await?.confidence;
        let complete = drafts.into_iter().filter_map(|draft| match draft.state {
            State::Complete(reason) => Some((draft.confidence.unwrap_or(0.0), reason, draft)),
            _ => None,
        });
        // Of equal ones the later rung's.
        let best = complete.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(draft, ..)| *draft > confidence);
        let (model, why, reason) = match best {
            None => (last, format!("confidence {confidence:.2} is not below any draft's"), reason),
            Some((of_draft, reason, draft)) => {
                *candidate = draft.candidate;
                let why =
                    format!("the draft's confidence {of_draft:.2} is above the last rung's {confidence:.2}");
                (cast.model(draft.rung), why, reason)
            }
        };
        desk.why.clone_from(&why);
        desk.decide(stay(model, why, Some(confidence), None)).await?;
        desk.screen.claim(candidate).await?;
        Ok(Written::Done(reason))
    }

    /// The last rung failed. A draft that is still shown is the answer then.
    async fn draft_stands(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        drafts: Vec<Draft>,
        candidate: &mut Candidate,
        trouble: Trouble,
    ) -> Result<Written, Trouble> {
        let last = cast.model(cast.last());
        let why = match &trouble {
            Trouble::Lost(why) => format!("{last} was lost: {why}"),
            Trouble::Refused(error) if error.is_about_one_model() => error.to_string(),
            _ => return Err(trouble),
        };
        let shown = drafts.into_iter().rev().find(|draft| desk.screen.shows(&draft.candidate));
        let Some(draft) = shown else { return Err(trouble) };
        *candidate = draft.candidate;
        if draft.state == State::Broken {
            // Its text is all there is.
            return Ok(Written::Done(FinishReason::Interrupted));
        }
        let why = format!("no other rung could answer, the draft stands: {why}");
        desk.why.clone_from(&why);
        desk.decide(stay(cast.model(draft.rung), why, None, None)).await?;
        match draft.state {
            State::Complete(reason) => Ok(Written::Done(reason)),
            State::GivenUp | State::Broken => {
                self.inner.write(desk, &cast.led_by(draft.rung), candidate).await
            }
        }
    }
}

#[async_trait]
impl Policy for Cascade {
    async fn write(
        &self,
        desk: &mut Desk<'_>,
        cast: &Cast,
        candidate: &mut Candidate,
    ) -> Result<Written, Trouble> {
        let first = cast.lead.unwrap_or(0);
        let mut drafts = Vec::new();
        for rung in first..cast.last() {
            let (draft, stays) = self.draft(desk, cast, rung).await?;
            if let (true, State::Complete(reason)) = (stays, &draft.state) {
                let reason = *reason;
                *candidate = draft.candidate;
                return Ok(Written::Done(reason));
            }
            drafts.push(draft);
        }
        desk.judged = self.selects_best || desk.job.request.collect_evidence;
        match self.inner.write(desk, &cast.led_by(cast.last()), candidate).await {
            Ok(Written::Done(reason)) => self.select(desk, cast, drafts, candidate, reason).await,
            Ok(hopeless) => Ok(hopeless),
            Err(trouble) => self.draft_stands(desk, cast, drafts, candidate, trouble).await,
        }
    }
}

fn stay(model: &str, reason: String, confidence: Option<f32>, threshold: Option<f32>) -> Decision {
    Decision { kind: DecisionKind::Stay, from: model.into(), to: None, reason, confidence, threshold }
}

impl RouterError {
    /// Whether the failure is about this model, not about the request.
    fn is_about_one_model(&self) -> bool {
        use understudy_backend::BackendError;
        use understudy_engine::EngineError;
        match self {
            Self::Backend(error) => match error {
                BackendError::Unavailable { .. }
                | BackendError::Overloaded { .. }
                | BackendError::Load { .. }
                | BackendError::EngineLost { .. } => true,
                BackendError::Engine(error) => !matches!(error, EngineError::InvalidArgument(_)),
                BackendError::Cancelled | BackendError::Deadline | BackendError::UnknownModel { .. } => false,
            },
            // Another template or vocabulary may do.
            Self::Codec(_) | Self::Constraint(_) | Self::TooFewTokens { .. } => true,
            _ => false,
        }
    }
}
