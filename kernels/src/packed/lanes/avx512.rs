//! Sixteen outputs on AVX-512 with VNNI.

use std::arch::x86_64::*;

use super::{LaneKernel, Lanes, OUTPUTS};

/// Proof that this processor has AVX-512 F, BW and VNNI: only [`Avx512::detect`] makes one.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni");
        has.then_some(Self(()))
    }

    /// Compiles the kernel's inlined body with the features.
    #[inline]
    pub(crate) fn run(self, kernel: impl LaneKernel) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn with_features(lanes: Avx512, kernel: impl LaneKernel) {
            kernel.run(lanes);
        }
        // SAFETY: `self` proves the features.
        unsafe { with_features(self, kernel) }
    }
}

/// An intrinsic whose features `Avx512` proves.
macro_rules! proven {
    ($call:expr) => {
        // SAFETY: a value of `Avx512` exists, so the processor has the features; pointers come
        // from slices that the line before showed to be long enough, and need no alignment.
        unsafe { $call }
    };
}

impl Lanes for Avx512 {
    const COUNT: usize = 16;
    const TILE: usize = 8;
    type I = __m512i;
    type F = __m512;

    #[inline(always)]
    fn fetch(self, address: *const u8) {
        // SAFETY: a hint, which never faults, whatever the address. The second level: the first
        // one is small, and what is fetched far ahead would be gone before its use.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    #[inline(always)]
    fn units(self, from: &[u8; 4 * OUTPUTS], _: usize) -> __m512i {
        proven!(_mm512_loadu_si512(from.as_ptr().cast()))
    }
    #[inline(always)]
    fn halves(self, from: &[u8; 2 * OUTPUTS], _: usize) -> __m512 {
        proven!(_mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())))
    }
    #[inline(always)]
    fn signed(self, from: &[u8; OUTPUTS], _: usize) -> __m512 {
        proven!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn field(self, units: __m512i, shift: u32, mask: u32) -> __m512i {
        proven!({
            let shifted = _mm512_srl_epi32(units, _mm_cvtsi32_si128(shift as i32));
            _mm512_and_si512(shifted, _mm512_set1_epi32(mask as i32))
        })
    }
    #[inline(always)]
    fn raised(self, units: __m512i, shift: u32, mask: u32) -> __m512i {
        proven!({
            let shifted = _mm512_sll_epi32(units, _mm_cvtsi32_si128(shift as i32));
            _mm512_and_si512(shifted, _mm512_set1_epi32(mask as i32))
        })
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        proven!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn times128(self, units: __m512i) -> __m512i {
        proven!(_mm512_slli_epi32::<7>(units))
    }
    #[inline(always)]
    fn zero(self) -> __m512i {
        proven!(_mm512_setzero_si512())
    }

    #[inline(always)]
    fn floats(self, units: __m512i) -> __m512 {
        proven!(_mm512_cvtepi32_ps(units))
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        proven!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32]) {
        let to = &mut to[..Self::COUNT];
        proven!(_mm512_storeu_ps(to.as_mut_ptr(), value))
    }

    #[inline(always)]
    fn dots<const N: usize, const R: usize>(
        self,
        _: u32,
        w: &[__m512i; N],
        x: &[i32],
        stride: usize,
        mut sums: [__m512i; R],
    ) -> [__m512i; R] {
        for j in 0..N {
            for r in 0..R {
                let quad = x[r * stride + j];
                sums[r] = proven!(_mm512_dpbusd_epi32(sums[r], w[j], _mm512_set1_epi32(quad)));
            }
        }
        sums
    }
}
