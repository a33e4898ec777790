//! What a verb answers.

use understudy_backend::{ModelCard, Pace, RunEvent};
use understudy_engine::EngineError;
use understudy_engine::model::gates::{Gate, GateState};
use understudy_engine::verbs::{Cost, Signals, StepResult, StopReason, Verified};
use understudy_proto::node::v1;

use super::count;
use super::request::paired;

pub(crate) fn cost(cost: Cost) -> v1::Cost {
    let Cost { prefill_rows, adopted_rows, decode_rows, forward_passes, bytes_read, compute_us } = cost;
    v1::Cost { prefill_rows, adopted_rows, decode_rows, forward_passes, bytes_read, compute_us }
}

pub(crate) fn cost_of(cost: Option<v1::Cost>) -> Cost {
    let v1::Cost { prefill_rows, adopted_rows, decode_rows, forward_passes, bytes_read, compute_us } =
        cost.unwrap_or_default();
    Cost { prefill_rows, adopted_rows, decode_rows, forward_passes, bytes_read, compute_us }
}

pub(crate) fn pace(pace: Pace) -> v1::Pace {
    let (rows, seconds) = pace.pairs().map(|(rows, seconds)| (rows as u32, seconds)).unzip();
    v1::Pace { rows, seconds }
}

/// Times that are none are left out.
pub(crate) fn pace_of(pace: &v1::Pace) -> Pace {
    let pairs = pace.rows.iter().zip(&pace.seconds).map(|(rows, seconds)| (*rows as usize, *seconds));
    Pace::measured(pairs.filter(|(_, seconds)| seconds.is_finite() && *seconds >= 0.0))
}

pub(crate) fn step(step: StepResult) -> v1::Step {
    v1::Step {
        token: step.token,
        logprob: step.logprob,
        signals: step.signals.map(|Signals { entropy, margin }| v1::Signals { entropy, margin }),
        forced: step.forced,
        alternatives: step.alternatives.map(|alternatives| {
            let (tokens, weights) = alternatives.iter().copied().unzip();
            v1::Weighted { tokens, weights }
        }),
    }
}

pub(crate) fn step_of(step: v1::Step) -> Result<StepResult, EngineError> {
    let alternatives = step.alternatives.map(|likely| paired(likely.tokens, likely.weights)).transpose()?;
    Ok(StepResult {
        token: step.token,
        logprob: step.logprob,
        signals: step.signals.map(|v1::Signals { entropy, margin }| Signals { entropy, margin }),
        forced: step.forced,
        alternatives: alternatives.map(Into::into),
    })
}

fn stop(reason: StopReason) -> i32 {
    match reason {
        StopReason::End => v1::StopReason::End,
        StopReason::Length => v1::StopReason::Length,
        StopReason::ContextFull => v1::StopReason::ContextFull,
        StopReason::Constraint => v1::StopReason::Constraint,
        StopReason::Signal => v1::StopReason::Signal,
        StopReason::Cancelled => v1::StopReason::Cancelled,
    }
    .into()
}

fn stop_of(reason: i32) -> Result<Option<StopReason>, EngineError> {
    Ok(Some(match v1::StopReason::try_from(reason) {
        Ok(v1::StopReason::Unspecified) => return Ok(None),
        Ok(v1::StopReason::End) => StopReason::End,
        Ok(v1::StopReason::Length) => StopReason::Length,
        Ok(v1::StopReason::ContextFull) => StopReason::ContextFull,
        Ok(v1::StopReason::Constraint) => StopReason::Constraint,
        Ok(v1::StopReason::Signal) => StopReason::Signal,
        Ok(v1::StopReason::Cancelled) => StopReason::Cancelled,
        Err(_) => return Err(EngineError::InvalidArgument("a stop reason is unknown here".into())),
    }))
}

pub(crate) fn stopped(reason: StopReason, len: usize, spent: Cost) -> v1::RunStopped {
    v1::RunStopped { reason: stop(reason), len: len as u64, cost: Some(cost(spent)) }
}

/// The events of a message, in order.
///
/// # Errors
/// [`EngineError::InvalidArgument`] for an event that is none.
pub(crate) fn run_events(message: v1::RunResponse) -> Result<Vec<RunEvent>, EngineError> {
    let mut events = Vec::with_capacity(message.steps.len() + 1);
    for step in message.steps {
        events.push(RunEvent::Step(step_of(step)?));
    }
    if let Some(end) = message.stopped {
        let reason = stop_of(end.reason)?;
        let reason =
            reason.ok_or_else(|| EngineError::InvalidArgument("a run's end has no reason".into()))?;
        events.push(RunEvent::Stopped { reason, len: count(end.len), cost: cost_of(end.cost) });
    }
    Ok(events)
}

pub(crate) fn verified(verified: Verified, spent: Cost, now: Pace, served_us: u64) -> v1::VerifyResponse {
    v1::VerifyResponse {
        steps: verified.steps.into_iter().map(step).collect(),
        drafted: verified.drafted as u64,
        accepted: verified.accepted as u64,
        foreseen: verified.foreseen as u64,
        stop: verified.stop.map_or(0, stop),
        cost: Some(cost(spent)),
        pace: Some(pace(now)),
        served_us,
    }
}

pub(crate) fn verified_of(response: v1::VerifyResponse) -> Result<(Verified, Cost), EngineError> {
    let verified = Verified {
        steps: response.steps.into_iter().map(step_of).collect::<Result<_, _>>()?,
        drafted: count(response.drafted),
        accepted: count(response.accepted),
        foreseen: count(response.foreseen),
        stop: stop_of(response.stop)?,
    };
    Ok((verified, cost_of(response.cost)))
}

pub(crate) fn card(card: &ModelCard) -> v1::ModelCard {
    let gate = |gate: &Gate| v1::Gate {
        kernel: gate.kernel.clone(),
        state: gate.state.name().to_owned(),
        detail: gate.detail.clone(),
    };
    v1::ModelCard {
        name: card.name.clone(),
        architecture: card.architecture.clone(),
        generates: card.generates,
        context: card.context as u64,
        bytes_per_token: card.bytes_per_token,
        numerics: card.numerics.clone(),
        gates: card.gates.iter().map(gate).collect(),
        codec_digest: card.codec_digest.clone(),
        digest: card.digest.clone(),
    }
}

pub(crate) fn card_of(card: v1::ModelCard) -> ModelCard {
    // A verdict of a later version says nothing here.
    let gate = |gate: v1::Gate| {
        let states = [GateState::On, GateState::Wrong, GateState::Slow];
        let state = states.into_iter().find(|state| state.name() == gate.state)?;
        Some(Gate { kernel: gate.kernel, state, detail: gate.detail })
    };
    ModelCard {
        name: card.name,
        architecture: card.architecture,
        generates: card.generates,
        context: count(card.context),
        bytes_per_token: card.bytes_per_token,
        numerics: card.numerics,
        gates: card.gates.into_iter().filter_map(gate).collect(),
        codec_digest: card.codec_digest,
        digest: card.digest,
    }
}
