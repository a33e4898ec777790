//! Rows of activations as small integers.
//!
//! Thirty-two activations share a scale: `x = code * scale`. [`Precision::Int8`] has codes of
//! eight bits. [`Precision::Int16`] has codes of fifteen bits in two planes of signed bytes,
//! `code = 128 * high + low`, so that both precisions meet the weights in one byte dot product;
//! where reading weights is what takes time, the second plane costs next to nothing.

use std::ops::Range;

use super::formats::{QUADS, SPAN};
use super::lanes::Processor;
use crate::disjoint::Disjoint;
use crate::pool::ComputePool;
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// How finely activations are rounded where they meet quantized weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// 8 bits: errors up to 1/254 of the largest of 32 activations.
    Int8,
    /// 15 bits: errors up to 1/32512 of it.
    Int16,
}

impl Precision {
    /// Planes of signed bytes.
    pub(crate) const fn planes(self) -> usize {
        match self {
            Self::Int8 => 1,
            Self::Int16 => 2,
        }
    }

    /// The largest code.
    pub(crate) const fn largest(self) -> f32 {
        match self {
            Self::Int8 => 127.0,
            Self::Int16 => 127.0 * 128.0,
        }
    }
}

/// Facts about the thirty-two activations of a row in a span: their scale, then scale times the
/// sum of codes: of all, of the first half, of the second half.
pub(crate) const FACTS: usize = 4;

/// Quantized rows, in the order in which the product kernel reads them.
///
/// Rows lie in tiles of `Lanes::TILE` or, at the end, of smaller
/// powers of two. Inside a tile comes span after span, in a span row after row, in a row plane
/// after plane (the high one first), in a plane eight quads of codes.
#[derive(Debug)]
pub struct Codes {
    precision: Precision,
    processor: Processor,
    rows: usize,
    cols: usize,
    quads: Vec<i32>,
    facts: Vec<f32>,
}

/// Rows that share decoded weights, and where their codes and facts lie.
#[derive(Clone, Debug)]
pub(crate) struct Tile {
    pub(crate) row: usize,
    pub(crate) rows: usize,
    quads: Range<usize>,
    facts: Range<usize>,
}

impl Codes {
    /// No rows yet.
    pub fn new() -> Self {
        Self::on(Processor::best())
    }

    pub(crate) fn on(processor: Processor) -> Self {
        let precision = Precision::Int16;
        Self { precision, processor, rows: 0, cols: 0, quads: Vec::new(), facts: Vec::new() }
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs in a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn processor(&self) -> Processor {
        self.processor
    }

    /// The tile that starts at a row which starts one.
    pub(crate) fn tile_at(&self, row: usize) -> Tile {
        let left = self.rows - row;
        let most = self.processor.tile();
        let rows = if left >= most { most } else { 1 << left.ilog2() };
        let quads = self.cols / 4 * self.precision.planes();
        let facts = self.cols / SPAN * FACTS;
        Tile { row, rows, quads: row * quads..(row + rows) * quads, facts: row * facts..(row + rows) * facts }
    }

    /// The codes and facts of a tile.
    #[inline(always)]
    pub(crate) fn of(&self, tile: &Tile) -> (&[i32], &[f32]) {
        (&self.quads[tile.quads.clone()], &self.facts[tile.facts.clone()])
    }

    /// Replaces the rows by those of `x`, row-major. Keeps its memory from call to call.
    ///
    /// Thirty-two activations among which is an infinity or a NaN get a NaN for scale, so that
    /// whatever they meet becomes NaN.
    ///
    /// # Panics
    ///
    /// When `cols` is not a multiple of 32, or `x` not whole rows.
    pub fn quantize(&mut self, pool: &ComputePool, precision: Precision, x: &[f32], cols: usize) {
        assert!(cols > 0 && cols.is_multiple_of(SPAN) && x.len().is_multiple_of(cols), "whole rows of spans");
        (self.precision, self.rows, self.cols) = (precision, x.len() / cols, cols);
        let mut quads = std::mem::take(&mut self.quads);
        let mut facts = std::mem::take(&mut self.facts);
        quads.resize(x.len() / 4 * self.precision.planes(), 0);
        facts.resize(x.len() / SPAN * FACTS, 0.0);
        let most = self.processor.tile();
        let (into_quads, into_facts) = (Disjoint::new(&mut quads), Disjoint::new(&mut facts));
        pool.run(self.rows.div_ceil(most), &|part| {
            let mut row = part * most;
            while row < self.rows.min((part + 1) * most) {
                let tile = self.tile_at(row);
                // SAFETY: each tile starts in one part, and the ranges of tiles do not overlap.
                let quads = unsafe { into_quads.range(tile.quads.start, tile.quads.len()) };
                // SAFETY: as above.
                let facts = unsafe { into_facts.range(tile.facts.start, tile.facts.len()) };
                let x = &x[row * cols..][..tile.rows * cols];
                dispatch(QuantizeTile { precision: self.precision, x, cols, quads, facts });
                row += tile.rows;
            }
        });
        (self.quads, self.facts) = (quads, facts);
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self::new()
    }
}

/// Quantizes the rows of one tile.
struct QuantizeTile<'a> {
    precision: Precision,
    x: &'a [f32],
    cols: usize,
    quads: &'a mut [i32],
    facts: &'a mut [f32],
}

impl Kernel for QuantizeTile<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let planes = self.precision.planes();
        let rows = self.x.len() / self.cols;
        for (r, row) in self.x.chunks_exact(self.cols).enumerate() {
            for (span, x) in row.as_chunks::<SPAN>().0.iter().enumerate() {
                let at = span * rows + r;
                let (scale, codes) = quantize_span(s, x, self.precision.largest());
                let [first, second, ..] = s.sums([
                    s.add(codes[0], codes[1]),
                    s.add(codes[2], codes[3]),
                    s.splat(0.0),
                    s.splat(0.0),
                ]);
                self.facts[at * FACTS..][..FACTS].copy_from_slice(&[
                    scale,
                    scale * (first + second),
                    scale * first,
                    scale * second,
                ]);
                let quads = &mut self.quads[at * planes * QUADS..][..planes * QUADS];
                if planes == 1 {
                    put_bytes(s.whole_bytes(codes), quads);
                    continue;
                }
                let (mut high, mut low) = (codes, codes);
                for i in 0..VECTORS {
                    high[i] = s.round(s.mul(codes[i], s.splat(1.0 / 128.0)));
                    low[i] = s.fma(high[i], s.splat(-128.0), codes[i]);
                }
                put_bytes(s.whole_bytes(high), &mut quads[..QUADS]);
                put_bytes(s.whole_bytes(low), &mut quads[QUADS..]);
            }
        }
    }
}

/// Vectors of floats in a span.
const VECTORS: usize = SPAN / LANES;

/// Scale and codes of thirty-two activations.
#[inline(always)]
fn quantize_span<S: Simd>(s: S, x: &[f32; SPAN], largest: f32) -> (f32, [S::F; VECTORS]) {
    let (vectors, _) = x.as_chunks::<LANES>();
    let mut codes = [s.splat(0.0); VECTORS];
    for (code, x) in codes.iter_mut().zip(vectors) {
        *code = s.load(x);
    }
    let peak = s.peak(codes);
    let inverse = largest / peak;
    if !peak.is_finite() || !inverse.is_finite() {
        // Numbers too small to divide by count as zero.
        let scale = if peak.is_finite() { 0.0 } else { f32::NAN };
        return (scale, [s.splat(0.0); VECTORS]);
    }
    for code in &mut codes {
        *code = s.round(s.mul(*code, s.splat(inverse)));
    }
    (peak / largest, codes)
}

/// Bytes, four to a quad.
#[inline(always)]
fn put_bytes(bytes: [u8; SPAN], quads: &mut [i32]) {
    for (quad, bytes) in quads.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *quad = i32::from_le_bytes(*bytes);
    }
}
