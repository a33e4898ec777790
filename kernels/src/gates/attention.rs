//! Attention against double precision, and against the plain one in time.

use super::poison::Poisoned;
use super::{Expected, FastKernels, Flaw, Random, Times, UNIT, compare};
use crate::plain::{Head, plain_attention};
use crate::{AttentionRow, ComputePool, PagedKv};

/// Positions of a sequence: one, and those around which blocks and pages end.
const KEYS: [usize; 5] = [1, 31, 1023, 1024, 1025];
/// Rows of a call: the last of a prompt.
const ROWS: usize = 3;
/// How much larger outliers are.
const OUTLIER: f32 = 10.0;
/// Errors in units of `(√d scale Σ |q k| + √n) u Σ p |v|`; random keys reach a sixth of one.
const SLACK: f64 = 1.0;

/// Attention of a model's heads.
#[derive(Clone, Copy, Debug)]
pub struct AttentionGate {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Positions in a page.
    pub page_len: usize,
    /// What scores are multiplied by.
    pub scale: f32,
}

/// Keys, values and queries of one sequence.
struct Sequence {
    k: Vec<f32>,
    v: Vec<f32>,
    pages: Vec<u32>,
    q: Vec<f32>,
}

impl AttentionGate {
    /// Whether the kernel is right at one and at many positions, with all of them or a window of
    /// them visible, slots that nobody may read holding NaN.
    ///
    /// # Errors
    ///
    /// The first [`Flaw`] found.
    pub fn check(&self, pool: &ComputePool, kernels: &dyn FastKernels) -> Result<(), Flaw> {
        for keys in KEYS {
            let sequence = self.sequence(keys);
            let (kv, rows) = (self.kv(&sequence), self.rows(&sequence, keys));
            let mut out = Poisoned::new(rows.len() * self.width());
            kernels.attention(pool, &kv, self.heads, self.scale, &rows, out.room());
            let heads = out.written(&format!("{keys} keys"))?.chunks_exact(self.head_dim);
            for (i, found) in heads.enumerate() {
                let (row, head) = (i / self.heads, i % self.heads);
                // Double precision takes its time: each head in one row, any number in the others.
                let expected = match head % rows.len() == row {
                    true => self.expect(&Head::new(&kv, self.heads, self.scale, &rows[row], head)),
                    false => vec![Expected { exact: 0.0, bound: f64::MAX }; self.head_dim],
                };
                compare(found, &expected, |i| format!("{keys} keys, row {row}, head {head}, element {i}"))?;
            }
        }
        Ok(())
    }

    /// How long a row takes over a thousand positions, by this path and by the plain one.
    pub fn times(&self, pool: &ComputePool, kernels: &dyn FastKernels) -> Times {
        const KEYS: usize = 1024;
        let sequence = self.sequence(KEYS);
        let (kv, rows) = (self.kv(&sequence), self.rows(&sequence, KEYS));
        let (mut fast, mut plain) = (vec![0.0; self.width()], vec![0.0; self.width()]);
        Times::measure(
            || kernels.attention(pool, &kv, self.heads, self.scale, &rows[..1], &mut fast),
            || plain_attention(pool, &kv, self.heads, self.scale, &rows[..1], &mut plain),
        )
    }

    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// A sequence of so many positions, its pages in descending order, behind one that is not its own.
    fn sequence(&self, keys: usize) -> Sequence {
        let mut random = Random(keys as u64);
        let slot = self.kv_heads * self.head_dim;
        let count = keys.div_ceil(self.page_len);
        let pages: Vec<u32> = (1..=count as u32).rev().collect();
        let mut k = vec![f32::NAN; (count + 1) * self.page_len * slot];
        let mut v = k.clone();
        for position in 0..keys {
            let page = pages[position / self.page_len] as usize;
            let at = (page * self.page_len + position % self.page_len) * slot;
            k[at..at + slot].copy_from_slice(&random.with_outliers(slot, 61, OUTLIER));
            v[at..at + slot].copy_from_slice(&random.with_outliers(slot, 59, OUTLIER));
        }
        Sequence { k, v, pages, q: random.with_outliers(ROWS * self.width(), 67, OUTLIER) }
    }

    fn kv<'a>(&self, sequence: &'a Sequence) -> PagedKv<'a> {
        PagedKv {
            k: &sequence.k,
            v: &sequence.v,
            page_len: self.page_len,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
        }
    }

    /// The last rows of a prompt; the second sees a window only.
    fn rows<'a>(&self, sequence: &'a Sequence, keys: usize) -> Vec<AttentionRow<'a>> {
        let count = ROWS.min(keys);
        let queries = sequence.q.chunks_exact(self.width()).take(count).enumerate();
        let row = |(r, q)| {
            let end = keys + r + 1 - count;
            AttentionRow { q, pages: &sequence.pages, start: if r == 1 { end / 3 } else { 0 }, end }
        };
        queries.map(row).collect()
    }

    /// Rounding is bounded by that of the scores, which weights are off by, and that of the sums.
    fn expect(&self, head: &Head<'_>) -> Vec<Expected> {
        let scores = (self.head_dim as f64).sqrt() * head.score_size;
        let unit = SLACK * UNIT * (scores + (head.keys() as f64).sqrt());
        let expect = |i| Expected {
            exact: head.element(i),
            bound: unit * head.size(i) + f64::from(f32::MIN_POSITIVE),
        };
        (0..self.head_dim).map(expect).collect()
    }
}
