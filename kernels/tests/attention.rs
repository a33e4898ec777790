//! Attention against `f64`, and invariant K1 over chunks, pages, neighbours and threads.
#![allow(clippy::unwrap_used)] // helpers outside the test functions

mod common;

use common::{Random, bits};
use understudy_kernels::{AttentionRow, ComputePool, PagedKv, attention};

/// Keys and values of one sequence by position, and the queries of the last rows.
struct Case {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    keys: usize,
    k: Vec<f32>,
    v: Vec<f32>,
    q: Vec<f32>, // 24 rows
}

const QUERIES: usize = 24;
const SCALE: f32 = 0.3;

impl Case {
    fn new(heads: usize, kv_heads: usize, head_dim: usize, keys: usize) -> Self {
        let mut random = Random(keys as u64 * 31 + heads as u64);
        let stored = keys * kv_heads * head_dim;
        let (k, v) = (random.floats(stored), random.floats(stored));
        Self { heads, kv_heads, head_dim, keys, k, v, q: random.floats(QUERIES * heads * head_dim) }
    }

    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// What row `r` of the causal chunk at the end sees.
    fn seen(&self, r: usize, window: usize) -> (usize, usize) {
        let end = (self.keys + r + 1).saturating_sub(QUERIES).max(1);
        (end.saturating_sub(window), end)
    }

    /// Runs rows `rows` with the sequence stored in pages of `page_len`, in an order that depends
    /// on `shuffle`, every other slot of the store NaN.
    fn run(
        &self,
        pool: &ComputePool,
        rows: std::ops::Range<usize>,
        window: usize,
        page_len: usize,
        shuffle: usize,
    ) -> Vec<f32> {
        let used = self.keys.div_ceil(page_len);
        // A multiple of 7 would repeat pages.
        let stored = (used + 3..).find(|stored| stored % 7 != 0).unwrap();
        let pages: Vec<u32> = (0..used).map(|i| ((i * 7 + shuffle) % stored) as u32).collect();
        let slot = self.kv_heads * self.head_dim;
        let mut k = vec![f32::NAN; stored * page_len * slot];
        let mut v = k.clone();
        for t in 0..self.keys {
            let at = (pages[t / page_len] as usize * page_len + t % page_len) * slot;
            k[at..at + slot].copy_from_slice(&self.k[t * slot..][..slot]);
            v[at..at + slot].copy_from_slice(&self.v[t * slot..][..slot]);
        }
        let kv = PagedKv { k: &k, v: &v, page_len, kv_heads: self.kv_heads, head_dim: self.head_dim };
        let row = |r: usize| {
            let (start, end) = self.seen(r, window);
            let q = &self.q[r * self.width()..][..self.width()];
            AttentionRow { q, pages: &pages, start, end }
        };
        let rows: Vec<_> = rows.map(row).collect();
        let mut out = vec![f32::NAN; rows.len() * self.width()];
        attention(pool, &kv, self.heads, SCALE, &rows, &mut out);
        out
    }

    fn exact(&self, r: usize, window: usize, h: usize) -> Vec<f64> {
        let (d, (start, end)) = (self.head_dim, self.seen(r, window));
        let at = |t: usize| (t * self.kv_heads + h / (self.heads / self.kv_heads)) * d;
        let q = &self.q[r * self.width() + h * d..][..d];
        let score = |t: usize| {
            let k = &self.k[at(t)..][..d];
            let dot: f64 = q.iter().zip(k).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
            (dot * f64::from(SCALE)).exp()
        };
        let weights: Vec<f64> = (start..end).map(score).collect();
        let total: f64 = weights.iter().sum();
        let element = |i: usize| {
            let terms = weights.iter().zip(start..end);
            terms.map(|(w, t)| w * f64::from(self.v[at(t) + i])).sum::<f64>() / total
        };
        (0..d).map(element).collect()
    }
}

#[test]
fn agrees_with_f64_at_block_borders_windows_and_head_groups() {
    let pool = ComputePool::new(2);
    let shapes = [(9, 3, 64), (4, 4, 32), (7, 1, 40), (8, 2, 128), (4, 1, 256)];
    for keys in [1, 31, 32, 33, 63, 64, 65, 1023, 1024, 1025] {
        for (heads, kv_heads, head_dim) in shapes {
            let case = Case::new(heads, kv_heads, head_dim, keys);
            for window in [usize::MAX, 40, 1] {
                let out = case.run(&pool, 0..QUERIES, window, 16, 3);
                for r in [0, 11, QUERIES - 1] {
                    for h in [0, heads / 2, heads - 1] {
                        let at = r * case.width() + h * head_dim;
                        for (got, exact) in out[at..].iter().zip(case.exact(r, window, h)) {
                            assert!(
                                (f64::from(*got) - exact).abs() < 2e-6,
                                "{keys} keys, {heads}/{kv_heads} heads of {head_dim}, window \
                                 {window}, row {r}, head {h}: {got} is not {exact}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_chunk_page_layout_and_threads() {
    let pools = [1, 2, 3].map(ComputePool::new);
    for (heads, kv_heads, head_dim, keys) in [(9, 3, 64, 333), (4, 4, 32, 100), (7, 1, 40, 65)] {
        let case = Case::new(heads, kv_heads, head_dim, keys);
        for window in [usize::MAX, 50] {
            let together = case.run(&pools[0], 0..QUERIES, window, 16, 0);
            for (page_len, shuffle) in [(1, 5), (3, 1), (16, 2), (32, 9), (50, 0), (400, 1)] {
                for pool in &pools {
                    let other = case.run(pool, 0..QUERIES, window, page_len, shuffle);
                    assert_eq!(bits(&together), bits(&other), "pages of {page_len}");
                }
                for chunk in [1, 5] {
                    let apart: Vec<f32> = (0..QUERIES)
                        .step_by(chunk)
                        .map(|r| r..QUERIES.min(r + chunk))
                        .flat_map(|rows| case.run(&pools[1], rows, window, page_len, shuffle))
                        .collect();
                    assert_eq!(bits(&together), bits(&apart), "chunks of {chunk}");
                }
            }
        }
    }
}

#[test]
fn rows_of_different_sequences_do_not_mix() {
    let mut random = Random(77);
    let (k, v) = (random.floats(64 * 8), random.floats(64 * 8));
    let kv = PagedKv { k: &k, v: &v, page_len: 32, kv_heads: 1, head_dim: 8 };
    let q = random.floats(8);
    let (first, second) = ([0], [1]);
    let row = |pages| AttentionRow { q: &q, pages, start: 0, end: 20 };
    let pool = ComputePool::new(1);
    let mut both = [0.0; 16];
    attention(&pool, &kv, 1, 1.0, &[row(&first), row(&second)], &mut both);
    let mut alone = [0.0; 8];
    attention(&pool, &kv, 1, 1.0, &[row(&second)], &mut alone);
    assert_eq!(bits(&both[8..]), bits(&alone));
    assert_ne!(both[..8], both[8..]);
}

#[test]
fn what_a_row_does_not_see_does_not_reach_it() {
    let (heads, head_dim, keys) = (3, 16, 40);
    let mut random = Random(78);
    let (mut k, mut v) = (random.floats(keys * head_dim), random.floats(keys * head_dim));
    let q = random.floats(4 * heads * head_dim);
    let run = |k: &[f32], v: &[f32], seen: &[(usize, usize)]| {
        let kv = PagedKv { k, v, page_len: keys, kv_heads: 1, head_dim };
        let row = |(&(start, end), q)| AttentionRow { q, pages: &[0], start, end };
        let rows: Vec<_> = seen.iter().zip(q.chunks_exact(heads * head_dim)).map(row).collect();
        let mut out = vec![f32::NAN; rows.len() * heads * head_dim];
        attention(&ComputePool::new(1), &kv, heads, SCALE, &rows, &mut out);
        bits(&out)
    };
    // Nothing, the past, a window, and all up to the last key, in any order and with gaps.
    for seen in [[(0, 0), (0, 38), (9, 39), (0, 40)], [(33, 36), (7, 7), (2, 5), (5, 40)]] {
        let clean = run(&k, &v, &seen);
        k[39 * head_dim..].fill(f32::NAN);
        v[39 * head_dim..].fill(f32::INFINITY);
        let poisoned = run(&k, &v, &seen);
        let width = heads * head_dim;
        assert_eq!(clean[..3 * width], poisoned[..3 * width], "{seen:?}");
        assert!(poisoned[3 * width..].iter().all(|&out| f32::from_bits(out).is_nan()));
        (k, v) = (random.floats(keys * head_dim), random.floats(keys * head_dim));
    }
}

#[test]
fn extreme_scores_stay_finite_and_poison_ends() {
    let pool = ComputePool::new(1);
    let (k, v) = ([vec![1e30; 8], vec![-1e30; 8]].concat(), [vec![1.0; 8], vec![2.0; 8]].concat());
    let kv = PagedKv { k: &k, v: &v, page_len: 2, kv_heads: 1, head_dim: 8 };
    let run = |q: f32| {
        let mut out = [0.0; 8];
        let row = AttentionRow { q: &[q; 8], pages: &[0], start: 0, end: 2 };
        attention(&pool, &kv, 1, 1.0, &[row], &mut out);
        out
    };
    assert_eq!(run(1e6), [1.0; 8]); // all weight on the first key
    assert_eq!(run(-1e6), [2.0; 8]);
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(run(poison).iter().all(|out| !out.is_finite() || (1.0..=2.0).contains(out)));
    }
    assert!(run(f32::NAN).iter().all(|out| out.is_nan()));
}

#[test]
fn a_row_that_sees_nothing_is_zero() {
    let kv = PagedKv { k: &[1.0; 8], v: &[1.0; 8], page_len: 1, kv_heads: 1, head_dim: 8 };
    let row = AttentionRow { q: &[1.0; 8], pages: &[], start: 0, end: 0 };
    let mut out = [f32::NAN; 8];
    attention(&ComputePool::new(1), &kv, 1, 1.0, &[row], &mut out);
    assert_eq!(out, [0.0; 8]);
}
