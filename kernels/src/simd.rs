//! Eight `f32` lanes and thirty-two bytes: the vectors that most kernels are written in, and
//! [sixteen lanes](wide) for the others.
//!
//! A kernel is one generic body ([`Kernel::run`]), compiled for AVX2 with FMA and for portable
//! arrays. Both give the same bits: each operation is defined lane by lane below, with the same
//! rounding in both.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;
#[cfg(test)]
mod tests;
pub(crate) mod wide;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
pub(crate) use portable::{Portable, half_to_single};

/// Lanes in a vector of floats.
pub(crate) const LANES: usize = 8;

/// Arithmetic lane by lane, on vectors of any width. A value of an implementing type is the proof
/// that the processor has the operations, which is why they are safe to call.
pub(crate) trait Floats: Copy {
    /// A vector of floats.
    type F: Copy;

    fn splat(self, value: f32) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: a NaN in `b` is kept, a NaN in `a` is dropped.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`: a NaN in `b` is kept, a NaN in `a` is dropped.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `value` where `a >= b` or either is NaN, else zero.
    fn zero_where_less(self, a: Self::F, b: Self::F, value: Self::F) -> Self::F;
    /// To the nearest whole number, ties to even.
    fn round(self, a: Self::F) -> Self::F;
    /// Two to the power of whole numbers in `-126..=127`.
    fn exp2_whole(self, a: Self::F) -> Self::F;
}

/// Operations on eight floats and thirty-two bytes.
pub(crate) trait Simd: Floats {
    /// Thirty-two bytes.
    type B: Copy;

    /// Asks for the cache line at an address, which may lie anywhere: it is never read.
    fn prefetch(self, address: *const u8);

    /// One value in lanes 0 to 3, another in lanes 4 to 7.
    fn splat_halves(self, low: f32, high: f32) -> Self::F;
    /// The same four floats in lanes 0 to 3 and in lanes 4 to 7.
    fn splat_fours(self, from: &[f32; 4]) -> Self::F;
    fn load(self, from: &[f32; LANES]) -> Self::F;
    fn store(self, value: Self::F, to: &mut [f32; LANES]);
    /// The lanes of each vector summed by one tree: neighbours, then pairs, then halves.
    fn sums(self, vectors: [Self::F; 4]) -> [f32; 4];
    /// Lane `4 h + i` is the sum of half `h` of vector `i`: neighbours, then pairs.
    fn sum_fours(self, vectors: [Self::F; 4]) -> Self::F;
    /// The largest of each half in all its lanes: [`max`](Floats::max) of each lane with its
    /// neighbour, then of each with the lane two further, round the half.
    fn max_fours(self, a: Self::F) -> Self::F;

    /// The largest magnitude of four vectors. An infinity is more than any number, a NaN more than that.
    fn peak(self, vectors: [Self::F; 4]) -> f32;
    /// Whole numbers in `-128..=127` as bytes, vector after vector.
    fn whole_bytes(self, vectors: [Self::F; 4]) -> [u8; 32];

    /// Half precision to single, in every lane.
    fn half(self, bits: u16) -> Self::F;
    /// Eight little-endian singles.
    fn singles(self, bytes: &[u8; 32]) -> Self::F;
    /// Eight half precision numbers to single.
    fn halves(self, bytes: &[u8; 16]) -> Self::F;
    /// Eight upper halves of singles.
    fn bfloats(self, bytes: &[u8; 16]) -> Self::F;
    /// Eight bytes as floats.
    fn floats8(self, bytes: [u8; 8]) -> Self::F;

    fn bytes(self, from: &[u8; 32]) -> Self::B;
    /// The sixteen low nibbles, then the sixteen high nibbles.
    fn nibbles(self, from: &[u8; 16]) -> Self::B;
    /// `(byte >> shift) & mask`, where `mask` keeps no bit that came from a neighbour:
    /// `mask < 1 << (8 - shift)`.
    fn field(self, bytes: Self::B, shift: u32, mask: u8) -> Self::B;
    /// `(byte << 4)` of bytes below 16.
    fn times16(self, bytes: Self::B) -> Self::B;
    fn or(self, a: Self::B, b: Self::B) -> Self::B;
    fn xor(self, a: Self::B, b: u8) -> Self::B;
    /// `16` where the byte has the bit of the one-bit `mask`, else zero.
    fn bit16(self, bytes: Self::B, mask: u8) -> Self::B;
    /// Byte `i` is `16` where bit `i` is set, else zero.
    fn bits16(self, bits: u32) -> Self::B;
    /// The bytes as floats, every fourth together: lane `j` of vector `i` is byte `4 j + i`.
    /// That costs shifts and masks; bytes in their own order would take shuffles, of which a
    /// processor does fewer at a time.
    fn floats(self, bytes: Self::B) -> [Self::F; 4];
}

/// A kernel's body, generic over the vectors it runs on. Implementations mark `run`
/// `#[inline(always)]`, and everything it calls, so that it is compiled with the processor's
/// features. No vector operation may hide in a closure, nor in `array::map` or `from_fn`: those
/// are separate functions, compiled without the features.
pub(crate) trait Kernel {
    fn run<S: Simd>(self, simd: S);
}

/// Runs the kernel on the best vectors this processor has. The choice is made by cached feature
/// detection, so it is the same for every call of a process.
#[inline]
pub(crate) fn dispatch(kernel: impl Kernel) {
    #[cfg(test)]
    if tests::PATH.get() == tests::Path::Portable {
        return kernel.run(Portable);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = Avx2::detect() {
        return simd.run(kernel);
    }
    kernel.run(Portable);
}

/// The first eight floats of `from`, which must have as many.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, from: &[f32]) -> S::F {
    match from.first_chunk() {
        Some(lanes) => simd.load(lanes),
        None => load_part(simd, from),
    }
}

/// Up to eight floats, the missing lanes zero.
#[inline(always)]
pub(crate) fn load_part<S: Simd>(simd: S, from: &[f32]) -> S::F {
    let mut lanes = [0.0; LANES];
    for (lane, value) in lanes.iter_mut().zip(from) {
        *lane = *value;
    }
    simd.load(&lanes)
}

/// Asks for all cache lines of `bytes` bytes from an address on, which may lie anywhere.
#[inline(always)]
pub(crate) fn prefetch<S: Simd>(simd: S, address: *const u8, bytes: usize) {
    const LINE: usize = 64;
    for line in 0..bytes.div_ceil(LINE) {
        simd.prefetch(address.wrapping_add(line * LINE));
    }
}

/// The sum of one vector's lanes, by the tree of [`Simd::sums`].
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, vector: S::F) -> f32 {
    simd.sums([vector; 4])[0]
}

/// `e^x` to about 1 ulp for `x` in `-87..=88`; zero below, the value at 88 above, NaN for NaN.
///
/// Cephes `expf`: `x = n ln 2 + r`, a polynomial in `r`, and `n` put in the exponent.
#[inline(always)]
pub(crate) fn exp<S: Floats>(s: S, x: S::F) -> S::F {
    let clamped = s.min(s.splat(88.0), s.max(s.splat(-87.0), x));
    let n = s.round(s.mul(clamped, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-0.693_359_4), clamped);
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.987_569_1e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        p = s.fma(p, r, s.splat(coefficient));
    }
    let p = s.fma(p, s.mul(r, r), s.add(r, s.splat(1.0)));
    s.zero_where_less(x, s.splat(-87.0), s.mul(p, s.exp2_whole(n)))
}
