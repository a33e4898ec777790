//! Intervals and tests: how sure a figure is.

use understudy_calibration::resampling::{percentile_interval, resample};

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Resamples of a bootstrap. The ends of a 95 % interval then move by about 1 % of its width
/// from seed to seed.
const RESAMPLES: usize = 10_000;

/// The Wilson score interval, 95 %, of `ok` successes in `n` trials (E. B. Wilson, 1927:
/// "Probable inference, the law of succession, and statistical inference"). Without trials it
/// is everything, 0 to 1.
pub fn wilson(ok: u64, n: u64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (n as f64, ok as f64 / n as f64);
    let z2 = Z * Z;
    let centre = share + z2 / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

/// The exact two-sided McNemar test: how likely a split of the discordant pairs at least as
/// uneven as `b` against `c` is when both sides are equally good.
pub fn mcnemar(b: u64, c: u64) -> f64 {
    let n = b + c;
    if n == 0 {
        return 1.0;
    }
    // P(X <= min) of a fair coin, from log-factorials so that large counts do not overflow.
    let log_factorial = |count: u64| (1..=count).map(|i| (i as f64).ln()).sum::<f64>();
    let whole = log_factorial(n);
    let tail: f64 = (0..=b.min(c))
        .map(|k| (whole - log_factorial(k) - log_factorial(n - k) - n as f64 * 2f64.ln()).exp())
        .sum();
    (2.0 * tail).min(1.0)
}

/// The percentile bootstrap, 95 %, of a weighted mean: pairs of (value, weight) are drawn with
/// replacement. Deterministic for a seed. `None` without weight.
pub fn bootstrap_mean(pairs: &[(f64, f64)], seed: u64) -> Option<(f64, f64)> {
    weighted_mean(pairs.iter().copied())?;
    let mut random = fastrand::Rng::with_seed(seed);
    let drawn = |_| weighted_mean(resample(pairs.len(), &mut random).into_iter().map(|at| pairs[at]));
    percentile_interval((0..RESAMPLES).filter_map(drawn))
}

/// `None` without weight.
pub fn weighted_mean(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weight) =
        pairs.fold((0.0, 0.0), |(sum, all), (value, weight)| (sum + value * weight, all + weight));
    (weight > 0.0).then(|| sum / weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 5e-4, "{found} is not {wanted}");
    }

    #[test]
    fn wilson_agrees_with_published_values() {
        // Newcombe 1998, table I, method 3; 0 of 20 and 1 of 29 are his examples.
        for (ok, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = wilson(ok, n);
            near(found.0, low);
            near(found.1, high);
        }
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        near(wilson(20, 20).1, 1.0);
    }

    #[test]
    fn mcnemar_is_the_binomial_tail() {
        near(mcnemar(0, 0), 1.0);
        near(mcnemar(3, 3), 1.0);
        // 2 * (1 + 6) / 64
        near(mcnemar(1, 5), 0.21875);
        near(mcnemar(5, 1), 0.21875);
        near(mcnemar(0, 10), 2.0 / 1024.0);
        assert!(mcnemar(4000, 5000) < 1e-20);
    }

    #[test]
    fn a_bootstrap_repeats_and_covers_the_mean() {
        let pairs: Vec<(f64, f64)> = (0..200).map(|i| (f64::from(i % 2), 1.0)).collect();
        let found = bootstrap_mean(&pairs, 7).unwrap();
        assert_eq!(Some(found), bootstrap_mean(&pairs, 7));
        // Standard error 0.5 / sqrt(200) = 0.0354.
        assert!((found.0 - 0.4307).abs() < 0.02 && (found.1 - 0.5693).abs() < 0.02, "{found:?}");
        assert_eq!(bootstrap_mean(&[], 7), None);
        assert_eq!(bootstrap_mean(&[(1.0, 0.0)], 7), None);
        assert_eq!(weighted_mean([(1.0, 3.0), (5.0, 1.0)].into_iter()), Some(2.0));
    }
}
