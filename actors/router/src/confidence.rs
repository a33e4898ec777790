//! How sure a model was of an answer, as one number in 0..=1.
//!
//! Features follow Gupta, Narasimhan, Jitkrittum, Rawat, Menon, Kumar: "Language Model
//! Cascades: Token-level uncertainty and beyond" (ICLR 2024): quantiles of the token
//! log-probabilities tell more than their sum, which favours short answers, or their
//! mean, in which one doubtful token drowns. To these come entropy, margin, length, and
//! two signs of a broken answer: cut off by the budget, and caught in a loop. A logistic
//! function of the features is the confidence.
//!
//! Tokens that a constraint forced carry no information and are left out.
//!
//! Invariants, tested below:
//! - **INV-C1** a confidence is a number in 0..=1 for any input, NaN and infinities included.
//! - **INV-C2** with the default weights, raising log-probabilities or margins, or
//!   lowering entropies, never lowers the confidence.

use serde::Deserialize;
use understudy_engine::verbs::{StepResult, TokenId};

use crate::candidate::Candidate;

/// What is computed from the tokens of an answer. Log-probabilities and entropies in nats.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Features {
    /// Tokens that were not forced.
    pub length: usize,
    /// Log-probability of the first token: how sure the model was of how to begin.
    pub first_logprob: f32,
    /// Least log-probability.
    pub min_logprob: f32,
    /// 10 % quantile.
    pub p10_logprob: f32,
    /// 25 % quantile.
    pub p25_logprob: f32,
    /// Median.
    pub p50_logprob: f32,
    /// Mean.
    pub mean_logprob: f32,
    /// Mean entropy; 0 where no signals were asked for.
    pub mean_entropy: f32,
    /// Greatest entropy.
    pub max_entropy: f32,
    /// 10 % quantile of the margin; 1 where no signals were asked for.
    pub p10_margin: f32,
    /// Mean margin.
    pub mean_margin: f32,
    /// The token budget or the context ended the answer.
    pub truncated: bool,
    /// The end of the answer repeats itself; see [`is_looping`].
    pub looping: bool,
}

impl Features {
    /// Every feature by its name, as evidence for a calibration.
    pub fn named(&self) -> [(&'static str, f64); 13] {
        let flag = |set: bool| f64::from(u8::from(set));
        [
            ("length", self.length as f64),
            ("first_logprob", self.first_logprob.into()),
            ("min_logprob", self.min_logprob.into()),
            ("p10_logprob", self.p10_logprob.into()),
            ("p25_logprob", self.p25_logprob.into()),
            ("p50_logprob", self.p50_logprob.into()),
            ("mean_logprob", self.mean_logprob.into()),
            ("mean_entropy", self.mean_entropy.into()),
            ("max_entropy", self.max_entropy.into()),
            ("p10_margin", self.p10_margin.into()),
            ("mean_margin", self.mean_margin.into()),
            ("truncated", flag(self.truncated)),
            ("looping", flag(self.looping)),
        ]
    }
}

/// Coefficients of the logistic function.
///
/// The defaults of `first_logprob`, `p10_logprob` and `bias` were fitted (L2-regularised,
/// weights held non-negative) to SmolLM2-135M's answers to `tests/labelled/calibration.jsonl`;
/// the pair was chosen there by cross-validation, as no further feature raised it. The
/// penalty of a loop is set by hand: such an answer is never right. See docs/policies.md.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Added to the sum.
    pub bias: f32,
    /// Per nat.
    pub first_logprob: f32,
    /// Per nat.
    pub min_logprob: f32,
    /// Per nat.
    pub p10_logprob: f32,
    /// Per nat.
    pub p25_logprob: f32,
    /// Per nat.
    pub p50_logprob: f32,
    /// Per nat.
    pub mean_logprob: f32,
    /// Per nat.
    pub mean_entropy: f32,
    /// Per nat.
    pub max_entropy: f32,
    /// Per unit.
    pub p10_margin: f32,
    /// Per unit.
    pub mean_margin: f32,
    /// Per natural log of (1 + length).
    pub log_length: f32,
    /// Added when truncated.
    pub truncated: f32,
    /// Added when looping.
    pub looping: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            bias: 4.22,
            first_logprob: 1.46,
            min_logprob: 0.0,
            p10_logprob: 2.30,
            p25_logprob: 0.0,
            p50_logprob: 0.0,
            mean_logprob: 0.0,
            mean_entropy: 0.0,
            max_entropy: 0.0,
            p10_margin: 0.0,
            mean_margin: 0.0,
            log_length: 0.0,
            truncated: 0.0,
            looping: -8.0,
        }
    }
}

/// Log-probabilities and entropies beyond this say nothing more (and may be infinite).
const NATS_LIMIT: f32 = 20.0;

impl Features {
    /// Of a candidate's tokens.
    pub(crate) fn of_candidate(candidate: &Candidate, truncated: bool) -> Option<Self> {
        let steps: Vec<StepResult> = candidate.steps().cloned().collect();
        Self::of(&steps, truncated)
    }

    /// `None` when no token was chosen freely: there is nothing to be unsure about.
    pub fn of(steps: &[StepResult], truncated: bool) -> Option<Self> {
        let free: Vec<&StepResult> = steps.iter().filter(|step| !step.forced).collect();
        if free.is_empty() {
            return None;
        }
        let logprobs = sorted(free.iter().map(|step| clean(step.logprob, -NATS_LIMIT, 0.0, -NATS_LIMIT)));
        let signals = || free.iter().filter_map(|step| step.signals);
        let entropies = sorted(signals().map(|signals| clean(signals.entropy, 0.0, NATS_LIMIT, NATS_LIMIT)));
        let margins = sorted(signals().map(|signals| clean(signals.margin, 0.0, 1.0, 0.0)));
        let ids: Vec<TokenId> = steps.iter().map(|step| step.token).collect();
        Some(Self {
            length: free.len(),
            first_logprob: free
                .first()
                .map_or(0.0, |step| clean(step.logprob, -NATS_LIMIT, 0.0, -NATS_LIMIT)),
            min_logprob: quantile(&logprobs, 0.0).unwrap_or(0.0),
            p10_logprob: quantile(&logprobs, 0.10).unwrap_or(0.0),
            p25_logprob: quantile(&logprobs, 0.25).unwrap_or(0.0),
            p50_logprob: quantile(&logprobs, 0.50).unwrap_or(0.0),
            mean_logprob: mean(&logprobs).unwrap_or(0.0),
            mean_entropy: mean(&entropies).unwrap_or(0.0),
            max_entropy: quantile(&entropies, 1.0).unwrap_or(0.0),
            p10_margin: quantile(&margins, 0.10).unwrap_or(1.0),
            mean_margin: mean(&margins).unwrap_or(1.0),
            truncated,
            looping: is_looping(&ids),
        })
    }
}

impl Weights {
    /// Whether every coefficient is a finite number.
    pub fn is_finite(&self) -> bool {
        let all = [
            self.bias,
            self.first_logprob,
            self.min_logprob,
            self.p10_logprob,
            self.p25_logprob,
            self.p50_logprob,
            self.mean_logprob,
            self.mean_entropy,
            self.max_entropy,
            self.p10_margin,
            self.mean_margin,
            self.log_length,
            self.truncated,
            self.looping,
        ];
        all.iter().all(|weight| weight.is_finite())
    }

    /// The confidence that these features speak for.
    pub fn confidence(&self, features: &Features) -> f32 {
        let flag = |set: bool| if set { 1.0 } else { 0.0 };
        let sum = self.bias
            + self.first_logprob * features.first_logprob
            + self.min_logprob * features.min_logprob
            + self.p10_logprob * features.p10_logprob
            + self.p25_logprob * features.p25_logprob
            + self.p50_logprob * features.p50_logprob
            + self.mean_logprob * features.mean_logprob
            + self.mean_entropy * features.mean_entropy
            + self.max_entropy * features.max_entropy
            + self.p10_margin * features.p10_margin
            + self.mean_margin * features.mean_margin
            + self.log_length * (1.0 + features.length as f32).ln()
            + self.truncated * flag(features.truncated)
            + self.looping * flag(features.looping);
        // Opposite infinities of absurd weights: undecided.
        if sum.is_nan() { 0.5 } else { 1.0 / (1.0 + (-sum).exp()) }
    }

    /// The confidence of a candidate; see [`judge`](Self::judge).
    pub(crate) fn judge_candidate(&self, candidate: &Candidate, truncated: bool) -> f32 {
        let steps: Vec<StepResult> = candidate.steps().cloned().collect();
        self.judge(&steps, truncated)
    }

    /// The confidence of an answer: 0 when it is empty, 1 when every token was forced.
    pub fn judge(&self, steps: &[StepResult], truncated: bool) -> f32 {
        match Features::of(steps, truncated) {
            Some(features) => self.confidence(&features),
            None if steps.is_empty() => 0.0,
            None => 1.0,
        }
    }
}

/// Longest repeated unit that is looked for, in tokens.
const LONGEST_PERIOD: usize = 64;
/// Fewest repetitions, and fewest tokens that they cover: four lines that begin alike are
/// a list, the same 24 tokens in a row are a loop.
const LEAST_REPEATS: usize = 4;
const LEAST_COVERED: usize = 24;

/// Whether the tokens end in a unit of 1 to 64 tokens repeated at least four times over at
/// least 24 tokens.
pub fn is_looping(ids: &[TokenId]) -> bool {
    (1..=LONGEST_PERIOD.min(ids.len() / LEAST_REPEATS)).any(|period| {
        let pairs = ids.iter().rev().zip(ids.iter().rev().skip(period));
        let covered = period + pairs.take_while(|(later, earlier)| later == earlier).count();
        covered >= LEAST_COVERED.max(LEAST_REPEATS * period)
    })
}

fn clean(value: f32, low: f32, high: f32, when_nan: f32) -> f32 {
    if value.is_nan() { when_nan } else { value.clamp(low, high) }
}

fn sorted(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values
}

fn mean(values: &[f32]) -> Option<f32> {
    (!values.is_empty()).then(|| values.iter().sum::<f32>() / values.len() as f32)
}

/// The `q` quantile of ascending values, interpolated between neighbours.
fn quantile(ascending: &[f32], q: f32) -> Option<f32> {
    let place = q * ascending.len().checked_sub(1)? as f32;
    let below = *ascending.get(place as usize)?;
    let above = ascending.get(place as usize + 1).unwrap_or(&below);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use understudy_engine::verbs::Signals;

    use super::*;

    fn step(logprob: f32, entropy: f32, margin: f32) -> StepResult {
        StepResult {
            token: 1,
            logprob,
            signals: Some(Signals { entropy, margin }),
            forced: false,
            alternatives: None,
        }
    }

    /// Tokens count up, so that nothing loops.
    fn steps(values: &[(f32, f32, f32)]) -> Vec<StepResult> {
        let numbered = values.iter().enumerate();
        numbered.map(|(n, (l, e, m))| StepResult { token: n as TokenId, ..step(*l, *e, *m) }).collect()
    }

    #[test]
    fn quantiles_interpolate() {
        let values = [-4.0, -3.0, -2.0, -1.0, 0.0];
        for (q, expected) in [(0.0, -4.0), (0.1, -3.6), (0.25, -3.0), (0.5, -2.0), (1.0, 0.0)] {
            assert!((quantile(&values, q).unwrap() - expected).abs() < 1e-6, "{q}");
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn fluent_answers_are_above_the_default_threshold_and_hesitant_ones_below() {
        let weights = Weights::default();
        assert!(weights.judge(&steps(&[(-0.1, 0.3, 0.9); 12]), false) > 0.75);
        assert!(weights.judge(&steps(&[(-1.5, 1.5, 0.4); 12]), false) < 0.3);
        let mut doubtful = vec![(-0.05, 0.1, 0.95); 12];
        let sure = weights.judge(&steps(&doubtful), false);
        doubtful[3] = (-4.0, 2.5, 0.05);
        doubtful[7] = (-4.0, 2.5, 0.05);
        assert!(weights.judge(&steps(&doubtful), false) < 0.5, "two doubts in a dozen tokens");
        doubtful.rotate_left(3);
        assert!(weights.judge(&steps(&doubtful), false) < 0.1, "and one of them is the first");
        assert!(sure > 0.9);
    }

    #[test]
    fn forced_tokens_do_not_count() {
        let weights = Weights::default();
        let free = steps(&[(-0.7, 1.0, 0.5), (-0.2, 0.4, 0.8)]);
        let mut with_forced = free.clone();
        with_forced.push(StepResult { forced: true, token: 77, ..step(-9.0, 9.0, 0.0) });
        assert_eq!(weights.judge(&free, false), weights.judge(&with_forced, false));
        assert_eq!(weights.judge(&with_forced[2..], false), 1.0, "nothing was chosen");
        assert_eq!(weights.judge(&[], false), 0.0, "no answer is no good answer");
    }

    #[test]
    fn loops_are_seen_and_lists_are_not() {
        let repeat = |unit: &[TokenId], times: usize| unit.repeat(times);
        assert!(is_looping(&repeat(&[7], 24)));
        assert!(is_looping(&repeat(&[1, 2, 3, 4, 5, 6, 7], 4)));
        assert!(is_looping(&[&[9, 8, 7][..], &repeat(&[1, 2], 12), &[1]].concat()));
        assert!(!is_looping(&repeat(&[7], 23)));
        assert!(!is_looping(&repeat(&[1, 2, 3, 4, 5, 6, 7], 3)));
        let list: Vec<TokenId> = (0..12).flat_map(|n| [100, 101, n, 102]).collect();
        assert!(!is_looping(&list));
        let looping = vec![step(-0.01, 0.05, 0.99); 40];
        assert!(Weights::default().judge(&looping, false) < 0.1);
    }

    fn wild() -> impl Strategy<Value = f32> {
        prop_oneof![any::<f32>(), Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), -5.0_f32..0.0]
    }

    proptest! {
        /// INV-C1.
        #[test]
        fn always_a_probability(
            values in prop::collection::vec((wild(), wild(), wild()), 0..40),
            bias in wild(),
            slope in wild(),
            truncated: bool,
        ) {
            for weights in [Weights::default(), Weights { bias, mean_logprob: slope, max_entropy: -slope, ..Weights::default() }] {
                let confidence = weights.judge(&steps(&values), truncated);
                prop_assert!((0.0..=1.0).contains(&confidence), "{}", confidence);
            }
        }

        /// INV-C2.
        #[test]
        fn surer_tokens_never_lower_it(
            values in prop::collection::vec((-8.0_f32..0.0, 0.0_f32..6.0, 0.0_f32..1.0, 0.0_f32..1.0), 1..40),
        ) {
            let before: Vec<_> = values.iter().map(|(l, e, m, _)| (*l, *e, *m)).collect();
            let after: Vec<_> = values.iter().map(|(l, e, m, up)| (l * (1.0 - up), e * (1.0 - up), m + (1.0 - m) * up)).collect();
            let weights = Weights::default();
            prop_assert!(weights.judge(&steps(&after), false) >= weights.judge(&steps(&before), false) - 1e-6);
        }
    }
}
