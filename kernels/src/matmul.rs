//! Quantized weights times rows of `f32` activations.
//!
//! One row: decoding is fused with the dot product, four outputs at a time. More rows: a tile of
//! weights is decoded once into the first-level cache and multiplied with up to [`ROWS`] rows by
//! a register-blocked kernel. Both add in the same order (invariant K1): the tile path stops and
//! resumes the eight lanes of an output at tile borders, it never sums them early.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use crate::dequant::unpack;
use crate::disjoint::Disjoint;
use crate::formats::{Format, GROUP, WithFormat, padded, with_format};
use crate::simd::{self, Kernel, LANES, Simd, dispatch};
use crate::{ComputePool, QuantType, ShapeError};

/// Outputs that share one pass over a row.
const QUAD: usize = 4;
/// Rows that share one pass over a quad: 3 x 4 accumulators fill the sixteen AVX2 registers.
const TRIO: usize = 3;
/// Outputs and inputs in a tile of decoded weights: 16 KiB, half of a first-level cache.
const TILE_OUTPUTS: usize = 16;
const TILE_INPUTS: usize = 256;
/// Rows multiplied by a tile before it is replaced: bounds the parked accumulators (128 KiB).
const ROWS: usize = 256;
/// Bytes of weights in flight from memory: bandwidth times latency, with room.
const AHEAD: usize = 4096;
/// Multiplications worth handing to another thread.
const PART_WORK: usize = 1 << 16;

/// Stored weights of a linear layer, row-major: one row for each output.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// The storage type.
    pub ty: QuantType,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// `rows * row_bytes(cols)` bytes.
    pub data: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// A matrix whose shape and bytes agree.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] when `cols` is not a whole number of blocks, or `data` not exactly the
    /// bytes of the shape.
    pub fn new(
        ty: QuantType,
        rows: usize,
        cols: usize,
        data: &'a [u8],
    ) -> Result<Self, ShapeError> {
        let row = ty.row_bytes(cols).ok_or(ShapeError::PartialBlock { ty, cols })?;
        let needed = row.checked_mul(rows).ok_or(ShapeError::TooLarge { rows, cols })?;
        if data.len() != needed {
            return Err(ShapeError::Bytes { ty, found: data.len(), needed });
        }
        Ok(Self { ty, rows, cols, data })
    }

    fn row(&self, output: usize) -> &'a [u8] {
        let bytes = self.data.len() / self.rows;
        &self.data[output * bytes..][..bytes]
    }
}

/// `y[r][o] = Σ_k w[o][k] x[r][k]` for the `n = x.len() / cols` rows of `x`.
///
/// `x` is `n x cols` and `y` is `n x rows`, row-major. Activations stay `f32`.
///
/// # Panics
///
/// When `x` is not whole rows, or `y` not `n x rows`.
pub fn matmul(pool: &ComputePool, w: &Matrix, x: &[f32], y: &mut [f32]) {
    matmul_bias(pool, w, x, y, None);
}

/// [`matmul`], then `bias[o]` added to each `y[r][o]`.
///
/// # Panics
///
/// As [`matmul`]; when the bias is not `rows` long.
pub fn matmul_bias(
    pool: &ComputePool,
    w: &Matrix,
    x: &[f32],
    y: &mut [f32],
    bias: Option<&[f32]>,
) {
    assert!(bias.is_none_or(|bias| bias.len() == w.rows), "one bias for each output");
    if w.rows == 0 || w.cols == 0 {
        assert!(x.is_empty() && y.is_empty(), "an empty matrix takes no rows");
        return;
    }
    let n = x.len() / w.cols;
    assert!(x.len() == n * w.cols && y.len() == n * w.rows, "x is n x cols, y is n x rows");
    if n == 0 {
        return;
    }
    let parts = Parts::new(pool, w, n);
    let y = Disjoint::new(y);
    pool.run(parts.count, &|part| {
        with_format(w.ty, Product { w, x, n, y: &y, bias, outputs: parts.outputs(part) });
    });
}

/// Outputs dealt to threads: whole tiles (whole quads for one row), a few parts for each thread
/// so that a slow one does not hold up the call.
struct Parts {
    count: usize,
    step: usize,
    rows: usize,
}

impl Parts {
    fn new(pool: &ComputePool, w: &Matrix, n: usize) -> Self {
        let unit = if n == 1 { QUAD } else { TILE_OUTPUTS };
        let work = w.rows.saturating_mul(w.cols).saturating_mul(n);
        let most = match work / PART_WORK {
            0..2 => 1,
            several => several.min(4 * pool.threads()).next_multiple_of(pool.threads()),
        };
        let step = w.rows.div_ceil(most).next_multiple_of(unit);
        Self { count: w.rows.div_ceil(step), step, rows: w.rows }
    }

    fn outputs(&self, part: usize) -> Range<usize> {
        part * self.step..self.rows.min((part + 1) * self.step)
    }
}

/// One part: all rows, a range of outputs.
struct Product<'a> {
    w: &'a Matrix<'a>,
    x: &'a [f32],
    n: usize,
    y: &'a Disjoint<'a>,
    bias: Option<&'a [f32]>,
    outputs: Range<usize>,
}

impl WithFormat for Product<'_> {
    fn with<F: Format>(self) {
        match self.n {
            1 => dispatch(OneRow::<F> { product: self, format: PhantomData }),
            _ => SCRATCH.with_borrow_mut(|scratch| {
                dispatch(Tiles::<F> { product: self, scratch, format: PhantomData });
            }),
        }
    }
}

struct OneRow<'a, F> {
    product: Product<'a>,
    format: PhantomData<F>,
}

impl<F: Format> Kernel for OneRow<'_, F> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.product.one_row::<S, F>(s);
    }
}

struct Tiles<'a, F> {
    product: Product<'a>,
    scratch: &'a mut Scratch,
    format: PhantomData<F>,
}

impl<F: Format> Kernel for Tiles<'_, F> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.product.tiles::<S, F>(s, self.scratch);
    }
}

impl Product<'_> {
    /// Writes the outputs from `first` on of row `r`.
    #[inline(always)]
    fn put(&self, r: usize, first: usize, values: &[f32]) {
        assert!(first >= self.outputs.start && first + values.len() <= self.outputs.end);
        // SAFETY: parts have disjoint ranges of outputs, and the range lies in this part's.
        let y = unsafe { self.y.range(r * self.w.rows + first, values.len()) };
        y.copy_from_slice(values);
        if let Some(bias) = self.bias {
            for (y, bias) in y.iter_mut().zip(&bias[first..]) {
                *y += bias;
            }
        }
    }

    #[inline(always)]
    fn one_row<S: Simd, F: Format>(&self, s: S) {
        for first in self.outputs.clone().step_by(QUAD) {
            let count = QUAD.min(self.outputs.end - first);
            let rows = std::array::from_fn(|i| self.w.row(first + i.min(count - 1)));
            let sums = s.sums(fused_dots::<S, F>(s, rows, self.x));
            self.put(0, first, &sums[..count]);
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, F: Format>(&self, s: S, scratch: &mut Scratch) {
        let cols = self.w.cols;
        for first_row in (0..self.n).step_by(ROWS) {
            let rows = first_row..self.n.min(first_row + ROWS);
            for first in self.outputs.clone().step_by(TILE_OUTPUTS) {
                let outputs = first..self.outputs.end.min(first + TILE_OUTPUTS);
                scratch.lanes.clear();
                scratch.lanes.resize(rows.len() * TILE_OUTPUTS, Lanes([0.0; LANES]));
                for k in (0..cols).step_by(TILE_INPUTS) {
                    let inputs = k..cols.min(k + TILE_INPUTS);
                    self.decode::<S, F>(s, outputs.clone(), inputs.clone(), &mut scratch.tile);
                    self.advance(s, rows.clone(), outputs.len(), inputs, scratch);
                }
                for (lanes, r) in scratch.lanes.chunks_exact(TILE_OUTPUTS).zip(rows.clone()) {
                    self.finish(s, r, outputs.clone(), lanes);
                }
            }
        }
    }

    /// Decodes `w[outputs][inputs]` into the tile.
    #[inline(always)]
    fn decode<S: Simd, F: Format>(
        &self,
        s: S,
        outputs: Range<usize>,
        inputs: Range<usize>,
        tile: &mut Tile,
    ) {
        let bytes = |cols: usize| cols / self.w.ty.block_len() * self.w.ty.block_bytes();
        // The next tile holds the next inputs, or after the last the next outputs.
        let ahead = match inputs.end < self.w.cols {
            true => bytes(TILE_INPUTS),
            false => bytes(self.w.cols) * TILE_OUTPUTS - bytes(inputs.start),
        };
        for (output, decoded) in outputs.zip(&mut tile.0) {
            let row = &self.w.row(output)[bytes(inputs.start)..bytes(inputs.end)];
            unpack::<S, F>(s, row, &mut decoded[..inputs.len()], ahead);
        }
    }

    /// Adds the tile's products to the lanes of all rows, three rows by four outputs at a time.
    #[inline(always)]
    fn advance<S: Simd>(
        &self,
        s: S,
        rows: Range<usize>,
        outputs: usize,
        inputs: Range<usize>,
        scratch: &mut Scratch,
    ) {
        let x = |r: usize| &self.x[r * self.w.cols..][inputs.clone()];
        let mut r = rows.start;
        for lanes in scratch.lanes.chunks_mut(TRIO * TILE_OUTPUTS) {
            let tile = &scratch.tile;
            for next in r + TRIO..rows.end.min(r + 2 * TRIO) {
                simd::prefetch(s, x(next).as_ptr().cast(), 4 * inputs.len());
            }
            match lanes.len() / TILE_OUTPUTS {
                3 => advance_rows(s, [x(r), x(r + 1), x(r + 2)], tile, outputs, lanes),
                2 => advance_rows(s, [x(r), x(r + 1)], tile, outputs, lanes),
                _ => advance_rows(s, [x(r)], tile, outputs, lanes),
            }
            r += TRIO;
        }
    }

    /// Sums the lanes of one row's outputs.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, r: usize, outputs: Range<usize>, lanes: &[Lanes]) {
        let (quads, _) = lanes.as_chunks::<QUAD>();
        for (first, quad) in outputs.clone().step_by(QUAD).zip(quads) {
            let [a, b, c, d] = quad;
            let sums = s.sums([s.load(&a.0), s.load(&b.0), s.load(&c.0), s.load(&d.0)]);
            self.put(r, first, &sums[..QUAD.min(outputs.end - first)]);
        }
    }
}

/// What the tile path keeps from call to call, one for each thread: no allocation in a call.
struct Scratch {
    tile: Box<Tile>,
    lanes: Vec<Lanes>, // rows x TILE_OUTPUTS accumulators
}

/// Decoded weights, a row for each output. Aligned so that no vector straddles two cache lines.
#[repr(align(64))]
struct Tile([[f32; TILE_INPUTS]; TILE_OUTPUTS]);

/// An output's eight partial sums.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Lanes([f32; LANES]);

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        tile: Box::new(Tile([[0.0; TILE_INPUTS]; TILE_OUTPUTS])),
        lanes: Vec::with_capacity(ROWS * TILE_OUTPUTS),
    });
}

/// The lanes of four outputs for one row, decoding as it goes. Asks for the quad that comes at
/// least [`AHEAD`] bytes later: four short rows at once are no pattern for the processor to find.
#[inline(always)]
fn fused_dots<S: Simd, F: Format>(s: S, rows: [&[u8]; QUAD], x: &[f32]) -> [S::F; QUAD] {
    let mut lanes = [s.splat(0.0); QUAD];
    let ahead = rows[0].len() * QUAD * AHEAD.div_ceil(rows[0].len() * QUAD);
    let blocks = x.chunks_exact(F::LEN);
    let partial = blocks.remainder();
    let mut at = 0;
    for x in blocks {
        let blocks = rows.map(|row| &row[at..at + F::BYTES]);
        for block in blocks {
            simd::prefetch(s, block.as_ptr().wrapping_add(ahead), F::BYTES);
        }
        let [a, b, c, d] = blocks;
        let heads = [F::head(s, a), F::head(s, b), F::head(s, c), F::head(s, d)];
        for (g, x) in x.chunks_exact(GROUP).enumerate() {
            let (x, _) = x.as_chunks();
            let x = [s.load(&x[0]), s.load(&x[1]), s.load(&x[2]), s.load(&x[3])];
            for o in 0..QUAD {
                let w = F::group(s, &heads[o], blocks[o], g);
                for v in 0..4 {
                    lanes[o] = s.fma(w[v], x[v], lanes[o]);
                }
            }
        }
        at += F::BYTES;
    }
    for (lanes, row) in lanes.iter_mut().zip(rows) {
        if !partial.is_empty() {
            let block = padded(&row[at..]);
            let w = F::group(s, &F::head(s, &block), &block, 0);
            for (w, x) in w.into_iter().zip(partial.chunks(LANES)) {
                *lanes = s.fma(w, simd::load_part(s, x), *lanes);
            }
        }
    }
    lanes
}

/// Adds the products of `R` rows with all quads of a tile.
#[inline(always)]
fn advance_rows<S: Simd, const R: usize>(
    s: S,
    x: [&[f32]; R],
    tile: &Tile,
    outputs: usize,
    lanes: &mut [Lanes],
) {
    let whole = x[0].len() / LANES * LANES;
    let (quads, _) = tile.0.as_chunks::<QUAD>();
    for (q, quad) in quads.iter().take(outputs.div_ceil(QUAD)).enumerate() {
        let at = |r: usize, o: usize| r * TILE_OUTPUTS + q * QUAD + o;
        let mut sums = [[s.splat(0.0); QUAD]; R];
        for r in 0..R {
            for o in 0..QUAD {
                sums[r][o] = s.load(&lanes[at(r, o)].0);
            }
        }
        let w = quad.each_ref().map(|w| &w[..whole]);
        dots(s, x.map(|x| &x[..whole]), w, &mut sums);
        for r in 0..R {
            for o in 0..QUAD {
                s.store(sums[r][o], &mut lanes[at(r, o)].0);
            }
        }
    }
    if whole < x[0].len() {
        for (x, lanes) in x.into_iter().zip(lanes.chunks_exact_mut(TILE_OUTPUTS)) {
            for (w, lanes) in tile.0.iter().zip(lanes).take(outputs) {
                let w = simd::load_part(s, &w[whole..x.len()]);
                let sum = s.fma(w, simd::load_part(s, &x[whole..]), s.load(&lanes.0));
                s.store(sum, &mut lanes.0);
            }
        }
    }
}

/// `sums[r][o] += x[r] · w[o]`, lane by lane, for slices of one length, whole vectors.
///
/// The register-blocked kernel: `R * QUAD` independent chains hide the latency of the fused
/// multiply-add, and each loaded vector is used `R` or `QUAD` times.
#[inline(always)]
pub(crate) fn dots<S: Simd, const R: usize>(
    s: S,
    x: [&[f32]; R],
    w: [&[f32]; QUAD],
    sums: &mut [[S::F; QUAD]; R],
) {
    let vectors = x[0].len() / LANES;
    let x = x.map(|x| &x.as_chunks::<LANES>().0[..vectors]);
    let w = w.map(|w| &w.as_chunks::<LANES>().0[..vectors]);
    let mut lanes = *sums;
    for k in 0..vectors {
        let mut row = [s.splat(0.0); R];
        for r in 0..R {
            row[r] = s.load(&x[r][k]);
        }
        for o in 0..QUAD {
            let w = s.load(&w[o][k]);
            for r in 0..R {
                lanes[r][o] = s.fma(w, row[r], lanes[r][o]);
            }
        }
    }
    *sums = lanes;
}
