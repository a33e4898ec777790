//! Attention without vectors, in double precision: what the fast one is held to, and what runs
//! where that fails its gate.

use crate::rows::for_each_row;
use crate::{AttentionRow, ComputePool, PagedKv};

/// The same as [`attention`](crate::attention), slowly: sums are `f64`, key by key, so a row's
/// result depends on its own inputs only (invariant K1).
///
/// # Panics
///
/// When the shapes disagree, as they must not for [`attention`](crate::attention) either.
pub fn plain_attention(
    pool: &ComputePool,
    kv: &PagedKv,
    heads: usize,
    scale: f32,
    rows: &[AttentionRow],
    out: &mut [f32],
) {
    for_each_row(pool, out, kv.head_dim, &|index, out| {
        let head = Head::new(kv, heads, scale, &rows[index / heads], index % heads);
        for (i, out) in out.iter_mut().enumerate() {
            *out = head.element(i) as f32;
        }
    });
}

/// What one query head makes of the keys that it sees.
pub(crate) struct Head<'a> {
    values: &'a [f32],
    /// Where each visible value begins.
    at: Vec<usize>,
    /// The softmax of the scores.
    weights: Vec<f64>,
    /// The largest `scale Σ |q k|` of a key: what rounding a score is in proportion to.
    pub(crate) score_size: f64,
}

impl<'a> Head<'a> {
    pub(crate) fn new(kv: &'a PagedKv, heads: usize, scale: f32, row: &AttentionRow, head: usize) -> Self {
        let width = kv.head_dim;
        let kv_head = head / (heads / kv.kv_heads);
        let begins = |position: usize| {
            let page = row.pages[position / kv.page_len] as usize;
            ((page * kv.page_len + position % kv.page_len) * kv.kv_heads + kv_head) * width
        };
        let at: Vec<usize> = (row.start..row.end).map(begins).collect();
        let q = &row.q[head * width..][..width];
        let mut score_size = 0.0_f64;
        let mut weights: Vec<f64> = Vec::with_capacity(at.len());
        for &at in &at {
            let products = q.iter().zip(&kv.k[at..at + width]).map(|(q, k)| f64::from(*q) * f64::from(*k));
            let (sum, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
            weights.push(sum * f64::from(scale));
            score_size = score_size.max(size * f64::from(scale.abs()));
        }
        let largest = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        weights.iter_mut().for_each(|weight| *weight = (*weight - largest).exp());
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        Self { values: kv.v, at, weights, score_size }
    }

    /// Keys seen.
    pub(crate) fn keys(&self) -> usize {
        self.at.len()
    }

    /// Element `i` of the result; zero where nothing is seen.
    pub(crate) fn element(&self, i: usize) -> f64 {
        self.terms(i).sum()
    }

    /// The sum of its terms' magnitudes.
    pub(crate) fn size(&self, i: usize) -> f64 {
        self.terms(i).map(f64::abs).sum()
    }

    fn terms(&self, i: usize) -> impl Iterator<Item = f64> {
        self.at.iter().zip(&self.weights).map(move |(at, weight)| weight * f64::from(self.values[at + i]))
    }
}
