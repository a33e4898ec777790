//! Normalisation, sums and gated activations over `f32` rows.
//!
//! Each is one pass in the order of [invariant K1](crate#invariant-k1-one-row-one-result).

use crate::simd::wide::{self, WIDE, Wide, WideKernel};
use crate::simd::{self, Kernel, LANES, Simd, dispatch};

/// `out = x / sqrt(mean(x²) + eps) * weight` for one row (Zhang and Sennrich 2019).
///
/// # Panics
///
/// When `x`, `weight` and `out` differ in length.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), weight.len(), "one weight for each element");
    assert_eq!(x.len(), out.len(), "one output for each element");
    out.copy_from_slice(x);
    rms_norm_in_place(out, weight, eps);
}

/// [`rms_norm`] of a row that the result replaces.
///
/// # Panics
///
/// When `x` and `weight` differ in length.
pub fn rms_norm_in_place(x: &mut [f32], weight: &[f32], eps: f32) {
    assert_eq!(x.len(), weight.len(), "one weight for each element");
    dispatch(RmsNorm { x, weight, eps });
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
    dispatch(Add { a, b });
}

/// `gate = silu(gate) * up`, `silu(x) = x / (1 + e^-x)` (Shazeer 2020, SwiGLU).
///
/// # Panics
///
/// When the lengths differ.
pub fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "equal lengths");
    wide::dispatch(Gated { gate, up, act: Activation::Silu });
}

/// `gate = gelu(gate) * up` with the tanh approximation of GELU (Hendrycks and Gimpel 2016):
/// `x / (1 + e^(-2u))`, `u = sqrt(2/pi) (x + 0.044715 x³)`.
///
/// # Panics
///
/// When the lengths differ.
pub fn gelu_tanh_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "equal lengths");
    wide::dispatch(Gated { gate, up, act: Activation::GeluTanh });
}

struct Add<'a> {
    a: &'a mut [f32],
    b: &'a [f32],
}

impl Kernel for Add<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        // A plain loop, which the compiler turns into the widest additions that it may use here.
        for (a, b) in self.a.iter_mut().zip(self.b) {
            *a += b;
        }
    }
}

struct RmsNorm<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    eps: f32,
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
        for (x, weight) in self.x.iter_mut().zip(self.weight) {
            *x = *x * scale * weight;
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

impl WideKernel for Gated<'_> {
    #[inline(always)]
    fn run<W: Wide>(self, w: W) {
        let (gates, rest) = self.gate.as_chunks_mut::<WIDE>();
        let (ups, ups_rest) = self.up.as_chunks::<WIDE>();
        for (gate, up) in gates.iter_mut().zip(ups) {
            gated(w, gate, up, self.act);
        }
        if rest.is_empty() {
            return;
        }
        let (mut gate, mut up) = ([0.0; WIDE], [0.0; WIDE]);
        gate[..rest.len()].copy_from_slice(rest);
        up[..rest.len()].copy_from_slice(ups_rest);
        gated(w, &mut gate, &up, self.act);
        rest.copy_from_slice(&gate[..rest.len()]);
    }
}

#[inline(always)]
fn gated<W: Wide>(w: W, gate: &mut [f32; WIDE], up: &[f32; WIDE], act: Activation) {
    let x = w.load(gate);
    let exponent = match act {
        Activation::Silu => w.mul(x, w.splat(-1.0)),
        Activation::GeluTanh => {
            let cubic = w.fma(w.mul(x, x), w.splat(0.044_715), w.splat(1.0));
            w.mul(w.mul(x, cubic), w.splat(-1.595_769_2)) // -2 sqrt(2 / pi)
        }
    };
    let activated = w.div(x, w.add(simd::exp(w, exponent), w.splat(1.0)));
    w.store(w.mul(activated, w.load(up)), gate);
}
