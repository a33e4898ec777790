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
use crate::formats::{Format, GROUP, WithFormat, deal, is_dealt, padded, with_format};
use crate::rows::for_each_row;
use crate::simd::{self, Kernel, LANES, Simd, dispatch};
use crate::tile::{Lanes, QUAD, ROWS, SCRATCH, Scratch, TILE_INPUTS, TILE_OUTPUTS, TRIO, Tile, advance_rows};
use crate::{ComputePool, QuantType, ShapeError};

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
    pub fn new(ty: QuantType, rows: usize, cols: usize, data: &'a [u8]) -> Result<Self, ShapeError> {
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
pub fn matmul_bias(pool: &ComputePool, w: &Matrix, x: &[f32], y: &mut [f32], bias: Option<&[f32]>) {
    assert!(bias.is_none_or(|bias| bias.len() == w.rows), "one bias for each output");
    if w.rows == 0 || w.cols == 0 {
        assert!(x.is_empty() && y.is_empty(), "an empty matrix takes no rows");
        return;
    }
    let n = x.len() / w.cols;
    assert!(x.len() == n * w.cols && y.len() == n * w.rows, "x is n x cols, y is n x rows");
    for (x, y) in x.chunks(ROWS * w.cols).zip(y.chunks_mut(ROWS * w.rows)) {
        if !is_dealt(w.ty) {
            some_rows(pool, w, x, y, bias);
            continue;
        }
        DEALT.with_borrow_mut(|dealt| {
            dealt.resize(x.len(), 0.0);
            for_each_row(pool, dealt, w.cols, &|r, row| deal(&x[r * w.cols..][..w.cols], row));
            some_rows(pool, w, dealt, y, bias);
        });
    }
}

thread_local! {
    /// The caller's activations in the order of the weights, kept from call to call.
    static DEALT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// [`matmul_bias`] of at most [`ROWS`] rows in the order of the weights.
fn some_rows(pool: &ComputePool, w: &Matrix, x: &[f32], y: &mut [f32], bias: Option<&[f32]>) {
    let n = x.len() / w.cols;
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
    y: &'a Disjoint<'a, f32>,
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
        for first in self.outputs.clone().step_by(TILE_OUTPUTS) {
            let outputs = first..self.outputs.end.min(first + TILE_OUTPUTS);
            scratch.lanes.clear();
            scratch.lanes.resize(self.n * TILE_OUTPUTS, Lanes([0.0; LANES]));
            for k in (0..cols).step_by(TILE_INPUTS) {
                let inputs = k..cols.min(k + TILE_INPUTS);
                self.decode::<S, F>(s, outputs.clone(), inputs.clone(), &mut scratch.tile);
                self.advance(s, outputs.len(), inputs, scratch);
            }
            for (r, lanes) in scratch.lanes.chunks_exact(TILE_OUTPUTS).enumerate() {
                self.finish(s, r, outputs.clone(), lanes);
            }
        }
    }

    /// Decodes `w[outputs][inputs]` into the tile.
    #[inline(always)]
    fn decode<S: Simd, F: Format>(&self, s: S, outputs: Range<usize>, inputs: Range<usize>, tile: &mut Tile) {
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
    fn advance<S: Simd>(&self, s: S, outputs: usize, inputs: Range<usize>, scratch: &mut Scratch) {
        let x = |r: usize| &self.x[r * self.w.cols..][inputs.clone()];
        let mut r = 0;
        for lanes in scratch.lanes.chunks_mut(TRIO * TILE_OUTPUTS) {
            let tile = &scratch.tile;
            for next in r + TRIO..self.n.min(r + 2 * TRIO) {
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

/// Adds one group's products to the lanes of four outputs.
#[inline(always)]
fn add_group<S: Simd, F: Format>(
    s: S,
    heads: &[F::Head<S>; QUAD],
    blocks: [&[u8]; QUAD],
    g: usize,
    x: &[f32; GROUP],
    lanes: &mut [S::F; QUAD],
) {
    let (x, _) = x.as_chunks();
    for o in 0..QUAD {
        let w = F::group(s, &heads[o], blocks[o], g);
        lanes[o] = s.fma(w[0], s.load(&x[0]), lanes[o]);
        lanes[o] = s.fma(w[1], s.load(&x[1]), lanes[o]);
        lanes[o] = s.fma(w[2], s.load(&x[2]), lanes[o]);
        lanes[o] = s.fma(w[3], s.load(&x[3]), lanes[o]);
    }
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
        // Four groups written out, so that shifts and masks that depend on `g` are constants.
        let mut fours = x.chunks_exact(4 * GROUP);
        for (four, x) in fours.by_ref().enumerate() {
            let (x, _) = x.as_chunks();
            let g = 4 * four;
            add_group::<S, F>(s, &heads, blocks, g, &x[0], &mut lanes);
            add_group::<S, F>(s, &heads, blocks, g + 1, &x[1], &mut lanes);
            add_group::<S, F>(s, &heads, blocks, g + 2, &x[2], &mut lanes);
            add_group::<S, F>(s, &heads, blocks, g + 3, &x[3], &mut lanes);
        }
        for (g, x) in fours.remainder().as_chunks().0.iter().enumerate() {
            add_group::<S, F>(s, &heads, blocks, g, x, &mut lanes);
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
