//! The operations on plain arrays: the definition of each, and the path for other processors.
//!
//! On AArch64 these loops compile to NEON. On x86-64 without FMA a fused multiply-add is a
//! library call: right, and slow.

use super::{Floats, LANES, Simd};

/// Works on every processor.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn each(f: impl FnMut(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(f)
}

#[inline(always)]
fn bytes(f: impl FnMut(usize) -> u8) -> [u8; 32] {
    std::array::from_fn(f)
}

impl Floats for Portable {
    type F = [f32; LANES];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn zero_where_less(self, a: Self::F, b: Self::F, value: Self::F) -> Self::F {
        each(|i| if a[i] < b[i] { 0.0 } else { value[i] })
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        each(|i| a[i].round_ties_even())
    }
    #[inline(always)]
    fn exp2_whole(self, a: Self::F) -> Self::F {
        each(|i| f32::from_bits(((a[i] as i32).wrapping_add(127) as u32) << 23))
    }
}

impl Simd for Portable {
    type B = [u8; 32];

    #[inline(always)]
    fn prefetch(self, _: *const u8) {}
    #[inline(always)]
    fn splat_halves(self, low: f32, high: f32) -> Self::F {
        each(|i| if i < 4 { low } else { high })
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        *to = value;
    }
    #[inline(always)]
    fn sums(self, vectors: [Self::F; 4]) -> [f32; 4] {
        vectors.map(|v| ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])))
    }
    #[inline(always)]
    fn splat_fours(self, from: &[f32; 4]) -> Self::F {
        each(|i| from[i % 4])
    }
    #[inline(always)]
    fn sum_fours(self, vectors: [Self::F; 4]) -> Self::F {
        each(|i| {
            let half = &vectors[i % 4][i / 4 * 4..][..4];
            (half[0] + half[1]) + (half[2] + half[3])
        })
    }
    #[inline(always)]
    fn max_fours(self, a: Self::F) -> Self::F {
        let pairs = self.max(a, each(|i| a[i ^ 1]));
        self.max(pairs, each(|i| pairs[i ^ 2]))
    }
    #[inline(always)]
    fn peak(self, vectors: [Self::F; 4]) -> f32 {
        let bits = vectors.as_flattened().iter().map(|x| x.to_bits() & 0x7fff_ffff);
        f32::from_bits(bits.fold(0, u32::max))
    }
    #[inline(always)]
    fn whole_bytes(self, vectors: [Self::F; 4]) -> [u8; 32] {
        bytes(|i| vectors[i / LANES][i % LANES] as i8 as u8)
    }

    #[inline(always)]
    fn half(self, bits: u16) -> Self::F {
        [half_to_single(bits); LANES]
    }
    #[inline(always)]
    fn singles(self, from: &[u8; 32]) -> Self::F {
        let (words, _) = from.as_chunks();
        each(|i| f32::from_le_bytes(words[i]))
    }
    #[inline(always)]
    fn halves(self, from: &[u8; 16]) -> Self::F {
        each(|i| half_to_single(u16::from_le_bytes([from[2 * i], from[2 * i + 1]])))
    }
    #[inline(always)]
    fn bfloats(self, from: &[u8; 16]) -> Self::F {
        each(|i| f32::from_bits(u32::from_le_bytes([0, 0, from[2 * i], from[2 * i + 1]])))
    }
    #[inline(always)]
    fn floats8(self, from: [u8; 8]) -> Self::F {
        each(|i| f32::from(from[i]))
    }
    #[inline(always)]
    fn bytes(self, from: &[u8; 32]) -> Self::B {
        *from
    }
    #[inline(always)]
    fn nibbles(self, from: &[u8; 16]) -> Self::B {
        bytes(|i| if i < 16 { from[i] & 15 } else { from[i - 16] >> 4 })
    }
    #[inline(always)]
    fn field(self, a: Self::B, shift: u32, mask: u8) -> Self::B {
        bytes(|i| (a[i] >> shift) & mask)
    }
    #[inline(always)]
    fn times16(self, a: Self::B) -> Self::B {
        bytes(|i| a[i] << 4)
    }
    #[inline(always)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        bytes(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn xor(self, a: Self::B, b: u8) -> Self::B {
        bytes(|i| a[i] ^ b)
    }
    #[inline(always)]
    fn bit16(self, a: Self::B, mask: u8) -> Self::B {
        bytes(|i| if a[i] & mask != 0 { 16 } else { 0 })
    }
    #[inline(always)]
    fn bits16(self, bits: u32) -> Self::B {
        bytes(|i| if (bits >> i) & 1 != 0 { 16 } else { 0 })
    }
    #[inline(always)]
    fn floats(self, a: Self::B) -> [Self::F; 4] {
        std::array::from_fn(|v| each(|i| f32::from(a[4 * i + v])))
    }
}

/// Exact; a NaN stays a NaN and becomes quiet, as the F16C instructions do.
#[inline(always)]
pub(crate) fn half_to_single(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff);
    let exponent = magnitude >> 10;
    let positive = match exponent {
        0 => (magnitude as f32 * f32::from_bits(0x3380_0000)).to_bits(), // times 2^-24
        31 if magnitude & 0x3ff != 0 => 0x7fc0_0000 | (magnitude << 13),
        31 => 0x7f80_0000,
        _ => (magnitude << 13) + ((127 - 15) << 23),
    };
    f32::from_bits(sign | positive)
}
