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

use std::sync::Arc;

use row::Moments;
use warp::Warped;

use crate::EngineError;
use crate::verbs::{SamplerSpec, SignalMode, Signals, StepResult, TokenId};

pub use rng::{Purpose, nth_uniform, uniform};
pub use speculate::{Block, Context, check_draft};

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

/// Most tokens that a request may bias.
const MOST_BIASES: usize = 1024;
/// A bias beyond this is none that a softmax tells from it.
const LARGEST_BIAS: f32 = 100.0;

/// Checks [`SamplerSpec::logit_bias`] for a vocabulary of so many tokens.
///
/// # Errors
/// [`EngineError::InvalidArgument`] where there are more than 1024 entries, ids do not ascend or are not in
/// the vocabulary, or a bias is not from -100 to 100.
pub fn check_bias(bias: &[(TokenId, f32)], vocab: usize) -> Result<(), EngineError> {
    let invalid = |why: String| Err(EngineError::InvalidArgument(format!("logit_bias {why}")));
    if bias.len() > MOST_BIASES {
        return invalid(format!("has {} entries, at most {MOST_BIASES} are allowed", bias.len()));
    }
    if !bias.is_sorted_by(|a, b| a.0 < b.0) {
        return invalid("does not have each token once, in ascending order".into());
    }
    let is_odd = |entry: &&(TokenId, f32)| !(-LARGEST_BIAS..=LARGEST_BIAS).contains(&entry.1);
    if let Some((id, value)) = bias.iter().find(is_odd) {
        return invalid(format!("of token {id} is {value}, it must be from -100 to 100"));
    }
    match bias.last() {
        Some((id, _)) if *id as usize >= vocab => {
            invalid(format!("names token {id}, the vocabulary has {vocab}"))
        }
        _ => Ok(()),
    }
}

/// Chooses tokens. Holds scratch memory only: one per thread serves any sequences.
#[derive(Debug, Default)]
pub struct Sampler {
    warped: Warped,
    /// The allowed tokens under a mask, ascending; empty without one.
    ids: Vec<TokenId>,
    /// Logits before penalties of the tokens that were penalised, by ascending id.
    unpenalised: Vec<(TokenId, f32)>,
    /// Recent tokens, sorted, while penalties are applied.
    recent: Vec<TokenId>,
}

/// A row once mask and penalties are in it: the logits of the allowed tokens side by side, by
/// ascending id. A *place* is an index among them.
struct Prepared<'a> {
    row: &'a [f32],
    /// Before penalties.
    moments: Moments,
    signals: Option<Signals>,
    /// Only one token is allowed.
    is_forced: bool,
    /// Place of the likeliest token after penalties.
    best: usize,
    /// Before penalties, if they are asked for.
    alternatives: Option<Arc<[(TokenId, f32)]>>,
}

impl Sampler {
    /// A sampler without scratch; it grows to the vocabulary's size once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the token at `position`. `logits` is scratch afterwards. Under a mask, and unless
    /// signals of the whole vocabulary are asked for, only allowed tokens' logits are read, and none
    /// where there is no choice; all other work is in proportion to the allowed tokens too.
    ///
    /// `history` holds the sequence so far (for penalties); `mask` allows tokens as
    /// [`TokenGate::mask`](crate::gate::TokenGate::mask) writes it, `None` all. Log-probabilities
    /// and signals are taken after the bias and before penalties and temperature.
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
        let token = self.draw(&prepared, spec, position);
        Ok(self.step(token, &prepared))
    }

    fn draw(&mut self, prepared: &Prepared<'_>, spec: &SamplerSpec, position: usize) -> TokenId {
        let draw = uniform(spec.seed, spec.lane, position as u64, Purpose::Sample);
        let is_whole = spec.top_k == 0 && spec.top_p >= 1.0 && spec.min_p <= 0.0;
        if prepared.is_forced || spec.temperature == 0.0 {
            self.id(prepared.best)
        } else if is_whole {
            self.id(row::pick(prepared.row, prepared.best, 1.0 / spec.temperature, draw))
        } else {
            self.warp(prepared, spec);
            self.warped.pick(draw)
        }
    }

    /// Applies mask and penalties to `logits` and measures the row.
    fn prepare<'a>(
        &mut self,
        logits: &'a mut [f32],
        history: &[TokenId],
        spec: &SamplerSpec,
        mask: Option<&[u32]>,
        signals: SignalMode,
    ) -> Result<Prepared<'a>, EngineError> {
        validate(spec)?;
        for (id, bias) in spec.logit_bias.iter() {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit += bias;
            }
        }
        let whole_row = match (mask, signals) {
            (Some(_), SignalMode::Full) => Some(measure(finite(logits)?).1),
            _ => None,
        };
        self.ids.clear();
        let row = match mask {
            None => logits,
            Some(mask) => row::keep(logits, mask, &mut self.ids),
        };
        let is_forced = mask.is_some() && row.len() == 1;
        match &mut row[..] {
            [] => return Err(EngineError::DeadEnd),
            // What has no alternative is certain, and its logit was perhaps never computed.
            [only] if is_forced => *only = 0.0,
            row => drop(finite(row)?),
        }
        let (moments, signals) = match signals {
            SignalMode::None => (Moments::of(row), None),
            SignalMode::Masked | SignalMode::Full => {
                let (moments, allowed) = measure(row);
                (moments, Some(whole_row.unwrap_or(allowed)))
            }
        };
        let alternatives = match spec.alternatives {
            count if count > 0 && !is_forced => Some(self.likeliest(row, &moments, count)),
            _ => None,
        };
        self.penalise(row, history, spec);
        Ok(Prepared { best: row::argmax(row), row, moments, signals, is_forced, alternatives })
    }

    /// The likeliest tokens and their log-probabilities.
    fn likeliest(&self, row: &[f32], moments: &Moments, count: u8) -> Arc<[(TokenId, f32)]> {
        let told = |place: usize| Some((self.id(place), moments.logprob(*row.get(place)?).min(0.0)));
        row::largest(row, count.into()).into_iter().filter_map(told).collect()
    }

    /// The token at a place.
    fn id(&self, place: usize) -> TokenId {
        // Rows are vocabularies: ids fit.
        self.ids.get(place).copied().unwrap_or(place as TokenId)
    }

    /// Where a token is, if it is allowed.
    fn place(&self, id: TokenId) -> Option<usize> {
        if self.ids.is_empty() { Some(id as usize) } else { self.ids.binary_search(&id).ok() }
    }

    /// Lowers the logits of recent tokens: repetition (Keskar et al. 2019, CTRL), then
    /// frequency and presence (OpenAI's definition).
    fn penalise(&mut self, row: &mut [f32], history: &[TokenId], spec: &SamplerSpec) {
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
            let Some((id, place)) = run.first().and_then(|id| Some((*id, self.place(*id)?))) else {
                continue;
            };
            let Some(logit) = row.get_mut(place) else { continue };
            self.unpenalised.push((id, *logit));
            if *logit > 0.0 {
                *logit /= spec.repetition_penalty;
            } else {
                *logit *= spec.repetition_penalty;
            }
            *logit -= spec.frequency_penalty * run.len() as f32 + spec.presence_penalty;
        }
    }

    fn warp(&mut self, prepared: &Prepared<'_>, spec: &SamplerSpec) {
        if prepared.is_forced || spec.temperature == 0.0 {
            return self.warped.point(self.id(prepared.best));
        }
        self.warped.compute(prepared.row, prepared.best, spec);
        if let [_, ..] = self.ids[..] {
            self.warped.rename(&self.ids);
        }
    }

    fn step(&self, token: TokenId, prepared: &Prepared<'_>) -> StepResult {
        let before = self.unpenalised.binary_search_by_key(&token, |entry| entry.0);
        let logit = match before {
            Ok(at) => self.unpenalised.get(at).map(|entry| entry.1),
            Err(_) => self.place(token).and_then(|place| prepared.row.get(place).copied()),
        };
        StepResult {
            token,
            logprob: prepared.moments.logprob(logit.unwrap_or(f32::NEG_INFINITY)).min(0.0),
            signals: prepared.signals,
            forced: prepared.is_forced,
            alternatives: prepared.alternatives.clone(),
        }
    }
}

/// The row, if all of it is finite.
fn finite(row: &[f32]) -> Result<&[f32], EngineError> {
    if row::all_finite(row) { Ok(row) } else { Err(EngineError::NonFiniteLogits) }
}

fn measure(row: &[f32]) -> (Moments, Signals) {
    let moments = Moments::of(row);
    let signals = Signals { entropy: moments.entropy(), margin: moments.margin(row) };
    (moments, signals)
}
