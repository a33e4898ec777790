//! The tile of decoded weights and the register-blocked kernel that multiplies it.

use std::cell::RefCell;

use crate::simd::{self, LANES, Simd};

/// Outputs that share one pass over a row.
pub(crate) const QUAD: usize = 4;
/// Rows that share one pass over a quad: 3 x 4 accumulators fill the sixteen AVX2 registers.
pub(crate) const TRIO: usize = 3;
/// Outputs and inputs in a tile of decoded weights: 16 KiB, half of a first-level cache.
pub(crate) const TILE_OUTPUTS: usize = 16;
pub(crate) const TILE_INPUTS: usize = 256;
/// Rows handled at a time: bounds the accumulators parked beside a tile (128 KiB) and the copy
/// of dealt activations.
pub(crate) const ROWS: usize = 256;

/// What the tile path keeps from call to call, one for each thread: no allocation in a call.
pub(crate) struct Scratch {
    pub(crate) tile: Box<Tile>,
    pub(crate) lanes: Vec<Lanes>, // rows x TILE_OUTPUTS accumulators
}

/// Decoded weights, a row for each output. Aligned so that no vector straddles two cache lines.
#[repr(align(64))]
pub(crate) struct Tile(pub(crate) [[f32; TILE_INPUTS]; TILE_OUTPUTS]);

/// An output's eight partial sums.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

thread_local! {
    pub(crate) static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        tile: Box::new(Tile([[0.0; TILE_INPUTS]; TILE_OUTPUTS])),
        lanes: Vec::with_capacity(ROWS * TILE_OUTPUTS),
    });
}

/// Adds the products of `R` rows with all quads of a tile.
#[inline(always)]
pub(crate) fn advance_rows<S: Simd, const R: usize>(
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
