//! Choosing tokens: sampling, drafting and checking drafts.
//!
//! [`Sampler`] turns a row of logits into a [`StepResult`]. Every choice is a function of
//! the logits, the sequence and `(seed, lane, position)`: batching, retries and the order
//! of calls never change it.

mod rng;
mod row;
mod speculate;
#[cfg(test)]
mod tests;
mod warp;

use row::Moments;
use warp::Warped;

use crate::EngineError;
use crate::verbs::{SamplerSpec, SignalMode, Signals, StepResult, TokenId};

pub use rng::{Purpose, uniform};
pub use speculate::Verdict;

/// Checks a request's sampling parameters, so that the caller can refuse it early.
///
/// # Errors
/// [`EngineError::InvalidArgument`] names the parameter and its range.
pub fn validate(spec: &SamplerSpec) -> Result<(), EngineError> {
    let rules = [
        ("temperature", spec.temperature, (0.0..=100.0).contains(&spec.temperature), "from 0 to 100"),
        ("top_p", spec.top_p, spec.top_p > 0.0 && spec.top_p <= 1.0, "above 0 and at most 1"),
        ("min_p", spec.min_p, (0.0..=1.0).contains(&spec.min_p), "from 0 to 1"),
        (
            "repetition_penalty",
            spec.repetition_penalty,
            (0.01..=100.0).contains(&spec.repetition_penalty),
            "from 0.01 to 100",
        ),
        (
            "frequency_penalty",
            spec.frequency_penalty,
            (-100.0..=100.0).contains(&spec.frequency_penalty),
            "from -100 to 100",
        ),
        (
            "presence_penalty",
            spec.presence_penalty,
            (-100.0..=100.0).contains(&spec.presence_penalty),
            "from -100 to 100",
        ),
    ];
    match rules.into_iter().find(|rule| !rule.2) {
        None => Ok(()),
        Some((name, value, _, range)) => {
            Err(EngineError::InvalidArgument(format!("{name} is {value}, it must be {range}")))
        }
    }
}

/// Chooses tokens. Holds scratch memory only: one per thread serves any sequences.
#[derive(Debug, Default)]
pub struct Sampler {
    warped: Warped,
    /// Logits before penalties of the tokens that were penalised, by ascending id.
    unpenalised: Vec<(TokenId, f32)>,
    /// Recent tokens, sorted, while penalties are applied.
    recent: Vec<TokenId>,
    /// A drafter's distribution by ascending id, while a draft is checked.
    drafted: Vec<(TokenId, f32)>,
}

/// What is known of a row once mask and penalties are in it.
struct Prepared {
    /// Over the allowed rows, before penalties.
    moments: Moments,
    signals: Option<Signals>,
    /// The only allowed token, when there is just one.
    only: Option<TokenId>,
    /// Likeliest token after penalties.
    best: TokenId,
}

impl Sampler {
    /// A sampler without scratch; it grows to the vocabulary's size once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the token at `position`. `logits` is scratch afterwards.
    ///
    /// `history` holds the sequence so far (for penalties); `mask` allows tokens as
    /// [`TokenGate::mask`](crate::gate::TokenGate::mask) writes it, `None` all. The log
    /// probability and the signals are taken before penalties and temperature.
    ///
    /// # Errors
    /// [`EngineError::NonFiniteLogits`], [`EngineError::DeadEnd`] when nothing is allowed,
    /// [`EngineError::InvalidArgument`] as [`validate`].
    pub fn choose(
        &mut self,
        logits: &mut [f32],
        history: &[TokenId],
        spec: &SamplerSpec,
        mask: Option<&[u32]>,
        position: usize,
        signals: SignalMode,
    ) -> Result<StepResult, EngineError> {
        let prepared = self.prepare(logits, history, spec, mask, signals)?;
        let token = if prepared.only.is_some() || spec.temperature == 0.0 {
            prepared.best
        } else {
            self.warp(logits, &prepared, spec);
            self.warped.pick(uniform(spec.seed, spec.lane, position as u64, Purpose::Sample))
        };
        Ok(self.step(token, logits, &prepared))
    }

    /// Applies mask and penalties to `logits` and measures the row.
    fn prepare(
        &mut self,
        logits: &mut [f32],
        history: &[TokenId],
        spec: &SamplerSpec,
        mask: Option<&[u32]>,
        signals: SignalMode,
    ) -> Result<Prepared, EngineError> {
        validate(spec)?;
        if !row::all_finite(logits) {
            return Err(EngineError::NonFiniteLogits);
        }
        let whole_row = (signals == SignalMode::Full && mask.is_some()).then(|| measure(logits).1);
        let allowed = mask.map_or(logits.len(), |mask| row::apply_mask(logits, mask));
        if allowed == 0 {
            return Err(EngineError::DeadEnd);
        }
        let (moments, signals) = match signals {
            SignalMode::None => (Moments::of(logits), None),
            SignalMode::Masked | SignalMode::Full => {
                let (moments, allowed_rows) = measure(logits);
                (moments, Some(whole_row.unwrap_or(allowed_rows)))
            }
        };
        self.penalise(logits, history, spec);
        let best = row::argmax(logits);
        Ok(Prepared { moments, signals, only: (allowed == 1).then_some(best), best })
    }

    /// Lowers the logits of recent tokens: repetition (Keskar et al. 2019, CTRL), then
    /// frequency and presence (OpenAI's definition).
    fn penalise(&mut self, logits: &mut [f32], history: &[TokenId], spec: &SamplerSpec) {
        self.unpenalised.clear();
        let off =
            spec.repetition_penalty == 1.0 && spec.frequency_penalty == 0.0 && spec.presence_penalty == 0.0;
        if off {
            return;
        }
        let start = history.len().saturating_sub(spec.penalty_window);
        self.recent.clear();
        self.recent.extend(history.iter().skip(start));
        self.recent.sort_unstable();
        for run in self.recent.chunk_by(|a, b| a == b) {
            let Some((id, logit)) = run.first().and_then(|id| Some((*id, logits.get_mut(*id as usize)?)))
            else {
                continue;
            };
            self.unpenalised.push((id, *logit));
            // A masked token stays at negative infinity through all of this.
            if *logit > 0.0 {
                *logit /= spec.repetition_penalty;
            } else {
                *logit *= spec.repetition_penalty;
            }
            *logit -= spec.frequency_penalty * run.len() as f32 + spec.presence_penalty;
        }
    }

    fn warp(&mut self, logits: &[f32], prepared: &Prepared, spec: &SamplerSpec) {
        if prepared.only.is_some() || spec.temperature == 0.0 {
            self.warped.point(prepared.best);
            return;
        }
        let max = logits.get(prepared.best as usize).copied().unwrap_or_default();
        self.warped.compute(logits, max, spec);
    }

    fn step(&self, token: TokenId, logits: &[f32], prepared: &Prepared) -> StepResult {
        let before = self.unpenalised.binary_search_by_key(&token, |entry| entry.0);
        let logit = match before {
            Ok(at) => self.unpenalised.get(at).map(|entry| entry.1),
            Err(_) => logits.get(token as usize).copied(),
        };
        StepResult {
            token,
            logprob: prepared.moments.logprob(logit.unwrap_or(f32::NEG_INFINITY)).min(0.0),
            signals: prepared.signals,
            forced: prepared.only.is_some(),
        }
    }
}

fn measure(row: &[f32]) -> (Moments, Signals) {
    let moments = Moments::of(row);
    let signals = Signals { entropy: moments.entropy(), margin: moments.margin(row) };
    (moments, signals)
}
