//! Numerics gates: is a fast kernel right on this processor, and faster than what it replaces?
//!
//! | module | idea |
//! |---|---|
//! | `product` | [`ProductGate`]: packed products over a model's own weights |
//! | `attention` | [`AttentionGate`]: attention over pages, at the lengths where blocks end |
//! | `poison` | results in memory that shows what was not written, and what should not have been |
//!
//! Inputs are seeded, so a check says the same at every run. A result is compared with one in
//! double precision and may differ by what rounding explains. When to ask, and what follows from
//! the answer, is the caller's business.

mod attention;
mod poison;
mod product;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::{
    AttentionRow, Codes, ComputePool, PagedKv, Product, ShapeError, attention as fast_attention,
    matmul_packed,
};

pub use attention::AttentionGate;
pub use product::ProductGate;

/// The code of the kernels and what compiled it, as a digest.
pub const BUILD: &str = env!("UNDERSTUDY_KERNELS_BUILD");

/// Half the distance from 1 to the next `f32`: the largest relative error of one rounding.
const UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// The kernels that gates judge. A trait, so that a test can put a wrong one in the place of ours.
pub trait FastKernels: Sync {
    /// A product of packed weights, see [`matmul_packed`].
    fn product(&self, pool: &ComputePool, x: &Codes, product: Product<'_>) {
        matmul_packed(pool, x, [Some(product)]);
    }

    /// Attention, see [`attention`](crate::attention).
    fn attention(
        &self,
        pool: &ComputePool,
        kv: &PagedKv<'_>,
        heads: usize,
        scale: f32,
        rows: &[AttentionRow<'_>],
        out: &mut [f32],
    ) {
        fast_attention(pool, kv, heads, scale, rows, out);
    }
}

/// The kernels of this crate.
#[derive(Clone, Copy, Debug)]
pub struct Kernels;

impl FastKernels for Kernels {}

/// What a kernel did wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Flaw {
    /// There is no such product.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// It wrote beside its results.
    #[error("{place}: it wrote outside its results")]
    Outside {
        /// Which call.
        place: String,
    },
    /// A result is not what it has to be.
    #[error("{place}: {found} in place of {exact} (at most {bound:.1e} off)")]
    Off {
        /// Which result of which call.
        place: String,
        /// What the kernel made; NaN where it wrote nothing.
        found: f32,
        /// What double precision makes of the same inputs.
        exact: f64,
        /// How far apart rounding explains.
        bound: f64,
    },
}

/// How long the same work takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// By the fast kernel.
    pub fast: Duration,
    /// By what it replaces.
    pub plain: Duration,
    /// Whether the fast kernel was the slower one every time. One lost run may be another process's doing.
    pub always_lost: bool,
}

impl Times {
    /// The shortest of several runs of each, alternated so that both meet the same machine: four, or
    /// as many as a few milliseconds hold.
    fn measure(mut fast: impl FnMut(), mut plain: impl FnMut()) -> Self {
        const ROUNDS: usize = 4;
        const ENOUGH: Duration = Duration::from_millis(3);
        let mut shortest = Self { fast: Duration::MAX, plain: Duration::MAX, always_lost: true };
        let (all, mut rounds) = (Instant::now(), 0);
        while rounds < ROUNDS || all.elapsed() < ENOUGH {
            let start = Instant::now();
            fast();
            let between = Instant::now();
            plain();
            let (fast, plain) = (between - start, between.elapsed());
            shortest.fast = shortest.fast.min(fast);
            shortest.plain = shortest.plain.min(plain);
            shortest.always_lost &= fast >= plain;
            rounds += 1;
        }
        shortest
    }
}

/// What a result has to be.
#[derive(Clone, Copy, Debug)]
struct Expected {
    exact: f64,
    bound: f64,
}

/// Holds results to what they have to be; `place` says where one is. Inputs that are not finite
/// expect nothing.
fn compare(found: &[f32], expected: &[Expected], place: impl Fn(usize) -> String) -> Result<(), Flaw> {
    for (i, (&found, &Expected { exact, bound })) in found.iter().zip(expected).enumerate() {
        let is_known = exact.is_finite() && bound.is_finite();
        let is_near = (f64::from(found) - exact).abs() <= bound;
        if is_known && !is_near {
            return Err(Flaw::Off { place: place(i), found, exact, bound });
        }
    }
    Ok(())
}

/// A stream of numbers for inputs.
struct Random(u64);

impl Random {
    /// From -1 to 1.
    fn float(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// From -1 to 1, and every so often as many times larger.
    fn with_outliers(&mut self, len: usize, every: usize, factor: f32) -> Vec<f32> {
        (0..len).map(|i| self.float() * if i % every == every / 2 { factor } else { 1.0 }).collect()
    }
}
