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
use crate::simd::{Kernel, Simd, dispatch};

/// How finely activations are rounded where they meet quantized weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Plain loops: the compiler makes vectors of them with the features that `dispatch` adds.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let planes = self.precision.planes();
        let rows = self.x.len() / self.cols;
        for (r, row) in self.x.chunks_exact(self.cols).enumerate() {
            for (s, span) in row.as_chunks::<SPAN>().0.iter().enumerate() {
                let at = s * rows + r;
                let facts = &mut self.facts[at * FACTS..][..FACTS];
                let (scale, codes) = quantize_span(span, self.precision.largest());
                let half = |from: usize| codes[from..from + SPAN / 2].iter().sum::<i32>();
                let halves = [half(0), half(SPAN / 2)];
                facts.copy_from_slice(&[
                    scale,
                    scale * (halves[0] + halves[1]) as f32,
                    scale * halves[0] as f32,
                    scale * halves[1] as f32,
                ]);
                let quads = &mut self.quads[at * planes * QUADS..][..planes * QUADS];
                if planes == 1 {
                    put_bytes(codes, quads);
                } else {
                    let high = codes.map(|code| (code + 64) >> 7);
                    let mut low = codes;
                    for (low, high) in low.iter_mut().zip(high) {
                        *low -= high << 7;
                    }
                    put_bytes(high, &mut quads[..QUADS]);
                    put_bytes(low, &mut quads[QUADS..]);
                }
            }
        }
    }
}

/// Scale and codes of thirty-two activations.
#[inline(always)]
fn quantize_span(x: &[f32; SPAN], largest: f32) -> (f32, [i32; SPAN]) {
    /// Adding it to a float below 2^22 leaves the nearest whole number, ties to even, in the
    /// low bits.
    const ROUND: f32 = 12_582_912.0;
    // As bits, magnitudes are ordered like whole numbers, infinities and NaNs above all others.
    let peak = x.iter().fold(0, |peak, x| peak.max(x.to_bits() & 0x7fff_ffff));
    let peak = f32::from_bits(peak);
    let inverse = largest / peak;
    if !peak.is_finite() || !inverse.is_finite() {
        // Numbers too small to divide by count as zero.
        let scale = if peak.is_finite() { 0.0 } else { f32::NAN };
        return (scale, [0; SPAN]);
    }
    let codes = x.map(|x| (x * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32);
    (peak / largest, codes)
}

/// The low bytes of codes, four to a quad.
#[inline(always)]
fn put_bytes(codes: [i32; SPAN], quads: &mut [i32]) {
    let bytes = codes.map(|code| code as u8);
    for (quad, bytes) in quads.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *quad = i32::from_le_bytes(*bytes);
    }
}
