//! The operations on AVX2, FMA and F16C registers.

use std::arch::x86_64::*;

use super::{Floats, Kernel, LANES, Simd};

/// Proof that this processor has AVX2, FMA and F16C: only [`Avx2::detect`] makes one.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Self(()))
    }

    /// Compiles the kernel's inlined body with the features.
    #[inline]
    pub(crate) fn run(self, kernel: impl Kernel) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn with_features(simd: Avx2, kernel: impl Kernel) {
            kernel.run(simd);
        }
        // SAFETY: `self` proves the features.
        unsafe { with_features(self, kernel) }
    }
}

/// An intrinsic whose features `Avx2` proves.
macro_rules! proven {
    ($call:expr) => {
        // SAFETY: a value of `Avx2` exists, so the processor has AVX2, FMA and F16C; pointers
        // come from references to arrays as long as the access, and need no alignment.
        unsafe { $call }
    };
}

impl Floats for Avx2 {
    type F = __m256;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        proven!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        proven!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn zero_where_less(self, a: __m256, b: __m256, value: __m256) -> __m256 {
        proven!(_mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b), value))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        proven!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn exp2_whole(self, a: __m256) -> __m256 {
        proven!({
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        })
    }
}

impl Simd for Avx2 {
    type B = __m256i;

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        // SAFETY: a hint, which never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[inline(always)]
    fn splat_halves(self, low: f32, high: f32) -> __m256 {
        proven!(_mm256_set_m128(_mm_set1_ps(high), _mm_set1_ps(low)))
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m256 {
        proven!(_mm256_loadu_ps(from.as_ptr()))
    }
    #[inline(always)]
    fn store(self, value: __m256, to: &mut [f32; LANES]) {
        proven!(_mm256_storeu_ps(to.as_mut_ptr(), value))
    }
    #[inline(always)]
    fn sums(self, [a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        proven!({
            let quads = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let halves = (_mm256_castps256_ps128(quads), _mm256_extractf128_ps::<1>(quads));
            let mut sums = [0.0; 4];
            _mm_storeu_ps(sums.as_mut_ptr(), _mm_add_ps(halves.0, halves.1));
            sums
        })
    }
    #[inline(always)]
    fn splat_fours(self, from: &[f32; 4]) -> __m256 {
        proven!(_mm256_broadcast_ps(&_mm_loadu_ps(from.as_ptr())))
    }
    #[inline(always)]
    fn sum_fours(self, [a, b, c, d]: [__m256; 4]) -> __m256 {
        proven!(_mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d)))
    }
    #[inline(always)]
    fn max_fours(self, a: __m256) -> __m256 {
        proven!({
            let pairs = _mm256_max_ps(a, _mm256_permute_ps::<0b10_11_00_01>(a));
            _mm256_max_ps(pairs, _mm256_permute_ps::<0b01_00_11_10>(pairs))
        })
    }
    #[inline(always)]
    fn peak(self, [a, b, c, d]: [__m256; 4]) -> f32 {
        proven!({
            // As bits, magnitudes are ordered like whole numbers.
            let bits = _mm256_set1_epi32(0x7fff_ffff);
            let a = _mm256_and_si256(_mm256_castps_si256(a), bits);
            let b = _mm256_and_si256(_mm256_castps_si256(b), bits);
            let c = _mm256_and_si256(_mm256_castps_si256(c), bits);
            let d = _mm256_and_si256(_mm256_castps_si256(d), bits);
            let eight = _mm256_max_epi32(_mm256_max_epi32(a, b), _mm256_max_epi32(c, d));
            let four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
            let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b1110>(four));
            let one = _mm_max_epi32(two, _mm_shuffle_epi32::<0b01>(two));
            f32::from_bits(_mm_cvtsi128_si32(one) as u32)
        })
    }
    #[inline(always)]
    fn whole_bytes(self, [a, b, c, d]: [__m256; 4]) -> [u8; 32] {
        proven!({
            let ab = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
            let cd = _mm256_packs_epi32(_mm256_cvtps_epi32(c), _mm256_cvtps_epi32(d));
            // Packing works on halves, so fours come as a b c d a b c d.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(ab, cd), order);
            let mut to = [0; 32];
            _mm256_storeu_si256(to.as_mut_ptr().cast(), bytes);
            to
        })
    }

    #[inline(always)]
    fn half(self, bits: u16) -> __m256 {
        // Broadcast first: inserting into one lane would wait for the register's old value.
        proven!(_mm256_cvtph_ps(_mm_set1_epi16(bits as i16)))
    }
    #[inline(always)]
    fn singles(self, bytes: &[u8; 32]) -> __m256 {
        proven!(_mm256_loadu_ps(bytes.as_ptr().cast()))
    }
    #[inline(always)]
    fn halves(self, bytes: &[u8; 16]) -> __m256 {
        proven!(_mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast())))
    }
    #[inline(always)]
    fn bfloats(self, bytes: &[u8; 16]) -> __m256 {
        proven!({
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        })
    }
    #[inline(always)]
    fn floats8(self, bytes: [u8; 8]) -> __m256 {
        proven!(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes)))))
    }
    #[inline(always)]
    fn bytes(self, from: &[u8; 32]) -> __m256i {
        proven!(_mm256_loadu_si256(from.as_ptr().cast()))
    }
    #[inline(always)]
    fn nibbles(self, from: &[u8; 16]) -> __m256i {
        proven!({
            let packed = _mm_loadu_si128(from.as_ptr().cast());
            let both = _mm256_set_m128i(_mm_srli_epi16::<4>(packed), packed);
            _mm256_and_si256(both, _mm256_set1_epi8(15))
        })
    }
    #[inline(always)]
    fn field(self, bytes: __m256i, shift: u32, mask: u8) -> __m256i {
        proven!({
            let shifted = _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(shift as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi8(mask as i8))
        })
    }
    #[inline(always)]
    fn times16(self, bytes: __m256i) -> __m256i {
        proven!(_mm256_slli_epi16::<4>(bytes)) // bytes below 16: nothing reaches the neighbour
    }
    #[inline(always)]
    fn or(self, a: __m256i, b: __m256i) -> __m256i {
        proven!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn xor(self, a: __m256i, b: u8) -> __m256i {
        proven!(_mm256_xor_si256(a, _mm256_set1_epi8(b as i8)))
    }
    #[inline(always)]
    fn bit16(self, bytes: __m256i, mask: u8) -> __m256i {
        proven!({
            let mask = _mm256_set1_epi8(mask as i8);
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, mask), mask);
            _mm256_and_si256(set, _mm256_set1_epi8(16))
        })
    }
    #[inline(always)]
    fn bits16(self, bits: u32) -> __m256i {
        proven!({
            // Byte i of the result reads byte i / 8 of the bits, then tests bit i % 8.
            let spread =
                _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
            let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), spread);
            let each = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, each), each);
            _mm256_and_si256(set, _mm256_set1_epi8(16))
        })
    }
    #[inline(always)]
    fn floats(self, bytes: __m256i) -> [__m256; 4] {
        proven!({
            let mask = _mm256_set1_epi32(255);
            [
                _mm256_cvtepi32_ps(_mm256_and_si256(bytes, mask)),
                _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32::<8>(bytes), mask)),
                _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32::<16>(bytes), mask)),
                _mm256_cvtepi32_ps(_mm256_srli_epi32::<24>(bytes)),
            ]
        })
    }
}
