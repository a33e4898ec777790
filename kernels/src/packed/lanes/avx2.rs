//! Eight outputs on AVX2.

use std::arch::x86_64::*;

use super::{LaneKernel, Lanes, OUTPUTS};
use crate::simd::Avx2;

/// Compiles the kernel's inlined body with the features that the proof stands for.
#[inline]
pub(crate) fn run(lanes: Avx2, kernel: impl LaneKernel) {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn with_features(lanes: Avx2, kernel: impl LaneKernel) {
        kernel.run(lanes);
    }
    // SAFETY: `lanes` proves the features.
    unsafe { with_features(lanes, kernel) }
}

impl Avx2 {
    /// `Σ w x` of `count` quads from `from` on, with sums of pairs kept in sixteen bits.
    #[inline(always)]
    fn pairs<const N: usize, const R: usize>(
        self,
        w: &[__m256i; N],
        x: &[i32],
        stride: usize,
        from: usize,
        count: usize,
    ) -> [__m256i; R] {
        let mut sums = proven!([_mm256_setzero_si256(); R]);
        for j in from..from + count {
            for r in 0..R {
                let quad = proven!(_mm256_set1_epi32(x[r * stride + j]));
                sums[r] = proven!(_mm256_add_epi16(sums[r], _mm256_maddubs_epi16(w[j], quad)));
            }
        }
        sums
    }
}

/// An intrinsic whose features `Avx2` proves.
macro_rules! proven {
    ($call:expr) => {
        // SAFETY: a value of `Avx2` exists, so the processor has the features; pointers come
        // from slices that the line before showed to be long enough, and need no alignment.
        unsafe { $call }
    };
}
use proven;

impl Lanes for Avx2 {
    const COUNT: usize = 8;
    const TILE: usize = 4;
    type I = __m256i;
    type F = __m256;

    #[inline(always)]
    fn fetch(self, address: *const u8) {
        // SAFETY: a hint, which never faults, whatever the address. The second level: the first
        // one is small, and what is fetched far ahead would be gone before its use.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    #[inline(always)]
    fn units(self, from: &[u8; 4 * OUTPUTS], first: usize) -> __m256i {
        let from = &from[4 * first..][..32];
        proven!(_mm256_loadu_si256(from.as_ptr().cast()))
    }
    #[inline(always)]
    fn halves(self, from: &[u8; 2 * OUTPUTS], first: usize) -> __m256 {
        let from = &from[2 * first..][..16];
        proven!(_mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())))
    }
    #[inline(always)]
    fn signed(self, from: &[u8; OUTPUTS], first: usize) -> __m256 {
        let from = &from[first..][..8];
        proven!(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn field(self, units: __m256i, shift: u32, mask: u32) -> __m256i {
        proven!({
            let shifted = _mm256_srl_epi32(units, _mm_cvtsi32_si128(shift as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi32(mask as i32))
        })
    }
    #[inline(always)]
    fn raised(self, units: __m256i, shift: u32, mask: u32) -> __m256i {
        proven!({
            let shifted = _mm256_sll_epi32(units, _mm_cvtsi32_si128(shift as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi32(mask as i32))
        })
    }
    #[inline(always)]
    fn or(self, a: __m256i, b: __m256i) -> __m256i {
        proven!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn times128(self, units: __m256i) -> __m256i {
        proven!(_mm256_slli_epi32::<7>(units))
    }
    #[inline(always)]
    fn zero(self) -> __m256i {
        proven!(_mm256_setzero_si256())
    }

    #[inline(always)]
    fn floats(self, units: __m256i) -> __m256 {
        proven!(_mm256_cvtepi32_ps(units))
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        proven!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        proven!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn store(self, value: __m256, to: &mut [f32]) {
        let to = &mut to[..Self::COUNT];
        proven!(_mm256_storeu_ps(to.as_mut_ptr(), value))
    }

    /// Products of pairs add up in sixteen bits as long as they cannot overflow:
    /// `2 * 127 * (2^bits - 1)` each, so eight of 4-bit weights, four of 5, two of 6. Bytes with
    /// eight bits are split into the top bit and the rest.
    #[inline(always)]
    fn dots<const N: usize, const R: usize>(
        self,
        bits: u32,
        w: &[__m256i; N],
        x: &[i32],
        stride: usize,
        mut sums: [__m256i; R],
    ) -> [__m256i; R] {
        let ones = proven!(_mm256_set1_epi16(1));
        if bits == 8 {
            for j in 0..N {
                let low = proven!(_mm256_and_si256(w[j], _mm256_set1_epi8(0x7f)));
                let top = proven!(_mm256_and_si256(w[j], _mm256_set1_epi8(-128)));
                for r in 0..R {
                    proven!({
                        let quad = _mm256_set1_epi32(x[r * stride + j]);
                        let low = _mm256_madd_epi16(_mm256_maddubs_epi16(low, quad), ones);
                        let top = _mm256_madd_epi16(_mm256_maddubs_epi16(top, quad), ones);
                        sums[r] = _mm256_add_epi32(sums[r], _mm256_add_epi32(low, top));
                    });
                }
            }
            return sums;
        }
        let most = match bits {
            0..=4 => 8,
            5 => 4,
            6 => 2,
            _ => 1,
        };
        for from in (0..N).step_by(most) {
            let pairs = self.pairs::<N, R>(w, x, stride, from, most.min(N - from));
            for r in 0..R {
                sums[r] = proven!(_mm256_add_epi32(sums[r], _mm256_madd_epi16(pairs[r], ones)));
            }
        }
        sums
    }
}
