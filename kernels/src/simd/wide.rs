//! Sixteen lanes: one register of AVX-512, or two vectors of eight lanes, with the same bits.
//!
//! A vector is four groups of four lanes, such as four queries that meet the same four elements of
//! a key: one load serves all of them, and the sum over a group is a tree of two steps.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod twice;

use super::{Floats, Kernel, Simd};
#[cfg(target_arch = "x86_64")]
use avx512::Avx512;
use twice::Twice;

/// Lanes in a wide vector.
pub(crate) const WIDE: usize = 16;

/// Operations on sixteen floats.
pub(crate) trait Wide: Floats {
    /// Vectors that a kernel may sum over at once for each of four others without running out of
    /// registers.
    const TILE: usize;

    fn load(self, from: &[f32; WIDE]) -> Self::F;
    fn store(self, value: Self::F, to: &mut [f32; WIDE]);
    /// The same four floats in every group.
    fn splat_fours(self, from: &[f32; 4]) -> Self::F;
    /// Lane `4 g + i` is the sum of group `g` of vector `i`: neighbours, then pairs.
    fn sum_fours(self, vectors: [Self::F; 4]) -> Self::F;
    /// The largest of each group in all its lanes: [`max`](Floats::max) of each lane with its
    /// neighbour, then of each with the lane two further, round the group.
    fn max_fours(self, a: Self::F) -> Self::F;
    /// Asks for the cache line at an address, which may lie anywhere: it is never read.
    fn prefetch(self, address: *const u8);
}

/// A kernel's body over wide vectors, under the rules of [`Kernel`](super::Kernel).
pub(crate) trait WideKernel {
    fn run<W: Wide>(self, wide: W);
}

/// Runs the kernel on the best vectors this processor has, the same for every call of a process.
#[inline]
pub(crate) fn dispatch(kernel: impl WideKernel) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = Avx512::detect() {
        return simd.run(kernel);
    }
    super::dispatch(Eights(kernel));
}

/// A kernel on two vectors of eight lanes in place of one.
struct Eights<K>(K);

impl<K: WideKernel> Kernel for Eights<K> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.0.run(Twice(simd));
    }
}
