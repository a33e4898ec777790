//! At which confidence an answer may stay. An item whose confidence is below the threshold is escalated.

use crate::curve::Routed;
use crate::profile::Goal;

/// Why no threshold does.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ThresholdError {
    /// No threshold has the certificate.
    #[error(
        "a risk of {alpha} cannot be certified with {rows} examples: at least {needed} are needed, or a higher risk"
    )]
    Infeasible {
        /// The risk asked for.
        alpha: f64,
        /// Examples there are.
        rows: usize,
        /// Examples it takes.
        needed: u64,
    },
    /// The draft alone is beyond the target.
    #[error("{what} cannot be held to {wanted}: the small model alone already takes {least:.3}; allow more")]
    OutOfReach {
        /// What is limited.
        what: &'static str,
        /// The limit.
        wanted: f64,
        /// The least there is.
        least: f64,
    },
    /// The goal is no number that can be meant.
    #[error("{what} {value} is not {range}; give one that is")]
    Unusable {
        /// What is limited.
        what: &'static str,
        /// The value given.
        value: f64,
        /// What it should be.
        range: &'static str,
    },
}

/// The threshold for a goal on these items, whose scores are confidences. Limits (budget, compute, latency) are used
/// up as far as items of equal confidence allow.
///
/// # Errors
/// [`ThresholdError`], when the goal cannot be reached or is no number that can be meant.
pub fn choose(items: &[Routed], goal: Goal) -> Result<f64, ThresholdError> {
    let within = |what, value: f64, range: &'static str, usable: bool| match usable {
        true => Ok(()),
        false => Err(ThresholdError::Unusable { what, value, range }),
    };
    let n = items.len() as f64;
    match goal {
        Goal::Quality => Ok(best_quality(items)),
        Goal::Budget { share } => {
            within("the budget", share, "between 0 and 1", (0.0..=1.0).contains(&share))?;
            limited(items, "the share of teacher calls", share, |_| 0.0, |_| 1.0 / n)
        }
        Goal::Compute { share } => {
            within("the compute", share, "at least 0", share >= 0.0)?;
            let teacher_only: f64 = items.iter().map(|item| item.teacher_cost.bytes).sum();
            let part = |bytes: f64| if teacher_only > 0.0 { bytes / teacher_only } else { 0.0 };
            let (draft, teacher) =
                (|item: &Routed| part(item.draft_cost.bytes), |item: &Routed| part(item.teacher_cost.bytes));
            limited(items, "the share of the teacher's compute", share, draft, teacher)
        }
        Goal::Latency { ms } => {
            within("the latency", ms, "above 0", ms > 0.0)?;
            limited(items, "the mean latency in ms", ms, |i| i.draft_cost.ms / n, |i| i.teacher_cost.ms / n)
        }
        Goal::Risk { alpha } => {
            within("the risk", alpha, "between 0 and 1", alpha > 0.0 && alpha < 1.0)?;
            certified(items, alpha)
        }
    }
}

/// The least threshold that certifies the risk alpha by conformal risk control (Angelopoulos, Bates, Fisch, Lei,
/// Schuster 2022, theorem 1). The loss of an item is 1 where its draft stays, is wrong, and the teacher is right; it can
/// only fall as the threshold rises. With n examples that are exchangeable with what will be asked, and whose scores
/// come from a profile that was fitted on others, the threshold's expected loss is at most alpha if
///
/// ```text
/// n / (n + 1) · mean loss + 1 / (n + 1) <= alpha.
/// ```
///
/// # Errors
/// [`ThresholdError::Infeasible`] exactly where no threshold satisfies it: always escalating has loss 0, so exactly
/// where 1 / (n + 1) > alpha.
pub fn certified(items: &[Routed], alpha: f64) -> Result<f64, ThresholdError> {
    let n = items.len() as f64;
    // A rounding error must not refuse alpha = 1 / (n + 1).
    let allowed = alpha * (n + 1.0) - 1.0 + 1e-9;
    if allowed < 0.0 {
        let needed = (1.0 / alpha - 1.0 - 1e-9).ceil() as u64;
        return Err(ThresholdError::Infeasible { alpha, rows: items.len(), needed });
    }
    let losses = |threshold: f64| {
        let lost = |item: &&Routed| item.score >= threshold && item.draft < item.teacher;
        items.iter().filter(lost).count() as f64
    };
    let thresholds = candidates(items);
    // Losses fall as thresholds rise.
    let first = thresholds.partition_point(|&threshold| losses(threshold) > allowed);
    Ok(thresholds.get(first).copied().unwrap_or(1.0))
}

/// The threshold of the best mean value; of equally good ones the cheapest.
pub fn best_quality(items: &[Routed]) -> f64 {
    reached(items, |gain, best| gain > best + 1e-9)
}

/// The cheapest threshold whose mean value is at least `quality` on these items; else the best there is.
pub fn reaching(items: &[Routed], quality: f64) -> f64 {
    let (n, draft) = (items.len() as f64, items.iter().map(|item| item.draft).sum::<f64>());
    let wanted = quality * n - draft - 1e-6;
    reached(items, |gain, best| best < wanted && gain > best + 1e-9)
}

/// Walks the thresholds upwards and takes each whose gain over the draft is `better` than the last one taken.
fn reached(items: &[Routed], better: impl Fn(f64, f64) -> bool) -> f64 {
    let all = gains(items);
    let first = all.first().copied().unwrap_or_default();
    all.into_iter().fold(first, |taken, next| if better(next.1, taken.1) { next } else { taken }).0
}

/// For each threshold upwards, the summed gain of what it escalates.
fn gains(items: &[Routed]) -> Vec<(f64, f64)> {
    let order = ascending(items);
    let mut gain = 0.0;
    let mut passed = order.iter().peekable();
    let at = |threshold: f64| {
        while let Some(item) = passed.next_if(|item| item.score < threshold) {
            gain += item.escalated - item.draft;
        }
        (threshold, gain)
    };
    candidates(items).into_iter().map(at).collect()
}

/// The highest threshold whose summed cost is within the limit.
fn limited(
    items: &[Routed],
    what: &'static str,
    wanted: f64,
    draft: impl Fn(&Routed) -> f64,
    teacher: impl Fn(&Routed) -> f64,
) -> Result<f64, ThresholdError> {
    let least: f64 = items.iter().map(draft).sum();
    let slack = wanted + 1e-9;
    if least > slack {
        return Err(ThresholdError::OutOfReach { what, wanted, least });
    }
    let cost = |threshold: f64| {
        least + items.iter().filter(|item| item.score < threshold).map(&teacher).sum::<f64>()
    };
    let thresholds = candidates(items);
    let beyond = thresholds.partition_point(|&threshold| cost(threshold) <= slack);
    Ok(thresholds[beyond - 1])
}

fn ascending(items: &[Routed]) -> Vec<&Routed> {
    let mut order: Vec<&Routed> = items.iter().collect();
    order.sort_by(|a, b| a.score.total_cmp(&b.score));
    order
}

/// One threshold for each set of items that some threshold escalates: 0 (none), the middle between neighbouring
/// scores, and beyond the highest (all; 1 where scores are confidences).
fn candidates(items: &[Routed]) -> Vec<f64> {
    let order = ascending(items);
    let between = order.windows(2).filter(|pair| pair[0].score < pair[1].score);
    let middles = between.map(|pair| pair[0].score + (pair[1].score - pair[0].score) / 2.0);
    // Scores that are no confidences, such as log-probabilities, have other ends.
    let lowest = order.first().map_or(0.0, |item| item.score.min(0.0));
    let end = order.last().map_or(1.0, |item| if item.score < 1.0 { 1.0 } else { item.score + 1.0 });
    [lowest].into_iter().chain(middles).chain([end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Cost;

    fn item(score: f64, draft: bool, teacher: bool) -> Routed {
        let value = |ok| f64::from(u8::from(ok));
        let cost = |bytes, ms| Cost { tokens: 1.0, bytes, ms };
        Routed {
            score,
            draft: value(draft),
            teacher: value(teacher),
            escalated: value(teacher),
            draft_cost: cost(4.0, 10.0),
            teacher_cost: cost(10.0, 40.0),
        }
    }

    /// Ten items; the first four drafts are wrong where the teacher is right, the fifth the other way round.
    fn items() -> Vec<Routed> {
        (0..10).map(|n| item(f64::from(n) / 10.0 + 0.05, n >= 4, n != 4)).collect()
    }

    fn escalated(items: &[Routed], goal: Goal) -> usize {
        let threshold = choose(items, goal).unwrap();
        items.iter().filter(|item| item.score < threshold).count()
    }

    #[test]
    fn limits_are_used_up_and_kept() {
        let items = items();
        for (goal, wanted) in [
            (Goal::Budget { share: 0.0 }, 0),
            (Goal::Budget { share: 0.3 }, 3),
            (Goal::Budget { share: 0.39 }, 3),
            (Goal::Budget { share: 1.0 }, 10),
            (Goal::Compute { share: 0.9 }, 5),
            (Goal::Latency { ms: 30.0 }, 5),
            (Goal::Quality, 4),
        ] {
            assert_eq!(escalated(&items, goal), wanted, "{goal:?}");
        }
        assert_eq!(choose(&items, Goal::Budget { share: 1.0 }).unwrap(), 1.0);
        assert_eq!(choose(&items, Goal::Budget { share: 0.0 }).unwrap(), 0.0);
    }

    #[test]
    fn equal_confidences_go_together() {
        let tied: Vec<Routed> = (0..10).map(|_| item(0.5, false, true)).collect();
        assert_eq!(escalated(&tied, Goal::Budget { share: 0.9 }), 0);
        assert_eq!(escalated(&tied, Goal::Budget { share: 1.0 }), 10);
    }

    #[test]
    fn goals_that_cannot_be_are_refused_with_what_to_do() {
        for (goal, word) in [
            (Goal::Latency { ms: 5.0 }, "10.000"),
            (Goal::Compute { share: 0.3 }, "0.400"),
            (Goal::Budget { share: 1.1 }, "between 0 and 1"),
            (Goal::Budget { share: f64::NAN }, "between 0 and 1"),
            (Goal::Latency { ms: f64::NAN }, "above 0"),
            (Goal::Risk { alpha: 0.0 }, "between 0 and 1"),
            (Goal::Risk { alpha: 0.05 }, "19 are needed"),
        ] {
            let refused = choose(&items(), goal).unwrap_err().to_string();
            assert!(refused.contains(word), "{word} in {refused}");
        }
    }

    #[test]
    fn the_cheapest_threshold_that_reaches_a_quality() {
        let items = items();
        let escalated = |threshold: f64| items.iter().filter(|item| item.score < threshold).count();
        assert_eq!(escalated(reaching(&items, 0.6)), 0);
        assert_eq!(escalated(reaching(&items, 0.8)), 2);
        assert_eq!(escalated(reaching(&items, 1.0)), 4);
        assert_eq!(escalated(reaching(&items, 2.0)), 4, "the best there is");
        let nats: Vec<Routed> =
            items.iter().map(|item| Routed { score: item.score - 5.0, ..*item }).collect();
        let threshold = reaching(&nats, 0.8);
        assert_eq!(nats.iter().filter(|item| item.score < threshold).count(), 2, "any score will do");
    }

    #[test]
    fn a_certificate_is_refused_exactly_where_escalating_everything_would_not_do() {
        let lost: Vec<Routed> = (0..9).map(|n| item(f64::from(n) / 10.0, false, true)).collect();
        assert_eq!(certified(&lost, 0.1), Ok(1.0), "1 / (9 + 1) is just allowed, with every item escalated");
        let refused = certified(&lost[1..], 0.1).unwrap_err();
        assert_eq!(refused, ThresholdError::Infeasible { alpha: 0.1, rows: 8, needed: 9 });
        let never: Vec<Routed> = (0..9).map(|n| item(f64::from(n) / 10.0, true, true)).collect();
        assert_eq!(certified(&never, 0.1), Ok(0.0), "nothing is lost by keeping all");
    }

    /// Theorem 1 over 500 random worlds: the mean test loss keeps alpha, and alpha is used.
    #[test]
    fn the_certified_risk_holds_on_new_items() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut draw = |count: usize| -> Vec<Routed> {
            let mut one = |_| {
                let score = random.f64();
                item(score, random.f64() < score * 0.8, random.f64() < 0.6)
            };
            (0..count).map(&mut one).collect()
        };
        for alpha in [0.05, 0.1, 0.2] {
            let mut loss = || {
                let threshold = certified(&draw(100), alpha).unwrap();
                let lost = |item: &&Routed| item.score >= threshold && item.draft < item.teacher;
                draw(100).iter().filter(lost).count() as f64 / 100.0
            };
            let losses: Vec<f64> = (0..500).map(|_| loss()).collect();
            let mean = losses.iter().sum::<f64>() / 500.0;
            let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / 499.0;
            let error = (variance / 500.0).sqrt();
            assert!(mean <= alpha + 2.0 * error, "{mean} ± {error} exceeds {alpha}");
            assert!(mean > alpha - 0.025, "{mean} leaves much of {alpha} unused");
        }
    }
}
