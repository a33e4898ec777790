//! L2-regularised logistic regression whose weights may be held to a sign.
//!
//! Newton steps (iteratively reweighted least squares): each minimises the quadratic model of the loss by cyclic
//! coordinate descent, which keeps a sign by projection, as in Friedman, Hastie, Tibshirani: "Regularization Paths
//! for Generalized Linear Models via Coordinate Descent" (2010). Columns are few, so the model is kept as a Gram
//! matrix.

/// Which values a weight may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Any.
    Free,
    /// 0 or more.
    NonNegative,
    /// 0 or less.
    NonPositive,
    /// 0: the column is left out.
    Zero,
}

impl Sign {
    fn project(self, weight: f64) -> f64 {
        match self {
            Self::Free => weight,
            Self::NonNegative => weight.max(0.0),
            Self::NonPositive => weight.min(0.0),
            Self::Zero => 0.0,
        }
    }
}

const NEWTON_STEPS: usize = 30;
const SWEEPS: usize = 200;
const TOLERANCE: f64 = 1e-7;
/// Curvature of an example that is already certain: keeps the steps finite.
const LEAST_CURVATURE: f64 = 1e-5;

/// Weights, the bias last, that minimise the summed log-loss plus `strength` / 2 times the squared weights (without the
/// bias). `rows` hold standardised columns, `signs` one sign each; `weights` is where to start.
pub fn fit(rows: &[Vec<f64>], ok: &[bool], strength: f64, signs: &[Sign], mut weights: Vec<f64>) -> Vec<f64> {
    let mut loss = objective(rows, ok, strength, &weights);
    for _ in 0..NEWTON_STEPS {
        let target = quadratic_minimum(rows, ok, strength, signs, &weights);
        // A full step may overshoot; the segment to it stays within the signs.
        let shorter = (0..20).map(|halvings| 0.5_f64.powi(halvings)).find_map(|step| {
            let tried: Vec<f64> = weights.iter().zip(&target).map(|(w, t)| w + step * (t - w)).collect();
            let reached = objective(rows, ok, strength, &tried);
            (reached < loss).then_some((tried, reached))
        });
        let Some((better, reached)) = shorter else { break };
        let gained = loss - reached;
        (weights, loss) = (better, reached);
        if gained < TOLERANCE * (1.0 + loss) {
            break;
        }
    }
    weights
}

/// Weights to start from when nothing is known.
pub fn start(signs: &[Sign]) -> Vec<f64> {
    vec![0.0; signs.len() + 1]
}

/// The linear score of a row.
pub fn score(row: &[f64], weights: &[f64]) -> f64 {
    row.iter().chain([&1.0]).zip(weights).map(|(x, w)| x * w).sum()
}

pub fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// Natural log of (1 + exp(x)), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Mean log-loss of scores.
pub fn log_loss(scores: &[f64], ok: &[bool]) -> f64 {
    let losses = scores.iter().zip(ok).map(|(&s, &ok)| softplus(if ok { -s } else { s }));
    losses.sum::<f64>() / scores.len().max(1) as f64
}

fn objective(rows: &[Vec<f64>], ok: &[bool], strength: f64, weights: &[f64]) -> f64 {
    let scores: Vec<f64> = rows.iter().map(|row| score(row, weights)).collect();
    let squares: f64 = weights[..weights.len() - 1].iter().map(|w| w * w).sum();
    log_loss(&scores, ok) * rows.len() as f64 + strength / 2.0 * squares
}

/// Where the loss's second-order model around `weights` is least, within the signs.
fn quadratic_minimum(
    rows: &[Vec<f64>],
    ok: &[bool],
    strength: f64,
    signs: &[Sign],
    weights: &[f64],
) -> Vec<f64> {
    let width = weights.len();
    let (mut gram, mut gradient) = (vec![vec![0.0; width]; width], vec![0.0; width]);
    for (row, &ok) in rows.iter().zip(ok) {
        let p = sigmoid(score(row, weights));
        let curvature = (p * (1.0 - p)).max(LEAST_CURVATURE);
        let error = p - f64::from(u8::from(ok));
        let column = |i: usize| row.get(i).copied().unwrap_or(1.0);
        for i in 0..width {
            gradient[i] += error * column(i);
            for j in 0..=i {
                gram[i][j] += curvature * column(i) * column(j);
            }
        }
    }
    for i in 0..width {
        for j in 0..i {
            gram[j][i] = gram[i][j];
        }
    }
    for i in 0..width - 1 {
        gram[i][i] += strength;
        gradient[i] += strength * weights[i];
    }
    let mut target = weights.to_vec();
    for _ in 0..SWEEPS {
        let mut moved: f64 = 0.0;
        for i in 0..width {
            let slope = gradient[i] + (0..width).map(|j| gram[i][j] * (target[j] - weights[j])).sum::<f64>();
            let free = target[i] - slope / gram[i][i].max(LEAST_CURVATURE);
            let held = signs.get(i).map_or(free, |sign| sign.project(free));
            moved = moved.max((held - target[i]).abs());
            target[i] = held;
        }
        if moved < TOLERANCE {
            break;
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(rows: &[Vec<f64>], ok: &[bool], strength: f64, signs: &[Sign]) -> Vec<f64> {
        fit(rows, ok, strength, signs, start(signs))
    }

    fn data() -> (Vec<Vec<f64>>, Vec<bool>) {
        let mut random = fastrand::Rng::with_seed(3);
        let mut row = || {
            let (a, b) = (random.f64() * 4.0 - 2.0, random.f64() * 4.0 - 2.0);
            (vec![a, b], random.f64() < sigmoid(0.5 + 1.5 * a - b))
        };
        (0..4000).map(|_| row()).unzip()
    }

    #[test]
    fn weights_that_made_the_data_are_found() {
        let (rows, ok) = data();
        let found = fitted(&rows, &ok, 1e-3, &[Sign::Free; 2]);
        for (found, wanted) in found.iter().zip([1.5, -1.0, 0.5]) {
            assert!((found - wanted).abs() < 0.15, "{found} is not {wanted}");
        }
    }

    #[test]
    fn the_minimum_has_no_slope_and_shrinks_with_strength() {
        let (rows, ok) = data();
        let weights = fitted(&rows, &ok, 50.0, &[Sign::Free; 2]);
        let at = objective(&rows, &ok, 50.0, &weights);
        for i in 0..3 {
            for step in [-1e-3, 1e-3] {
                let mut beside = weights.clone();
                beside[i] += step;
                assert!(objective(&rows, &ok, 50.0, &beside) > at);
            }
        }
        let free = fitted(&rows, &ok, 1e-3, &[Sign::Free; 2]);
        assert!(weights[0].abs() < free[0].abs());
    }

    #[test]
    fn a_sign_is_kept_and_the_rest_makes_the_best_of_it() {
        let (rows, ok) = data();
        let held = fitted(&rows, &ok, 1e-3, &[Sign::NonNegative, Sign::NonNegative]);
        assert_eq!(held[1], 0.0);
        assert!(held[0] > 0.5);
    }

    #[test]
    fn perfectly_separated_examples_end() {
        let rows: Vec<Vec<f64>> = (0..40).map(|n| vec![f64::from(n) - 19.5]).collect();
        let ok: Vec<bool> = (0..40).map(|n| n >= 20).collect();
        let weights = fitted(&rows, &ok, 0.01, &[Sign::Free]);
        assert!(weights[0].is_finite() && weights[0] > 0.5);
    }
}
