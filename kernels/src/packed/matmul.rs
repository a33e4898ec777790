//! Packed weights times quantized rows.
//!
//! Sixteen outputs and up to [`Lanes::TILE`] rows at a time: the weights of a span are decoded
//! into registers once and meet every row of the tile. Each output has one lane and one chain of
//! fused multiply-adds over its spans in ascending order, whatever the tile (invariant K1).

use std::marker::PhantomData;
use std::ops::Range;
use std::slice::ChunksExact;

use super::ahead::ahead;
use super::codes::{Codes, FACTS, Precision, Tile};
use super::formats::{Format, QUADS, SPAN, WithFormat, with_format};
use super::lanes::{LaneKernel, Lanes};
use super::layout::{OUTPUTS, packed_len};
use crate::disjoint::Disjoint;
use crate::{ComputePool, QuantType, ShapeError};

/// Packed weights of a linear layer, see [`pack`](super::layout::pack).
#[derive(Clone, Copy, Debug)]
pub struct PackedMatrix<'a> {
    ty: QuantType,
    rows: usize,
    cols: usize,
    data: &'a [u8],
}

impl<'a> PackedMatrix<'a> {
    /// A packed matrix whose shape and bytes agree.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] when the type has no packed layout, or `data` not exactly the bytes of the
    /// shape.
    pub fn new(ty: QuantType, rows: usize, cols: usize, data: &'a [u8]) -> Result<Self, ShapeError> {
        let needed = packed_len(ty, rows, cols).ok_or(ShapeError::NotPacked { ty, rows, cols })?;
        if data.len() != needed {
            return Err(ShapeError::Bytes { ty, found: data.len(), needed });
        }
        Ok(Self { ty, rows, cols, data })
    }

    /// Outputs that lie side by side and are computed together: a *group*.
    pub const GROUP: usize = OUTPUTS;

    /// Groups of outputs, the last one perhaps not full.
    pub fn groups(&self) -> usize {
        self.rows.div_ceil(OUTPUTS)
    }

    fn group(&self, group: usize) -> &'a [u8] {
        let bytes = self.data.len() / self.groups();
        &self.data[group * bytes..][..bytes]
    }
}

/// One product: `y[r][o] = Σ_k w[o][k] x[r][k] + bias[o]`.
#[derive(Debug)]
pub struct Product<'a> {
    /// The weights.
    pub w: PackedMatrix<'a>,
    /// The outputs of all rows, `rows of x` by `rows of w`, row-major.
    pub y: &'a mut [f32],
    /// One for each output, or none.
    pub bias: Option<&'a [f32]>,
}

/// Weights below which a second thread costs more than it gains.
const WORTH_SPLITTING: usize = 1 << 15;
/// Parts for each thread: a slow thread then holds up the others by a fraction of its share.
const PARTS: usize = 8;
/// The same for a tile of rows or less, where weights come from memory: long runs are read faster.
const PARTS_OF_FEW: usize = 2;
/// Bytes that memory hands out together.
const LINE: usize = 64;
/// Bytes of codes that a thread goes through again and again: half of a second-level cache.
const CODES_IN_CACHE: usize = 256 << 10;

/// Several products of the same rows, in one go over the pool; a product that is `None` is left
/// out.
///
/// # Panics
///
/// When the shapes of a product do not agree with those of the rows.
pub fn matmul_packed<const N: usize>(pool: &ComputePool, x: &Codes, products: [Option<Product<'_>>; N]) {
    let jobs = products.map(|product| product.map(|product| Job::new(x, product)));
    let groups: usize = jobs.iter().flatten().map(|job| job.w.groups()).sum();
    let parts = parts(pool, groups, x);
    pool.run(parts, &|part| {
        let mut mine = groups * part / parts..groups * (part + 1) / parts;
        for job in jobs.iter().flatten() {
            let here = job.w.groups();
            job.run(mine.start.min(here)..mine.end.min(here));
            mine = mine.start.saturating_sub(here)..mine.end.saturating_sub(here);
        }
    });
}

/// The outputs of some groups only, with the bits that [`matmul_packed`] gives them; the rest of `y`
/// stays as it is, and the rest of the weights is not read.
///
/// # Panics
///
/// When the shapes do not agree, when `groups` do not ascend, or when the matrix has not got one.
pub fn matmul_packed_groups(pool: &ComputePool, x: &Codes, product: Product<'_>, groups: &[u32]) {
    let job = Job::new(x, product);
    assert!(groups.is_sorted_by(|a, b| a < b), "each group once, in order");
    assert!(groups.last().is_none_or(|&last| (last as usize) < job.w.groups()), "groups of the matrix");
    let parts = parts(pool, groups.len(), x);
    pool.run(parts, &|part| {
        let mine = &groups[groups.len() * part / parts..groups.len() * (part + 1) / parts];
        for run in mine.chunk_by(|a, b| a + 1 == *b) {
            job.run(run[0] as usize..run[0] as usize + run.len());
        }
    });
}

/// Into how many parts the work on so many groups is cut.
fn parts(pool: &ComputePool, groups: usize, x: &Codes) -> usize {
    let work = groups * OUTPUTS * x.cols() * x.rows();
    let each = if x.rows() <= x.processor().tile() { PARTS_OF_FEW } else { PARTS };
    (work / WORTH_SPLITTING).clamp(1, each * pool.threads()).min(groups)
}

/// One product, to be done in ranges of groups of outputs.
struct Job<'a> {
    w: PackedMatrix<'a>,
    x: &'a Codes,
    y: Disjoint<'a, f32>,
    bias: Option<&'a [f32]>,
}

impl<'a> Job<'a> {
    fn new(x: &'a Codes, Product { w, y, bias }: Product<'a>) -> Self {
        assert!(w.cols == x.cols(), "weights and rows have the same inputs");
        assert!(y.len() == x.rows() * w.rows, "y is rows of x by rows of w");
        assert!(bias.is_none_or(|bias| bias.len() == w.rows), "a bias for each output");
        Self { w, x, y: Disjoint::new(y), bias }
    }

    fn run(&self, groups: Range<usize>) {
        if !groups.is_empty() {
            with_format(self.w.ty, OnGroups { job: self, groups });
        }
    }

    /// Writes the outputs from `first` on of row `r`.
    #[inline(always)]
    fn put<L: Lanes>(&self, l: L, r: usize, first: usize, sums: L::F) {
        let count = L::COUNT.min(self.w.rows.saturating_sub(first));
        if count == 0 {
            return; // lanes of a last group that the matrix does not fill
        }
        // SAFETY: parts have disjoint ranges of groups, and `first` lies in this part's.
        let y = unsafe { self.y.range(r * self.w.rows + first, count) };
        if count == L::COUNT && self.bias.is_none() {
            return l.store(sums, y);
        }
        let mut values = [0.0; OUTPUTS];
        l.store(sums, &mut values);
        match self.bias {
            Some(bias) => {
                for ((y, value), bias) in y.iter_mut().zip(values).zip(&bias[first..]) {
                    *y = value + bias;
                }
            }
            None => y.copy_from_slice(&values[..count]),
        }
    }
}

struct OnGroups<'a> {
    job: &'a Job<'a>,
    groups: Range<usize>,
}

impl WithFormat for OnGroups<'_> {
    fn with<F: Format>(self) {
        self.job.x.processor().run(Groups::<F> { job: self.job, groups: self.groups, format: PhantomData });
    }
}

struct Groups<'a, F> {
    job: &'a Job<'a>,
    groups: Range<usize>,
    format: PhantomData<F>,
}

impl<F: Format> LaneKernel for Groups<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let x = self.job.x;
        let row_bytes = x.cols() * x.precision().planes();
        let rows_in_cache = (CODES_IN_CACHE / row_bytes).max(L::TILE).next_multiple_of(L::TILE);
        let mut start = 0;
        while start < x.rows() {
            let end = x.rows().min(start + rows_in_cache);
            for group in self.groups.clone() {
                let mut row = start;
                while row < end {
                    let tile = x.tile_at(row);
                    // The first tile fetches what the others find in a cache.
                    let ahead = if row == start { ahead() } else { 0 };
                    self.tile(l, group, &tile, ahead);
                    row += tile.rows;
                }
            }
            start = end;
        }
    }
}

impl<F: Format> Groups<'_, F> {
    #[inline(always)]
    fn tile<L: Lanes>(&self, l: L, group: usize, tile: &Tile, ahead: usize) {
        match (tile.rows, self.job.x.precision()) {
            (8, Precision::Int8) => self.rows::<L, 8, 1>(l, group, tile, ahead),
            (4, Precision::Int8) => self.rows::<L, 4, 1>(l, group, tile, ahead),
            (2, Precision::Int8) => self.rows::<L, 2, 1>(l, group, tile, ahead),
            (_, Precision::Int8) => self.rows::<L, 1, 1>(l, group, tile, ahead),
            (8, Precision::Int16) => self.rows::<L, 8, 2>(l, group, tile, ahead),
            (4, Precision::Int16) => self.rows::<L, 4, 2>(l, group, tile, ahead),
            (2, Precision::Int16) => self.rows::<L, 2, 2>(l, group, tile, ahead),
            (_, Precision::Int16) => self.rows::<L, 1, 2>(l, group, tile, ahead),
        }
    }

    #[inline(always)]
    fn rows<L: Lanes, const R: usize, const P: usize>(&self, l: L, group: usize, tile: &Tile, ahead: usize) {
        if R > L::TILE {
            return; // no such tile
        }
        let (codes, facts) = self.job.x.of(tile);
        let weights = self.job.w.group(group);
        for first in (0..OUTPUTS).step_by(L::COUNT) {
            let ahead = if first == 0 { ahead } else { 0 };
            let rows = Rows {
                codes: codes.chunks_exact(R * P * QUADS),
                facts: facts.chunks_exact(R * FACTS),
                ahead,
            };
            let sums = tile_sums::<L, F, R, P>(l, weights, first, rows);
            for (r, sums) in sums.into_iter().enumerate() {
                self.job.put(l, tile.row + r, group * OUTPUTS + first, sums);
            }
        }
    }
}

/// The outputs of `R` rows with `P` planes, for the lanes from `first` on.
#[inline(always)]
fn tile_sums<L: Lanes, F: Format, const R: usize, const P: usize>(
    l: L,
    weights: &[u8],
    first: usize,
    mut rows: Rows<'_>,
) -> [L::F; R] {
    let mut sums = [l.splat(0.0); R];
    for block in weights.chunks_exact(F::BYTES) {
        let block = Block::<L, F> { head: F::head(l, block, first), bytes: block, first };
        if F::LEN == SPAN {
            block.add_span::<0, R, P>(l, 0, &mut rows, &mut sums);
            continue;
        }
        // Four spans written out, so that shifts are constants.
        for four in 0..F::LEN / SPAN / 4 {
            block.add_span::<0, R, P>(l, four, &mut rows, &mut sums);
            block.add_span::<1, R, P>(l, four, &mut rows, &mut sums);
            block.add_span::<2, R, P>(l, four, &mut rows, &mut sums);
            block.add_span::<3, R, P>(l, four, &mut rows, &mut sums);
        }
    }
    sums
}

/// The rest of a tile's rows, span by span, and how many bytes ahead of them weights are fetched.
struct Rows<'a> {
    codes: ChunksExact<'a, i32>,
    facts: ChunksExact<'a, f32>,
    ahead: usize,
}

/// Sixteen outputs' block and what its spans share.
struct Block<'a, L: Lanes, F: Format> {
    head: F::Head<L>,
    bytes: &'a [u8],
    first: usize,
}

impl<L: Lanes, F: Format> Block<'_, L, F> {
    /// Adds the products of span `4 four + I` with the next span of the rows.
    #[inline(always)]
    fn add_span<const I: usize, const R: usize, const P: usize>(
        &self,
        l: L,
        four: usize,
        rows: &mut Rows<'_>,
        sums: &mut [L::F; R],
    ) {
        let (Some(codes), Some(facts)) = (rows.codes.next(), rows.facts.next()) else { return };
        if rows.ahead > 0 {
            let bytes = F::BYTES / (F::LEN / SPAN);
            let address = self.bytes.as_ptr().wrapping_add((4 * four + I) * bytes + rows.ahead);
            for line in 0..bytes.div_ceil(LINE) {
                l.fetch(address.wrapping_add(line * LINE));
            }
        }
        let quads = F::quads::<L, I>(l, self.bytes, self.first, four);
        let scales = F::scales::<L, I>(l, &self.head, self.bytes, self.first, four);
        if F::HALVES {
            let [a, b, c, d, e, f, g, h] = quads;
            add::<L, F, 4, R, P>(l, &[a, b, c, d], scales[0], codes, facts, 2, sums);
            add::<L, F, 4, R, P>(l, &[e, f, g, h], scales[1], &codes[4..], facts, 3, sums);
        } else {
            add::<L, F, 8, R, P>(l, &quads, scales[0], codes, facts, 1, sums);
        }
    }
}

/// Adds `scale * Σ q x + bias * Σ x` to the sums of `R` rows. `fact` is which sum of codes goes
/// with these quads.
#[inline(always)]
fn add<L: Lanes, F: Format, const N: usize, const R: usize, const P: usize>(
    l: L,
    quads: &[L::I; N],
    (scale, bias): (L::F, L::F),
    codes: &[i32],
    facts: &[f32],
    fact: usize,
    sums: &mut [L::F; R],
) {
    let mut products = l.dots::<N, R>(F::BITS, quads, codes, P * QUADS, [l.zero(); R]);
    if P == 2 {
        for product in &mut products {
            *product = l.times128(*product);
        }
        products = l.dots::<N, R>(F::BITS, quads, &codes[QUADS..], P * QUADS, products);
    }
    for r in 0..R {
        let scale = l.mul(scale, l.splat(facts[r * FACTS]));
        sums[r] = l.fma(l.floats(products[r]), scale, sums[r]);
        sums[r] = l.fma(bias, l.splat(facts[r * FACTS + fact]), sums[r]);
    }
}
