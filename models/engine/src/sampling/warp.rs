//! From logits to the distribution that tokens are drawn from.

use super::row;
use crate::verbs::{SamplerSpec, TokenId};

/// Tokens this far (in nats, after temperature) below the likeliest are dropped: their
/// probability, below 2^-57, is less than one step of a 53-bit random number.
const NEGLIGIBLE: f32 = 40.0;

/// A token and its weight: a probability up to the common factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: TokenId,
    /// First the logit divided by the temperature, then the weight.
    pub(super) weight: f32,
}

/// The target distribution, kept between tokens to reuse its memory.
///
/// Order of the steps, as in transformers and vLLM: temperature, top-k, top-p, min-p.
/// Ties are broken by the smaller id, so the result is a function of the logits alone.
#[derive(Debug, Default)]
pub(super) struct Warped {
    pub(super) kept: Vec<Candidate>,
    pub(super) total: f64,
}

impl Warped {
    /// Of all tokens of a row, by their places; `best` is that of the largest logit. The temperature is
    /// above 0.
    pub(super) fn compute(&mut self, row: &[f32], best: usize, spec: &SamplerSpec) {
        let max = row.get(best).copied().unwrap_or_default();
        let (scale, top_k) = (1.0 / spec.temperature, spec.top_k as usize);
        if spec.top_p >= 1.0 {
            let min_p = if spec.min_p > 0.0 { spec.min_p.ln() } else { f32::NEG_INFINITY };
            return self.gather(row, max, scale, min_p.max(-NEGLIGIBLE), top_k);
        }
        // Min-p comes after top-p, and top-p after top-k.
        let share = f64::from(spec.top_p);
        if top_k != 0 {
            self.gather(row, max, scale, -NEGLIGIBLE, top_k);
            self.keep_nucleus(share * self.total);
        } else {
            let goal = share * row::total(row, max, scale);
            // A nucleus is small: look at as few tokens as reach it.
            for floor in [-4.0, -10.0, -NEGLIGIBLE] {
                self.gather(row, max, scale, floor, 0);
                if self.total >= goal {
                    break;
                }
            }
            self.keep_nucleus(goal);
        }
        if spec.min_p > 0.0 {
            // The likeliest weighs 1.
            self.kept.retain(|candidate| candidate.weight >= spec.min_p);
        }
        self.add_up();
    }

    fn add_up(&mut self) {
        self.total = self.kept.iter().map(|candidate| f64::from(candidate.weight)).sum();
    }

    /// Replaces places by the ids of the tokens there.
    pub(super) fn rename(&mut self, ids: &[TokenId]) {
        for candidate in &mut self.kept {
            if let Some(&id) = ids.get(candidate.id as usize) {
                candidate.id = id;
            }
        }
    }

    /// Collects and weighs tokens at or above `floor`, at most `top_k` of them when that is not 0.
    fn gather(&mut self, row: &[f32], max: f32, scale: f32, floor: f32, top_k: usize) {
        self.kept.clear();
        let limit = if top_k == 0 { usize::MAX } else { top_k.saturating_mul(2).max(64) };
        let mut floor = floor;
        for (id, logit) in (0..).zip(row) {
            let weight = (logit - max) * scale;
            if weight >= floor {
                self.kept.push(Candidate { id, weight });
                if self.kept.len() == limit {
                    self.keep_top(top_k);
                    // Later ids lose ties, so only what is larger can still enter.
                    let lowest = self.kept.iter().map(|candidate| candidate.weight).fold(0.0, f32::min);
                    floor = floor.max(lowest.next_up());
                }
            }
        }
        if top_k != 0 {
            self.keep_top(top_k);
        }
        for candidate in &mut self.kept {
            candidate.weight = row::exp(candidate.weight);
        }
        self.add_up();
    }

    fn keep_top(&mut self, count: usize) {
        if self.kept.len() > count {
            self.kept.select_nth_unstable_by(count, likelier_first);
            self.kept.truncate(count);
        }
    }

    /// Keeps the fewest tokens, likeliest first, that weigh `goal` together.
    fn keep_nucleus(&mut self, goal: f64) {
        let mut sorted = 0;
        let mut reached = 0.0;
        // Nuclei are small: sort only as much of the head as is needed.
        while sorted < self.kept.len() {
            let until = (sorted * 8).max(64).min(self.kept.len());
            if until < self.kept.len() {
                self.kept[sorted..].select_nth_unstable_by(until - sorted, likelier_first);
            }
            self.kept[sorted..until].sort_unstable_by(likelier_first);
            for at in sorted..until {
                reached += f64::from(self.kept[at].weight);
                if reached >= goal {
                    self.kept.truncate(at + 1);
                    return;
                }
            }
            sorted = until;
        }
    }

    /// Leaves a single token.
    pub(super) fn point(&mut self, id: TokenId) {
        self.kept.clear();
        self.kept.push(Candidate { id, weight: 1.0 });
        self.total = 1.0;
    }

    pub(super) fn probability(&self, id: TokenId) -> f64 {
        f64::from(self.weight(id)) / self.total
    }

    /// 0 for a token that cannot come.
    pub(super) fn weight(&self, id: TokenId) -> f32 {
        let found = self.kept.iter().find(|candidate| candidate.id == id);
        found.map_or(0.0, |candidate| candidate.weight)
    }

    /// The token at `u` in `[0, 1)` of the cumulative distribution.
    pub(super) fn pick(&self, u: f64) -> TokenId {
        let mut left = u * self.total;
        let mut last = 0;
        for candidate in self.kept.iter().filter(|candidate| candidate.weight > 0.0) {
            last = candidate.id;
            left -= f64::from(candidate.weight);
            if left < 0.0 {
                break;
            }
        }
        last
    }

    /// Keeps the `count` likeliest, likeliest first.
    pub(super) fn shorten(&mut self, count: usize) {
        self.keep_top(count);
        self.kept.sort_unstable_by(likelier_first);
        self.add_up();
    }
}

fn likelier_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}
