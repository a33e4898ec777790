//! Softmax attention over paged keys and values.
//!
//! Keys are visited in blocks of [`BLOCK`] positions with a running maximum and sum (Milakov and
//! Gimelshein 2018; Dao et al. 2022). Blocks start at multiples of [`BLOCK`], so the order of
//! operations of a row depends on its visible positions only (invariant K1), never on pages or
//! neighbours. A block's keys and values stay in cache while all queries of a part use them: the
//! heads that share a key head, times the rows of a chunk.

use std::cell::RefCell;
use std::ops::Range;

use crate::ComputePool;
use crate::disjoint::Disjoint;
use crate::simd::{self, Kernel, LANES, Simd, dispatch};
use crate::tile::dots;

/// Positions in a block: 32 keys and values of 128 elements fill a first-level cache.
const BLOCK: usize = 32;
/// Rows of a part.
const CHUNK: usize = 16;
/// Multiplications worth handing to another thread.
const PART_WORK: usize = 1 << 16;

/// One layer's keys and values: `[page][slot in page][kv_heads * head_dim]`.
#[derive(Clone, Copy, Debug)]
pub struct PagedKv<'a> {
    /// Keys of all pages.
    pub k: &'a [f32],
    /// Values of all pages, laid out as the keys.
    pub v: &'a [f32],
    /// Positions in a page.
    pub page_len: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head, a multiple of 8.
    pub head_dim: usize,
}

/// One query row and what it may see.
#[derive(Clone, Copy, Debug)]
pub struct AttentionRow<'a> {
    /// `heads * head_dim` elements, rotated already.
    pub q: &'a [f32],
    /// The sequence's pages: position `t` is slot `t % page_len` of page `pages[t / page_len]`.
    pub pages: &'a [u32],
    /// The first visible position (more than 0 in a sliding window).
    pub start: usize,
    /// One past the last visible position.
    pub end: usize,
}

/// `out[row][h] = softmax(scale q_h · K) V` over positions `start..end`, for `rows x heads` of
/// `head_dim`. Query head `h` reads key head `h / (heads / kv_heads)` (Ainslie et al. 2023). Only
/// visible slots are read, so others may hold anything. A row that sees nothing is zero.
///
/// # Panics
///
/// When the shapes disagree: `heads` not a multiple of `kv_heads`, `head_dim` not of 8, a row or
/// `out` of another size, a visible position without a page, or a page outside `k` and `v`.
pub fn attention(
    pool: &ComputePool,
    kv: &PagedKv,
    heads: usize,
    scale: f32,
    rows: &[AttentionRow],
    out: &mut [f32],
) {
    check(kv, heads, rows, out);
    out.fill(0.0);
    if rows.is_empty() || out.is_empty() {
        return;
    }
    let out = Disjoint::new(out);
    let chunks = rows.len().div_ceil(CHUNK);
    let part = |part: usize| {
        // Late rows see the most, so they go first: the last part to end is a short one.
        let first = (chunks - 1 - part / kv.kv_heads) * CHUNK;
        let rows = &rows[first..rows.len().min(first + CHUNK)];
        let kv_head = part % kv.kv_heads;
        STATES.with_borrow_mut(|states| {
            dispatch(Part { kv, heads, scale, first, rows, kv_head, out: &out, states });
        });
    };
    let seen: usize = rows.iter().map(|row| row.end.saturating_sub(row.start)).sum();
    match seen.saturating_mul(heads * kv.head_dim) / PART_WORK {
        0 => (0..chunks * kv.kv_heads).for_each(part),
        _ => pool.run(chunks * kv.kv_heads, &part),
    }
}

fn check(kv: &PagedKv, heads: usize, rows: &[AttentionRow], out: &[f32]) {
    let (width, head_dim) = (heads * kv.head_dim, kv.head_dim);
    assert!(kv.kv_heads > 0 && heads.is_multiple_of(kv.kv_heads), "query heads share key heads");
    assert!(head_dim.is_multiple_of(LANES), "head_dim is a multiple of {LANES}");
    assert_eq!(kv.k.len(), kv.v.len(), "as many values as keys");
    assert_eq!(out.len(), rows.len() * width, "out is rows x heads x head_dim");
    let page = kv.page_len * kv.kv_heads * head_dim;
    for row in rows.iter().filter(|row| row.start < row.end) {
        assert_eq!(row.q.len(), width, "q is heads x head_dim");
        let pages = &row.pages[row.start / kv.page_len..row.end.div_ceil(kv.page_len)];
        let stored = pages.iter().all(|&id| (id as usize + 1) * page <= kv.k.len());
        assert!(stored, "every visible page is stored");
    }
}

/// The running softmax of one query: the largest score so far, and the sum of `e^(score - max)`.
#[derive(Clone, Copy)]
struct State {
    max: f32,
    sum: f32,
}

thread_local! {
    /// Kept from call to call, so that a call allocates nothing.
    static STATES: RefCell<Vec<State>> = const { RefCell::new(Vec::new()) };
}

/// A chunk of rows (of which `first` is the number of the first), one key head and the query
/// heads that share it. The part's queries are numbered row by row, head by head.
struct Part<'a> {
    kv: &'a PagedKv<'a>,
    heads: usize,
    scale: f32,
    first: usize,
    rows: &'a [AttentionRow<'a>],
    kv_head: usize,
    out: &'a Disjoint<'a, f32>,
    states: &'a mut Vec<State>,
}

impl Kernel for Part<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let queries = self.rows.len() * self.group();
        self.states.clear();
        self.states.resize(queries, State { max: f32::NEG_INFINITY, sum: 0.0 });

        let start = self.rows.iter().map(|row| row.start).min().unwrap_or(0);
        let end = self.rows.iter().map(|row| row.end).max().unwrap_or(0);
        for block in (start / BLOCK * BLOCK..end).step_by(BLOCK) {
            let mut query = 0;
            while query < queries {
                let row = &self.rows[query / self.group()];
                let seen = visible(row, block);
                if seen.is_empty() {
                    query += self.group() - query % self.group();
                    continue;
                }
                let mut keys = [0; BLOCK];
                for (key, position) in keys.iter_mut().zip(seen.clone()) {
                    *key = self.offset(row, position);
                }
                let keys = Keys { at: &keys[..seen.len()], slot: seen.start - block };
                let last = queries.min(query + 3);
                let alike = (query..last).take_while(|&q| self.sees_same(query, q, &seen)).count();
                match alike {
                    3 => self.visit(s, [query, query + 1, query + 2], keys),
                    2 => self.visit(s, [query, query + 1], keys),
                    _ => self.visit(s, [query], keys),
                }
                query += alike;
            }
        }
        for query in 0..queries {
            let sum = self.states[query].sum;
            if sum != 0.0 {
                self.out(query).iter_mut().for_each(|out| *out *= 1.0 / sum);
            }
        }
    }
}

/// The visible keys of a block: where each begins in the store, and the first one's slot in the
/// block.
#[derive(Clone, Copy)]
struct Keys<'a> {
    at: &'a [usize],
    slot: usize,
}

/// The row's visible positions in the block.
#[inline(always)]
fn visible(row: &AttentionRow, block: usize) -> Range<usize> {
    row.start.max(block)..row.end.min(block + BLOCK)
}

impl Part<'_> {
    /// Query heads that share a key head.
    #[inline(always)]
    fn group(&self) -> usize {
        self.heads / self.kv.kv_heads
    }

    /// Where the key and the value of a position begin.
    #[inline(always)]
    fn offset(&self, row: &AttentionRow, position: usize) -> usize {
        let page = row.pages[position / self.kv.page_len] as usize;
        let slot = page * self.kv.page_len + position % self.kv.page_len;
        (slot * self.kv.kv_heads + self.kv_head) * self.kv.head_dim
    }

    /// Whether two queries see the same slots of the block, so that they may share its loads.
    #[inline(always)]
    fn sees_same(&self, a: usize, b: usize, seen: &Range<usize>) -> bool {
        let (a, b) = (&self.rows[a / self.group()], &self.rows[b / self.group()]);
        let block = seen.start / BLOCK * BLOCK;
        let pages = seen.start / self.kv.page_len..seen.end.div_ceil(self.kv.page_len);
        std::ptr::eq(a, b) || visible(b, block) == *seen && a.pages[pages.clone()] == b.pages[pages]
    }

    /// The query's row in this part and its head in the model.
    #[inline(always)]
    fn head(&self, query: usize) -> (usize, usize) {
        (query / self.group(), self.kv_head * self.group() + query % self.group())
    }

    #[inline(always)]
    fn q(&self, query: usize) -> &[f32] {
        let (row, head) = self.head(query);
        &self.rows[row].q[head * self.kv.head_dim..][..self.kv.head_dim]
    }

    #[inline(always)]
    fn out(&mut self, query: usize) -> &mut [f32] {
        let (row, head) = self.head(query);
        let at = (self.first + row) * self.heads + head;
        // SAFETY: parts have disjoint pairs of row and head, so only this part takes the slice, and
        // it borrows the part mutably: one slice at a time.
        unsafe { self.out.range(at * self.kv.head_dim, self.kv.head_dim) }
    }

    /// Adds a block's keys to `R` queries that all see them.
    #[inline(always)]
    fn visit<S: Simd, const R: usize>(&mut self, s: S, queries: [usize; R], keys: Keys) {
        let mut scores = [[f32::NEG_INFINITY; BLOCK]; R];
        self.score(s, queries, keys, &mut scores);
        let mut decay = [0.0; R];
        for r in 0..R {
            decay[r] = soften(s, &mut scores[r], &mut self.states[queries[r]]);
        }
        let mut from = 0;
        while from + 4 * LANES <= self.kv.head_dim {
            self.mix::<S, R, 4>(s, queries, keys, &scores, decay, from);
            from += 4 * LANES;
        }
        while from < self.kv.head_dim {
            self.mix::<S, R, 1>(s, queries, keys, &scores, decay, from);
            from += LANES;
        }
    }

    /// `scores[r][slot] = scale q_r · k`.
    #[inline(always)]
    fn score<S: Simd, const R: usize>(
        &self,
        s: S,
        queries: [usize; R],
        keys: Keys,
        scores: &mut [[f32; BLOCK]; R],
    ) {
        let q = queries.map(|query| self.q(query));
        for (quad, at) in keys.at.chunks(4).enumerate() {
            let k = [0, 1, 2, 3].map(|i| {
                let at = at[i.min(at.len() - 1)];
                &self.kv.k[at..at + self.kv.head_dim]
            });
            let mut lanes = [[s.splat(0.0); 4]; R];
            dots(s, q, k, &mut lanes);
            let slot = keys.slot + 4 * quad;
            for r in 0..R {
                let sums = s.sums(lanes[r]);
                for (score, sum) in scores[r][slot..].iter_mut().zip(sums).take(at.len()) {
                    *score = sum * self.scale;
                }
            }
        }
    }

    /// `out_r = decay_r out_r + Σ_key weight_r v` for the elements `from..from + 8 W`, key by key.
    #[inline(always)]
    fn mix<S: Simd, const R: usize, const W: usize>(
        &mut self,
        s: S,
        queries: [usize; R],
        keys: Keys,
        weights: &[[f32; BLOCK]; R],
        decay: [f32; R],
        from: usize,
    ) {
        let mut sums = [[s.splat(0.0); W]; R];
        for r in 0..R {
            let out = &self.out(queries[r])[from..from + W * LANES];
            for w in 0..W {
                sums[r][w] = s.mul(simd::load(s, &out[w * LANES..]), s.splat(decay[r]));
            }
        }
        let values = self.kv.v;
        let weights = weights.each_ref().map(|row| &row[keys.slot..][..keys.at.len()]);
        for (i, &at) in keys.at.iter().enumerate() {
            let (v, _) = values[at + from..][..W * LANES].as_chunks();
            for w in 0..W {
                let v = s.load(&v[w]);
                for r in 0..R {
                    sums[r][w] = s.fma(s.splat(weights[r][i]), v, sums[r][w]);
                }
            }
        }
        for r in 0..R {
            let (out, _) = self.out(queries[r])[from..from + W * LANES].as_chunks_mut();
            for w in 0..W {
                s.store(sums[r][w], &mut out[w]);
            }
        }
    }
}

/// Turns a block's scores into weights `e^(score - max)`, with the maximum of all blocks so far;
/// returns the factor by which that shrinks what earlier blocks have added.
#[inline(always)]
fn soften<S: Simd>(s: S, scores: &mut [f32; BLOCK], state: &mut State) -> f32 {
    let (vectors, _) = scores.as_chunks_mut::<LANES>();
    let mut largest = s.splat(state.max);
    for scores in vectors.iter() {
        largest = s.max(s.load(scores), largest);
    }
    let mut lanes = [0.0; LANES];
    s.store(largest, &mut lanes);
    let max = lanes.into_iter().fold(state.max, f32::max);

    let mut sums = s.splat(0.0);
    for scores in vectors.iter_mut() {
        let weights = simd::exp(s, s.add(s.load(scores), s.splat(-max)));
        sums = s.add(sums, weights);
        s.store(weights, scores);
    }
    s.store(simd::exp(s, s.splat(state.max - max)), &mut lanes);
    let decay = lanes[0];
    *state = State { max, sum: state.sum * decay + simd::sum(s, sums) };
    decay
}
