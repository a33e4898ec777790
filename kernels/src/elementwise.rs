//! Normalisation, sums and gated activations over `f32` rows.
//!
//! Each is one pass in the order of [invariant K1](crate#invariant-k1-one-row-one-result).

use crate::simd::{self, Kernel, LANES, Simd, dispatch};

/// `out = x / sqrt(mean(x²) + eps) * weight` for one row (Zhang and Sennrich 2019).
///
/// # Panics
///
/// When `x`, `weight` and `out` differ in length.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), weight.len(), "one weight for each element");
    assert_eq!(x.len(), out.len(), "one output for each element");
    dispatch(RmsNorm { x, weight, eps, out });
}

/// [`rms_norm`] of each row: `x` and `out` are `n x weight.len()`, row-major.
///
/// # Panics
///
/// When `x` and `out` differ in length, or are not whole rows.
pub fn rms_norm_rows(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "one output for each element");
    if x.is_empty() {
        return;
    }
    assert!(!weight.is_empty() && x.len().is_multiple_of(weight.len()), "whole rows");
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        rms_norm(x, weight, eps, out);
    }
}

/// `a += b`.
///
/// # Panics
///
/// When the lengths differ.
pub fn add_assign(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "equal lengths");
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// `gate = silu(gate) * up`, `silu(x) = x / (1 + e^-x)` (Shazeer 2020, SwiGLU).
///
/// # Panics
///
/// When the lengths differ.
pub fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "equal lengths");
    dispatch(Gated { gate, up, act: Activation::Silu });
}

/// `gate = gelu(gate) * up` with the tanh approximation of GELU (Hendrycks and Gimpel 2016):
/// `x / (1 + e^(-2u))`, `u = sqrt(2/pi) (x + 0.044715 x³)`.
///
/// # Panics
///
/// When the lengths differ.
pub fn gelu_tanh_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "equal lengths");
    dispatch(Gated { gate, up, act: Activation::GeluTanh });
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut squares = s.splat(0.0);
        for x in self.x.chunks(LANES) {
            let x = simd::load(s, x);
            squares = s.fma(x, x, squares);
        }
        let mean = simd::sum(s, squares) / self.x.len() as f32;
        let scale = 1.0 / (mean + self.eps).sqrt();
        for ((out, x), weight) in self.out.iter_mut().zip(self.x).zip(self.weight) {
            *out = x * scale * weight;
        }
    }
}

#[derive(Clone, Copy)]
enum Activation {
    Silu,
    GeluTanh,
}

struct Gated<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
    act: Activation,
}

impl Kernel for Gated<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (gate, up) in self.gate.chunks_mut(LANES).zip(self.up.chunks(LANES)) {
            let x = simd::load(s, gate);
            let exponent = match self.act {
                Activation::Silu => s.mul(x, s.splat(-1.0)),
                Activation::GeluTanh => {
                    let cubic = s.fma(s.mul(x, x), s.splat(0.044_715), s.splat(1.0));
                    s.mul(s.mul(x, cubic), s.splat(-1.595_769_2)) // -2 sqrt(2 / pi)
                }
            };
            let activated = s.div(x, s.add(simd::exp(s, exponent), s.splat(1.0)));
            let mut lanes = [0.0; LANES];
            s.store(s.mul(activated, simd::load(s, up)), &mut lanes);
            gate.copy_from_slice(&lanes[..gate.len()]);
        }
    }
}
