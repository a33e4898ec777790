//! Attention of rows that share keys, on vectors of four queries.
//!
//! Keys are visited in blocks of [`BLOCK`] positions with a running maximum and sum (Milakov and
//! Gimelshein 2018; Dao et al. 2022). Blocks start at multiples of [`BLOCK`], so the order of
//! operations of a row depends on its visible positions only (invariant K1), never on pages or
//! neighbours. A block's keys and values stay in cache while all queries use them: the heads that
//! share a key head, times the rows.
//!
//! Queries are numbered row by row, head by head, and taken in fours: a wide vector has a group of
//! four lanes for each. A score is four sums, lane `j` of the elements `k ≡ j (mod 4)` in ascending
//! order, then a tree; a row's weights are summed likewise, by slot in the block. What the block
//! hides from a query has the score `-∞`, which adds the weight zero and no value.

use std::ops::Range;

use super::{AttentionRow, PagedKv};
use crate::disjoint::Disjoint;
use crate::packed::ahead;
use crate::simd;
use crate::simd::wide::{WIDE, Wide};

/// Positions in a block: 32 keys and values of 128 elements fill a first-level cache.
const BLOCK: usize = 32;
/// Queries in a vector, and lanes of each.
const FOUR: usize = 4;
/// The most fours of queries that are scored at once, see [`Wide::TILE`].
const MOST: usize = 4;

/// Memory kept from call to call.
#[derive(Default)]
pub(super) struct Scratch {
    /// Scaled queries, a vector for four elements of four queries: `[four][head_dim / 4]`.
    queries: Vec<[f32; WIDE]>,
    states: Vec<State>,
    scores: [Scores; MOST],
}

/// The running softmax of four queries, each in its four lanes: the largest score so far, and the
/// sum of `e^(score - max)`.
#[derive(Clone, Copy)]
struct State {
    max: [f32; WIDE],
    sum: [f32; WIDE],
}

/// Scores of four queries in a block, then weights: lane `4 q + i` of vector `j` is query `q` at
/// slot `4 j + i`.
type Scores = [[f32; WIDE]; BLOCK / FOUR];

/// Rows of one sequence, of which `first` is the number of the first, and the query heads of one
/// key head.
pub(super) struct Together<'a> {
    pub(super) kv: &'a PagedKv<'a>,
    pub(super) heads: usize,
    pub(super) scale: f32,
    pub(super) first: usize,
    pub(super) rows: &'a [AttentionRow<'a>],
    pub(super) kv_head: usize,
    pub(super) out: &'a Disjoint<'a, f32>,
}

/// A block: its first position, and where in the store the keys of its seen slots begin.
struct Block {
    at: usize,
    seen: Range<usize>,
    keys: [usize; BLOCK],
}

impl Block {
    /// The fours of slots that somebody sees one of.
    #[inline(always)]
    fn fours(&self) -> Range<usize> {
        self.seen.start / FOUR..self.seen.end.div_ceil(FOUR)
    }
}

/// Slots of a block with their weights.
struct Weighted<'a> {
    block: &'a Block,
    slots: Range<usize>,
    weights: &'a Scores,
}

impl Together<'_> {
    /// Computes the rows; `out` is zero before.
    #[inline(always)]
    pub(super) fn attend<W: Wide>(mut self, w: W, scratch: &mut Scratch) {
        let start = self.rows.iter().map(|row| row.start).min().unwrap_or(0);
        let end = self.rows.iter().map(|row| row.end).max().unwrap_or(0);
        if start >= end {
            return; // nobody sees anything
        }
        let fours = self.queries().div_ceil(FOUR);
        self.deal(&mut scratch.queries);
        scratch.states.clear();
        // Finite, so that a query that sees nothing of a block keeps what it has.
        scratch.states.resize(fours, State { max: [f32::MIN; WIDE], sum: [0.0; WIDE] });

        let asks_ahead = ahead() > 0;
        let first = start / BLOCK * BLOCK;
        let mut block = self.block(first, start..end.min(first + BLOCK));
        loop {
            let at = block.at + BLOCK;
            let next = (at < end).then(|| self.block(at, at..end.min(at + BLOCK)));
            if let Some(next) = next.as_ref().filter(|_| asks_ahead) {
                self.ask_for(w, next);
            }
            for four in (0..fours).step_by(W::TILE) {
                self.visit(w, &block, four..fours.min(four + W::TILE), scratch);
            }
            match next {
                Some(next) => block = next,
                None => break,
            }
        }
        for query in 0..self.queries() {
            let row = &self.rows[query / self.group()];
            if row.start < row.end {
                let share = 1.0 / scratch.states[query / FOUR].sum[query % FOUR * FOUR];
                self.out(query).iter_mut().for_each(|out| *out *= share);
            }
        }
    }

    /// Query heads that share the key head.
    #[inline(always)]
    fn group(&self) -> usize {
        self.heads / self.kv.kv_heads
    }

    #[inline(always)]
    fn queries(&self) -> usize {
        self.rows.len() * self.group()
    }

    #[inline(always)]
    fn out(&mut self, query: usize) -> &mut [f32] {
        let (row, head) = (query / self.group(), query % self.group());
        let at = (self.first + row) * self.heads + self.kv_head * self.group() + head;
        // SAFETY: only this part has these pairs of row and head, and the slice borrows `self`
        // mutably: one at a time.
        unsafe { self.out.range(at * self.kv.head_dim, self.kv.head_dim) }
    }

    /// Scales the queries and deals them to vectors.
    #[inline(always)]
    fn deal(&self, dealt: &mut Vec<[f32; WIDE]>) {
        let steps = self.kv.head_dim / FOUR;
        dealt.clear();
        dealt.resize(self.queries().div_ceil(FOUR) * steps, [0.0; WIDE]);
        let width = self.group() * self.kv.head_dim;
        for (r, row) in self.rows.iter().enumerate().filter(|(_, row)| row.start < row.end) {
            let heads = row.q[self.kv_head * width..][..width].chunks_exact(self.kv.head_dim);
            for (query, head) in (r * self.group()..).zip(heads) {
                let vectors = &mut dealt[query / FOUR * steps..][..steps];
                let (elements, _) = head.as_chunks::<FOUR>();
                for (vector, elements) in vectors.iter_mut().zip(elements) {
                    for i in 0..FOUR {
                        vector[query % FOUR * FOUR + i] = elements[i] * self.scale;
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn block(&self, at: usize, seen: Range<usize>) -> Block {
        let mut keys = [0; BLOCK];
        for position in seen.clone() {
            let page = self.rows[0].pages[position / self.kv.page_len] as usize;
            let slot = page * self.kv.page_len + position % self.kv.page_len;
            keys[position - at] = (slot * self.kv.kv_heads + self.kv_head) * self.kv.head_dim;
        }
        Block { at, seen: seen.start - at..seen.end - at, keys }
    }

    /// Asks for a block's keys and values: those of one head lie apart where there are several, which
    /// the processor does not foresee.
    #[inline(always)]
    fn ask_for<W: Wide>(&self, w: W, block: &Block) {
        for &key in &block.keys[block.seen.clone()] {
            for store in [self.kv.k, self.kv.v] {
                for line in (0..self.kv.head_dim).step_by(WIDE) {
                    w.prefetch(store.as_ptr().wrapping_add(key + line).cast());
                }
            }
        }
    }

    /// The slots of the block that a query sees.
    #[inline(always)]
    fn seen(&self, query: usize, block: &Block) -> Range<usize> {
        let row = &self.rows[query / self.group()];
        let start = row.start.clamp(block.at, block.at + BLOCK) - block.at;
        let end = row.end.clamp(block.at, block.at + BLOCK) - block.at;
        start..end.max(start)
    }

    /// Adds a block to some fours of queries, at most [`MOST`].
    #[inline(always)]
    fn visit<W: Wide>(&mut self, w: W, block: &Block, fours: Range<usize>, scratch: &mut Scratch) {
        let Scratch { queries, states, scores } = scratch;
        let dealt = &queries[fours.start * (self.kv.head_dim / FOUR)..];
        match W::TILE.min(fours.len()) {
            4 => self.score::<W, 4>(w, block, dealt, scores),
            3 => self.score::<W, 3>(w, block, dealt, scores),
            2 => self.score::<W, 2>(w, block, dealt, scores),
            _ => self.score::<W, 1>(w, block, dealt, scores),
        }
        for (scores, four) in scores.iter_mut().zip(fours) {
            let first = four * FOUR;
            let count = FOUR.min(self.queries() - first);
            let mut seen = [0..0, 0..0, 0..0, 0..0];
            for (q, seen) in seen.iter_mut().enumerate().take(count) {
                *seen = self.seen(first + q, block);
                hide(scores, block, q, seen);
            }
            let decay = soften(w, &mut scores[block.fours()], &mut states[four]);
            match count {
                4 => self.mix::<W, 4>(w, block, first, &seen, scores, &decay),
                3 => self.mix::<W, 3>(w, block, first, &seen, scores, &decay),
                2 => self.mix::<W, 2>(w, block, first, &seen, scores, &decay),
                _ => self.mix::<W, 1>(w, block, first, &seen, scores, &decay),
            }
        }
    }

    /// Scores of `N` fours of queries: those of the seen slots, and of others up to whole fours,
    /// where they are anything.
    #[inline(always)]
    fn score<W: Wide, const N: usize>(
        &self,
        w: W,
        block: &Block,
        queries: &[[f32; WIDE]],
        scores: &mut [Scores; MOST],
    ) {
        let (head_dim, steps) = (self.kv.head_dim, self.kv.head_dim / FOUR);
        let mut q = [&queries[..steps]; N];
        for n in 0..N {
            q[n] = &queries[n * steps..][..steps];
        }
        for four in block.fours() {
            let mut keys = [&[] as &[[f32; FOUR]]; FOUR];
            for (i, elements) in keys.iter_mut().enumerate() {
                let slot = (four * FOUR + i).clamp(block.seen.start, block.seen.end - 1);
                let (key, _) = self.kv.k[block.keys[slot]..][..head_dim].as_chunks();
                *elements = &key[..steps];
            }
            let mut sums = [[w.splat(0.0); FOUR]; N];
            for step in 0..steps {
                let mut row = [w.splat(0.0); N];
                for n in 0..N {
                    row[n] = w.load(&q[n][step]);
                }
                for i in 0..FOUR {
                    let key = w.splat_fours(&keys[i][step]);
                    for n in 0..N {
                        sums[n][i] = w.fma(row[n], key, sums[n][i]);
                    }
                }
            }
            for (sums, scores) in sums.into_iter().zip(scores.iter_mut()) {
                w.store(w.sum_fours(sums), &mut scores[four]);
            }
        }
    }

    /// `out = decay out + Σ weight v` for `R` queries, each over what it sees in ascending order.
    #[inline(always)]
    fn mix<W: Wide, const R: usize>(
        &mut self,
        w: W,
        block: &Block,
        first: usize,
        seen: &[Range<usize>; FOUR],
        weights: &Scores,
        decay: &[f32; WIDE],
    ) {
        let mut factors = [1.0; R];
        for r in 0..R {
            factors[r] = decay[r * FOUR];
        }
        // What all see lies between what only some do.
        let start = seen[..R].iter().map(|seen| seen.start).max().unwrap_or(0);
        let end = seen[..R].iter().map(|seen| seen.end).min().unwrap_or(0).max(start);
        let over = |slots| Weighted { block, slots, weights };
        for (r, seen) in seen[..R].iter().enumerate() {
            let before = over(seen.start..seen.end.min(start));
            if !before.slots.is_empty() {
                self.mix_slots(w, first + r, &before, [factors[r]]);
                factors[r] = 1.0;
            }
        }
        self.mix_slots(w, first, &over(start..end), factors);
        for (r, seen) in seen[..R].iter().enumerate() {
            let after = over(seen.start.max(end)..seen.end);
            if !after.slots.is_empty() {
                self.mix_slots(w, first + r, &after, [1.0]);
            }
        }
    }

    /// `out = factor out + Σ weight v` over some slots, for the queries from `first` on.
    #[inline(always)]
    fn mix_slots<W: Wide, const R: usize>(&mut self, w: W, first: usize, over: &Weighted, factors: [f32; R]) {
        let mut from = 0;
        while from + 4 * WIDE <= self.kv.head_dim && W::TILE == 4 {
            self.mix_span::<W, R, 4>(w, first, over, factors, from);
            from += 4 * WIDE;
        }
        while from + WIDE <= self.kv.head_dim {
            self.mix_span::<W, R, 1>(w, first, over, factors, from);
            from += WIDE;
        }
        if from < self.kv.head_dim {
            self.mix_rest(first, over, factors, from);
        }
    }

    /// The elements from `from` on, as many as `V` vectors hold or the head has.
    #[inline(always)]
    fn mix_span<W: Wide, const R: usize, const V: usize>(
        &mut self,
        w: W,
        first: usize,
        over: &Weighted,
        factors: [f32; R],
        from: usize,
    ) {
        let mut sums = [[w.splat(0.0); V]; R];
        for r in 0..R {
            let (out, _) = self.out(first + r)[from..][..V * WIDE].as_chunks();
            for v in 0..V {
                sums[r][v] = w.mul(w.load(&out[v]), w.splat(factors[r]));
            }
        }
        for slot in over.slots.clone() {
            let (values, _) = self.kv.v[over.block.keys[slot] + from..][..V * WIDE].as_chunks();
            let weights = &over.weights[slot / FOUR];
            let mut value = [w.splat(0.0); V];
            for v in 0..V {
                value[v] = w.load(&values[v]);
            }
            for r in 0..R {
                let weight = w.splat(weights[(first % FOUR + r) * FOUR + slot % FOUR]);
                for v in 0..V {
                    sums[r][v] = w.fma(weight, value[v], sums[r][v]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let (out, _) = self.out(first + r)[from..][..V * WIDE].as_chunks_mut();
            for v in 0..V {
                w.store(sums[v], &mut out[v]);
            }
        }
    }

    /// The elements from `from` on, which are less than a vector.
    #[inline(always)]
    fn mix_rest<const R: usize>(&mut self, first: usize, over: &Weighted, factors: [f32; R], from: usize) {
        let (values, head_dim) = (self.kv.v, self.kv.head_dim);
        for (r, factor) in factors.into_iter().enumerate() {
            let out = &mut self.out(first + r)[from..];
            for out in out.iter_mut() {
                *out *= factor;
            }
            for slot in over.slots.clone() {
                let weight = over.weights[slot / FOUR][(first % FOUR + r) * FOUR + slot % FOUR];
                let value = &values[over.block.keys[slot]..][from..head_dim];
                for (out, value) in out.iter_mut().zip(value) {
                    *out = weight.mul_add(*value, *out);
                }
            }
        }
    }
}

/// Gives the scored slots that a query does not see the score `-∞`.
#[inline(always)]
fn hide(scores: &mut Scores, block: &Block, query: usize, seen: &Range<usize>) {
    let Range { start, end } = block.fours();
    for slot in (start * FOUR..seen.start).chain(seen.end..end * FOUR) {
        scores[slot / FOUR][query * FOUR + slot % FOUR] = f32::NEG_INFINITY;
    }
}

/// Turns a block's scores into weights `e^(score - max)`, with the maximum of all blocks so far;
/// returns the factors by which that shrinks what earlier blocks have added.
#[inline(always)]
fn soften<W: Wide>(w: W, scores: &mut [[f32; WIDE]], state: &mut State) -> [f32; WIDE] {
    let before = w.load(&state.max);
    let mut largest = before;
    for scores in scores.iter() {
        largest = w.max(w.load(scores), largest);
    }
    let max = w.max_fours(largest);
    let less = w.mul(max, w.splat(-1.0));

    let mut sums = w.splat(0.0);
    for scores in scores.iter_mut() {
        let weights = simd::exp(w, w.add(w.load(scores), less));
        sums = w.add(sums, weights);
        w.store(weights, scores);
    }
    let decay = simd::exp(w, w.add(before, less));
    let sum = w.fma(w.load(&state.sum), decay, w.sum_fours([sums; FOUR]));
    w.store(max, &mut state.max);
    w.store(sum, &mut state.sum);
    let mut factors = [0.0; WIDE];
    w.store(decay, &mut factors);
    factors
}
