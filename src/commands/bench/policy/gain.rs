//! How much faster, and how sure that is.

use serde::Serialize;
use serde_json::{Value, json};
use understudy_calibration::resampling::{percentile_interval, resample};

/// Resamples of a bootstrap over prompts.
const RESAMPLES: usize = 10_000;
const SEED: u64 = 0;

/// Tokens and the seconds that they took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Speed {
    pub tokens: f64,
    pub seconds: f64,
}

impl Speed {
    fn per_second(self) -> f64 {
        self.tokens / self.seconds
    }

    fn is_measurable(self) -> bool {
        self.tokens > 0.0 && self.seconds > 0.0
    }
}

impl std::ops::AddAssign for Speed {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.seconds += other.seconds;
    }
}

/// One prompt: the model alone, and with the policy.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pair {
    pub alone: Speed,
    pub with: Speed,
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.with.per_second() / self.alone.per_second()
    }
}

/// A ratio of tokens per second, with its 95 % interval (percentile bootstrap over prompts).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    pub ratio: f64,
    pub interval95: (f64, f64),
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} [{:.2}, {:.2}]", self.ratio, self.interval95.0, self.interval95.1)
    }
}

/// Tokens per second with a policy, in units of those without.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// Of the prompts' ratios.
    pub median: Ratio,
    /// All tokens over all time, against the same of the model alone: long answers count more.
    pub total: Ratio,
}

impl Gain {
    /// The geometric mean over classes, each with its prompts; of a single class its own gain. Prompts whose answer
    /// was too short to time are left out; `None` where nothing remains.
    pub fn over(classes: &[Vec<Pair>]) -> Option<Self> {
        let timed = |pair: &Pair| pair.alone.is_measurable() && pair.with.is_measurable();
        let timed = |pairs: &Vec<Pair>| pairs.iter().copied().filter(timed).collect::<Vec<_>>();
        let classes: Vec<Vec<Pair>> = classes.iter().map(timed).filter(|pairs| !pairs.is_empty()).collect();
        Some(Self { median: ratio(&classes, median)?, total: ratio(&classes, total)? })
    }

    pub fn as_json(&self) -> Value {
        json!({"median": self.median, "total": self.total})
    }
}

fn ratio(classes: &[Vec<Pair>], of_class: fn(&[Pair]) -> f64) -> Option<Ratio> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut drawn = |pairs: &Vec<Pair>| {
        let drawn = resample(pairs.len(), &mut random).into_iter().filter_map(|at| pairs.get(at).copied());
        of_class(&drawn.collect::<Vec<_>>())
    };
    let resamples = (0..RESAMPLES).map(|_| geometric_mean(classes.iter().map(&mut drawn)));
    let interval95 = percentile_interval(resamples)?;
    Some(Ratio { ratio: geometric_mean(classes.iter().map(|pairs| of_class(pairs))), interval95 })
}

fn median(pairs: &[Pair]) -> f64 {
    let mut ratios: Vec<f64> = pairs.iter().map(Pair::ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let middle = |at: usize| ratios.get(at).copied().unwrap_or(f64::NAN);
    (middle(ratios.len().saturating_sub(1) / 2) + middle(ratios.len() / 2)) / 2.0
}

fn total(pairs: &[Pair]) -> f64 {
    let mut sum = Pair::default();
    for pair in pairs {
        sum.alone += pair.alone;
        sum.with += pair.with;
    }
    sum.ratio()
}

/// NaN of none.
fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (logs, count) = values.fold((0.0, 0.0), |(logs, count), value| (logs + value.ln(), count + 1.0));
    (logs / count).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(tokens: f64, alone: f64, with: f64) -> Pair {
        let speed = |seconds| Speed { tokens, seconds };
        Pair { alone: speed(alone), with: speed(with) }
    }

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    }

    #[test]
    fn the_median_counts_prompts_and_the_total_counts_time() {
        let class = vec![pair(10.0, 1.0, 0.5), pair(10.0, 1.0, 0.5), pair(90.0, 9.0, 9.0)];
        let gain = Gain::over(&[class]).expect("three prompts");
        near(gain.median.ratio, 2.0);
        near(gain.total.ratio, 1.1);
        near(gain.median.interval95.0, 1.0);
        near(gain.median.interval95.1, 2.0);
        assert!(gain.total.interval95.0 < 1.1 && gain.total.interval95.1 > 1.1);
        near(median(&[pair(1.0, 1.0, 1.0), pair(1.0, 4.0, 1.0)]), 2.5);
    }

    #[test]
    fn classes_weigh_the_same_however_many_prompts_they_have() {
        let quick = vec![pair(5.0, 4.0, 1.0)];
        let slow = vec![pair(5.0, 1.0, 1.0); 50];
        let gain = Gain::over(&[quick, slow]).expect("two classes");
        near(gain.median.ratio, 2.0);
        near(gain.total.ratio, 2.0);
        assert!((gain.total.interval95.0 - 2.0).abs() < 1e-9, "no prompt differs within its class");
    }

    #[test]
    fn answers_too_short_to_time_are_left_out() {
        assert_eq!(Gain::over(&[vec![pair(0.0, 1.0, 1.0)], vec![]]), None);
        let gain = Gain::over(&[vec![pair(0.0, 0.0, 0.0), pair(8.0, 3.0, 1.0)]]).expect("one prompt");
        near(gain.median.ratio, 3.0);
    }
}
