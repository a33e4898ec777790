//! The wide operations on AVX-512 registers.

use std::arch::x86_64::*;

use super::{Floats, WIDE, Wide, WideKernel};

/// Proof that this processor has AVX-512 F: only [`Avx512::detect`] makes one.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// Also `None` where products do not run on AVX-512: a setting may have lowered the vectors.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        #[cfg(test)]
        if crate::simd::tests::PATH.get() != crate::simd::tests::Path::Best {
            return None;
        }
        let is_wanted = crate::processor() == "avx512";
        (is_wanted && is_x86_feature_detected!("avx512f")).then_some(Self(()))
    }

    /// Compiles the kernel's inlined body with the features.
    #[inline]
    pub(super) fn run(self, kernel: impl WideKernel) {
        #[target_feature(enable = "avx512f")]
        fn with_features(wide: Avx512, kernel: impl WideKernel) {
            kernel.run(wide);
        }
        // SAFETY: `self` proves the feature.
        unsafe { with_features(self, kernel) }
    }
}

/// An intrinsic whose feature `Avx512` proves.
macro_rules! proven {
    ($call:expr) => {
        // SAFETY: a value of `Avx512` exists, so the processor has AVX-512 F and what that implies;
        // pointers come from references to arrays as long as the access, and need no alignment.
        unsafe { $call }
    };
}

impl Floats for Avx512 {
    type F = __m512;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        proven!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn zero_where_less(self, a: __m512, b: __m512, value: __m512) -> __m512 {
        proven!(_mm512_maskz_mov_ps(!_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), value))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        proven!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn exp2_whole(self, a: __m512) -> __m512 {
        proven!({
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        })
    }
}

impl Wide for Avx512 {
    const TILE: usize = 4;

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        proven!(_mm_prefetch::<_MM_HINT_T0>(address.cast()))
    }

    #[inline(always)]
    fn load(self, from: &[f32; WIDE]) -> __m512 {
        proven!(_mm512_loadu_ps(from.as_ptr()))
    }
    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; WIDE]) {
        proven!(_mm512_storeu_ps(to.as_mut_ptr(), value))
    }
    #[inline(always)]
    fn splat_fours(self, from: &[f32; 4]) -> __m512 {
        proven!(_mm512_broadcast_f32x4(_mm_loadu_ps(from.as_ptr())))
    }
    #[inline(always)]
    fn sum_fours(self, [a, b, c, d]: [__m512; 4]) -> __m512 {
        /// Sums of neighbours, two of `a` and two of `b` in each group.
        #[inline(always)]
        fn neighbours(a: __m512, b: __m512) -> __m512 {
            proven!({
                let firsts = _mm512_shuffle_ps::<0b10_00_10_00>(a, b);
                let seconds = _mm512_shuffle_ps::<0b11_01_11_01>(a, b);
                _mm512_add_ps(firsts, seconds)
            })
        }
        neighbours(neighbours(a, b), neighbours(c, d))
    }
    #[inline(always)]
    fn max_fours(self, a: __m512) -> __m512 {
        proven!({
            let pairs = _mm512_max_ps(a, _mm512_permute_ps::<0b10_11_00_01>(a));
            _mm512_max_ps(pairs, _mm512_permute_ps::<0b01_00_11_10>(pairs))
        })
    }
}
