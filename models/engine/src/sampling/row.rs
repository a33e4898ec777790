//! Arithmetic over one row of logits. Written so that the compiler vectorises it: a
//! vocabulary of 150 000 costs tens of microseconds, not milliseconds.

use crate::verbs::TokenId;

const LANES: usize = 16;
/// Blocks keep partial sums in 32 bits short.
const BLOCK: usize = 4096;
/// `exp` of anything below is 0 for every use here.
const LOWEST: f32 = -80.0;

/// `e^x` for `x <= 0`, to 2 units in the last place; below -80 as at -80.
///
/// Cephes' `expf`: `2^n` times a polynomial in the rest, which is at most `ln(2) / 2`.
pub(super) fn exp(x: f32) -> f32 {
    // Adding and subtracting this rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > LOWEST { x } else { LOWEST };
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.000_000_3e-1;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// Whether every logit is finite: only then is `x * 0` 0.
pub(super) fn all_finite(row: &[f32]) -> bool {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * 0.0;
        }
    }
    lanes.iter().all(|lane| *lane == 0.0) && rest.iter().all(|x| x.is_finite())
}

/// The largest value; negative infinity for an empty row.
pub(super) fn max(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *x);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// Index of the first largest value.
pub(super) fn argmax(row: &[f32]) -> usize {
    let max = max(row);
    row.iter().position(|x| *x == max).unwrap_or(0)
}

/// Indices of the `count` largest values, the largest first; of equals the first.
pub(super) fn largest(row: &[f32], count: usize) -> Vec<usize> {
    let mut best: Vec<(f32, usize)> = Vec::with_capacity(count + 1);
    for (at, &x) in row.iter().enumerate() {
        if best.len() == count && best.last().is_none_or(|least| x <= least.0) {
            continue;
        }
        best.insert(best.partition_point(|other| other.0 >= x), (x, at));
        best.truncate(count);
    }
    best.into_iter().map(|(_, at)| at).collect()
}

/// Sums over a row that a softmax and its entropy need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    /// The largest logit.
    pub(super) max: f32,
    /// Sum of `e^(x - max)`.
    pub(super) sum: f64,
    /// Sum of `(x - max) e^(x - max)`.
    weighted: f64,
}

impl Moments {
    pub(super) fn of(row: &[f32]) -> Self {
        let max = max(row);
        let (mut sum, mut weighted) = (0.0_f64, 0.0_f64);
        for block in row.chunks(BLOCK) {
            let mut sums = [0.0_f32; LANES];
            let mut products = [0.0_f32; LANES];
            let (chunks, rest) = block.as_chunks::<LANES>();
            for chunk in chunks {
                for lane in 0..LANES {
                    let (weight, product) = term(chunk[lane] - max);
                    sums[lane] += weight;
                    products[lane] += product;
                }
            }
            for x in rest {
                let (weight, product) = term(x - max);
                sums[0] += weight;
                products[0] += product;
            }
            sum += sums.iter().copied().map(f64::from).sum::<f64>();
            weighted += products.iter().copied().map(f64::from).sum::<f64>();
        }
        Self { max, sum, weighted }
    }

    /// Natural log of the probability of a token with this logit.
    pub(super) fn logprob(&self, logit: f32) -> f32 {
        ((f64::from(logit) - f64::from(self.max)) - self.sum.ln()) as f32
    }

    /// In nats.
    pub(super) fn entropy(&self) -> f32 {
        (self.sum.ln() - self.weighted / self.sum).max(0.0) as f32
    }

    /// Probability of the likeliest token minus that of the second.
    pub(super) fn margin(&self, row: &[f32]) -> f32 {
        let (before, after) = row.split_at(argmax(row));
        let second = max(before).max(max(after.get(1..).unwrap_or_default()));
        ((1.0 - f64::from((second - self.max).exp())) / self.sum) as f32
    }
}

/// `e^d` and `d e^d`, both 0 where the row is masked.
fn term(d: f32) -> (f32, f32) {
    let d = if d > LOWEST { d } else { LOWEST };
    let weight = if d > LOWEST { exp(d) } else { 0.0 };
    (weight, d * weight)
}

/// Sum of `e^(scale (x - max))` over a block of a row.
fn weight(block: &[f32], max: f32, scale: f32) -> f64 {
    let mut sums = [0.0_f32; LANES];
    let (chunks, rest) = block.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += term((chunk[lane] - max) * scale).0;
        }
    }
    for x in rest {
        sums[0] += term((x - max) * scale).0;
    }
    sums.iter().copied().map(f64::from).sum()
}

/// Sum of `e^(scale (x - max))` over a row.
pub(super) fn total(row: &[f32], max: f32, scale: f32) -> f64 {
    row.chunks(BLOCK).map(|block| weight(block, max, scale)).sum()
}

/// The index at `u` in `[0, 1)` of the cumulative distribution whose weights are `e^(scale x)`;
/// `best` is that of the largest logit. Nothing is written: weights are computed as they are needed.
pub(super) fn pick(row: &[f32], best: usize, scale: f32, u: f64) -> usize {
    let max = row.get(best).copied().unwrap_or_default();
    let mut left = u * total(row, max, scale);
    for (number, block) in row.chunks(BLOCK).enumerate() {
        let here = weight(block, max, scale);
        if left >= here {
            left -= here;
            continue;
        }
        let mut last = None;
        for (at, x) in block.iter().enumerate() {
            let weight = term((x - max) * scale).0;
            if weight > 0.0 {
                last = Some(number * BLOCK + at);
                left -= f64::from(weight);
                if left < 0.0 {
                    break;
                }
            }
        }
        return last.unwrap_or(best);
    }
    best // rounding left a rest
}

/// Moves the logits that the mask allows to the front, in order, and notes their ids. Bit
/// `id % 32` of word `id / 32` allows `id`; words that are missing allow none.
pub(super) fn keep<'a>(row: &'a mut [f32], mask: &[u32], ids: &mut Vec<TokenId>) -> &'a mut [f32] {
    ids.clear();
    for (first, word) in (0..row.len()).step_by(32).zip(mask) {
        let mut left = *word;
        while left != 0 {
            let id = first + left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(&logit) = row.get(id) else { break };
            row[ids.len()] = logit; // not past `id`
            ids.push(id as TokenId);
        }
    }
    &mut row[..ids.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere() {
        for step in 0..=80_000 {
            let x = -(step as f32) / 1000.0;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found - expected).abs() <= 4e-7 * expected, "{x}: {found} {expected}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 1e-34);
    }

    #[test]
    fn moments_agree_with_the_definition() {
        let row: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 1000) as f32 / 80.0).collect();
        let total: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
        let entropy: f64 = row.iter().map(|x| f64::from(*x).exp() / total).map(|p| -p * p.ln()).sum();
        let moments = Moments::of(&row);
        assert!((f64::from(moments.entropy()) - entropy).abs() < 1e-5);
        let expected = f64::from(row[17]) - total.ln();
        assert!((f64::from(moments.logprob(row[17])) - expected).abs() < 1e-5);
    }

    #[test]
    fn the_margin_is_between_the_two_likeliest() {
        let row = [1.0_f32.ln(), 6.0_f32.ln(), f32::NEG_INFINITY, 3.0_f32.ln()];
        let moments = Moments::of(&row);
        assert!((moments.margin(&row) - 0.3).abs() < 1e-6);
        assert!(
            (Moments::of(&[2.0, f32::NEG_INFINITY]).margin(&[2.0, f32::NEG_INFINITY]) - 1.0).abs() < 1e-6
        );
        assert!(Moments::of(&[2.0, 2.0]).margin(&[2.0, 2.0]).abs() < 1e-6);
    }

    #[test]
    fn what_is_not_a_number_is_found_anywhere() {
        for at in [0, 15, 16, 39] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut row = vec![1.0e30; 40];
                assert!(all_finite(&row));
                row[at] = bad;
                assert!(!all_finite(&row), "{bad} at {at}");
            }
        }
    }

    #[test]
    fn a_mask_leaves_what_it_names() {
        let mut row: Vec<f32> = (0..70).map(|id| id as f32).collect();
        let mut ids = vec![7];
        assert_eq!(
            keep(&mut row, &[1 << 31, 0b11, 0xFFFF_FFE0, u32::MAX], &mut ids),
            [31.0, 32.0, 33.0, 69.0]
        );
        assert_eq!(ids, [31, 32, 33, 69]);
    }

    #[test]
    fn picking_walks_the_cumulative_distribution() {
        // Two blocks and a bit; nearly all weight on three tokens.
        let mut row = vec![-200.0_f32; 2 * BLOCK + 5];
        for (at, p) in [(3, 0.25_f32), (BLOCK + 1, 0.5), (2 * BLOCK + 4, 0.25)] {
            row[at] = p.ln();
        }
        for (u, expected) in [
            (0.0, 3),
            (0.24, 3),
            (0.26, BLOCK + 1),
            (0.74, BLOCK + 1),
            (0.76, 2 * BLOCK + 4),
            (0.9999, 2 * BLOCK + 4),
        ] {
            assert_eq!(pick(&row, BLOCK + 1, 1.0, u), expected, "{u}");
        }
        // At half the temperature: 1, 4, 1 of 6.
        assert_eq!(pick(&row, BLOCK + 1, 2.0, 0.18), BLOCK + 1);
        assert_eq!(pick(&[1.0, 2.0], 1, f32::INFINITY, 0.5), 1, "no temperature at all");
    }
}
