//! The block layouts of ggml, each decoded thirty-two weights at a time.
//!
//! Every quantized weight is `q * scale + bias` with an unsigned `q`: one fused multiply-add.
//! The product is exact in `f32` for all of these types (at most 24 significant bits), so the
//! result is the correctly rounded weight, equal to ggml's two-step expression. The fused dot
//! product and the tile path both call [`Format::group`], so both see the same bits.

use crate::QuantType;
use crate::simd::Simd;

/// Weights in a group: what [`Format::group`] decodes.
pub(crate) const GROUP: usize = 32;

/// A stored type's layout. Plain floats are read in blocks of 32, the last of which may be
/// partial (see [`padded`]).
pub(crate) trait Format {
    /// Weights in a block, a multiple of [`GROUP`].
    const LEN: usize;
    /// Bytes in a block.
    const BYTES: usize;
    /// What the groups of a block share.
    type Head<S: Simd>: Copy;

    fn head<S: Simd>(simd: S, block: &[u8]) -> Self::Head<S>;
    /// Weights `32 g..32 g + 32` of the block: in their order for the plain floats, dealt (see
    /// [`deal`]) for the quantized types.
    fn group<S: Simd>(simd: S, head: &Self::Head<S>, block: &[u8], g: usize) -> [S::F; 4];
}

/// Whether the groups of this type come dealt.
pub(crate) fn is_dealt(ty: QuantType) -> bool {
    ty.block_len() > 1
}

/// Puts groups in the order that quantized weights decode in: element `4 j + i` of a group goes
/// to `8 i + j`, as cards are dealt. Activations are dealt once before they meet the weights.
pub(crate) fn deal(from: &[f32], to: &mut [f32]) {
    let (from, _) = from.as_chunks::<GROUP>();
    let (to, _) = to.as_chunks_mut::<GROUP>();
    for (from, to) in from.iter().zip(to) {
        *to = std::array::from_fn(|at| from[4 * (at % 8) + at / 8]);
    }
}

/// Undoes [`deal`] in place.
pub(crate) fn undeal(dealt: &mut [f32]) {
    for group in dealt.as_chunks_mut::<GROUP>().0 {
        *group = std::array::from_fn(|at| group[8 * (at % 4) + at / 4]);
    }
}

/// Something to do with a type's layout.
pub(crate) trait WithFormat {
    fn with<F: Format>(self);
}

/// Does it with the layout of `ty`.
pub(crate) fn with_format(ty: QuantType, work: impl WithFormat) {
    match ty {
        QuantType::F32 => work.with::<F32>(),
        QuantType::F16 => work.with::<F16>(),
        QuantType::BF16 => work.with::<Bf16>(),
        QuantType::Q4_0 => work.with::<Q4_0>(),
        QuantType::Q4_1 => work.with::<Q4_1>(),
        QuantType::Q5_0 => work.with::<Q5_0>(),
        QuantType::Q5_1 => work.with::<Q5_1>(),
        QuantType::Q8_0 => work.with::<Q8_0>(),
        QuantType::Q4K => work.with::<Q4K>(),
        QuantType::Q5K => work.with::<Q5K>(),
        QuantType::Q6K => work.with::<Q6K>(),
    }
}

/// The last, partial block of a row of plain floats, with zero weights after it. At most one
/// block of the widest float type, which is 128 bytes.
#[inline(always)]
pub(crate) fn padded(partial: &[u8]) -> [u8; 4 * GROUP] {
    let mut block = [0; 4 * GROUP];
    block[..partial.len()].copy_from_slice(partial);
    block
}

/// `N` bytes of a block. The offsets are the layouts' own, always inside the block.
#[inline(always)]
fn at<const N: usize>(block: &[u8], offset: usize) -> &[u8; N] {
    match block[offset..].first_chunk() {
        Some(bytes) => bytes,
        None => unreachable!("a block shorter than its layout"),
    }
}

#[inline(always)]
fn half_at<S: Simd>(s: S, block: &[u8], offset: usize) -> S::F {
    s.half(u16::from_le_bytes(*at(block, offset)))
}

/// `q * scale + bias`.
#[inline(always)]
fn affine<S: Simd>(s: S, quants: S::B, scale: S::F, bias: S::F) -> [S::F; 4] {
    let [a, b, c, d] = s.floats(quants);
    [s.fma(a, scale, bias), s.fma(b, scale, bias), s.fma(c, scale, bias), s.fma(d, scale, bias)]
}

pub(crate) struct F32;
impl Format for F32 {
    const LEN: usize = GROUP;
    const BYTES: usize = 4 * GROUP;
    type Head<S: Simd> = ();

    #[inline(always)]
    fn head<S: Simd>(_: S, _: &[u8]) {}
    #[inline(always)]
    fn group<S: Simd>(s: S, (): &(), block: &[u8], _: usize) -> [S::F; 4] {
        let [a, b, c, d] = [at(block, 0), at(block, 32), at(block, 64), at(block, 96)];
        [s.singles(a), s.singles(b), s.singles(c), s.singles(d)]
    }
}

pub(crate) struct F16;
impl Format for F16 {
    const LEN: usize = GROUP;
    const BYTES: usize = 2 * GROUP;
    type Head<S: Simd> = ();

    #[inline(always)]
    fn head<S: Simd>(_: S, _: &[u8]) {}
    #[inline(always)]
    fn group<S: Simd>(s: S, (): &(), block: &[u8], _: usize) -> [S::F; 4] {
        let [a, b, c, d] = [at(block, 0), at(block, 16), at(block, 32), at(block, 48)];
        [s.halves(a), s.halves(b), s.halves(c), s.halves(d)]
    }
}

pub(crate) struct Bf16;
impl Format for Bf16 {
    const LEN: usize = GROUP;
    const BYTES: usize = 2 * GROUP;
    type Head<S: Simd> = ();

    #[inline(always)]
    fn head<S: Simd>(_: S, _: &[u8]) {}
    #[inline(always)]
    fn group<S: Simd>(s: S, (): &(), block: &[u8], _: usize) -> [S::F; 4] {
        let [a, b, c, d] = [at(block, 0), at(block, 16), at(block, 32), at(block, 48)];
        [s.bfloats(a), s.bfloats(b), s.bfloats(c), s.bfloats(d)]
    }
}

/// The 32-weight types: scale and bias in front, then the quants.
macro_rules! small_block {
    ($name:ident, $bytes:literal, |$s:ident, $block:ident| head $head:expr, quants $quants:expr) => {
        pub(crate) struct $name;
        impl Format for $name {
            const LEN: usize = GROUP;
            const BYTES: usize = $bytes;
            type Head<S: Simd> = (S::F, S::F);

            #[inline(always)]
            fn head<S: Simd>($s: S, $block: &[u8]) -> (S::F, S::F) {
                $head
            }
            #[inline(always)]
            fn group<S: Simd>($s: S, head: &(S::F, S::F), $block: &[u8], _: usize) -> [S::F; 4] {
                affine($s, $quants, head.0, head.1)
            }
        }
    };
}

small_block!(Q4_0, 18, |s, block|
    head { let d = half_at(s, block, 0); (d, s.mul(d, s.splat(-8.0))) },
    quants s.nibbles(at(block, 2)));

small_block!(Q4_1, 20, |s, block|
    head (half_at(s, block, 0), half_at(s, block, 2)),
    quants s.nibbles(at(block, 4)));

small_block!(Q5_0, 22, |s, block|
    head { let d = half_at(s, block, 0); (d, s.mul(d, s.splat(-16.0))) },
    quants s.or(s.nibbles(at(block, 6)), s.bits16(u32::from_le_bytes(*at(block, 2)))));

small_block!(Q5_1, 24, |s, block|
    head (half_at(s, block, 0), half_at(s, block, 2)),
    quants s.or(s.nibbles(at(block, 8)), s.bits16(u32::from_le_bytes(*at(block, 4)))));

// Signed bytes, moved to unsigned by flipping the top bit.
small_block!(Q8_0, 34, |s, block|
    head { let d = half_at(s, block, 0); (d, s.mul(d, s.splat(-128.0))) },
    quants s.xor(s.bytes(at(block, 2)), 0x80));

/// Scale and bias of each group of a 256-weight block.
#[derive(Clone, Copy)]
pub(crate) struct Groups<const N: usize> {
    scale: [f32; N],
    bias: [f32; N],
}

/// Q4_K and Q5_K: `d`, `dmin`, then eight 6-bit scales and eight 6-bit minima in twelve bytes.
#[inline(always)]
fn k_groups<S: Simd>(s: S, block: &[u8]) -> Groups<8> {
    let (d, dmin) = (half_at(s, block, 0), half_at(s, block, 2));
    let [a, b, c] = [4, 8, 12].map(|offset| u32::from_le_bytes(*at(block, offset)));
    // Scales 0-3 are the low six bits of `a`, minima 0-3 those of `b`; the rest keep their low
    // nibbles in `c` and their top two bits above the first ones.
    let scales = [a & 0x3f3f_3f3f, (c & 0x0f0f_0f0f) | ((a >> 2) & 0x3030_3030)];
    let minima = [b & 0x3f3f_3f3f, ((c >> 4) & 0x0f0f_0f0f) | ((b >> 2) & 0x3030_3030)];
    let bytes = |[low, high]: [u32; 2]| (u64::from(low) | u64::from(high) << 32).to_le_bytes();
    let mut groups = Groups { scale: [0.0; 8], bias: [0.0; 8] };
    s.store(s.mul(s.floats8(bytes(scales)), d), &mut groups.scale);
    s.store(s.mul(s.floats8(bytes(minima)), s.mul(dmin, s.splat(-1.0))), &mut groups.bias);
    groups
}

pub(crate) struct Q4K;
impl Format for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;
    type Head<S: Simd> = Groups<8>;

    #[inline(always)]
    fn head<S: Simd>(s: S, block: &[u8]) -> Groups<8> {
        k_groups(s, block)
    }
    #[inline(always)]
    fn group<S: Simd>(s: S, head: &Groups<8>, block: &[u8], g: usize) -> [S::F; 4] {
        let packed = s.bytes(at(block, 16 + 32 * (g / 2)));
        let quants = s.field(packed, 4 * (g as u32 % 2), 15);
        affine(s, quants, s.splat(head.scale[g]), s.splat(head.bias[g]))
    }
}

pub(crate) struct Q5K;
impl Format for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;
    type Head<S: Simd> = Groups<8>;

    #[inline(always)]
    fn head<S: Simd>(s: S, block: &[u8]) -> Groups<8> {
        k_groups(s, block)
    }
    #[inline(always)]
    fn group<S: Simd>(s: S, head: &Groups<8>, block: &[u8], g: usize) -> [S::F; 4] {
        let packed = s.bytes(at(block, 48 + 32 * (g / 2)));
        let low = s.field(packed, 4 * (g as u32 % 2), 15);
        let high = s.bit16(s.bytes(at(block, 16)), 1 << g);
        affine(s, s.or(low, high), s.splat(head.scale[g]), s.splat(head.bias[g]))
    }
}

pub(crate) struct Q6K;
impl Format for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;
    type Head<S: Simd> = Groups<16>;

    #[inline(always)]
    fn head<S: Simd>(s: S, block: &[u8]) -> Groups<16> {
        let d = half_at(s, block, 208);
        let mut groups = Groups { scale: [0.0; 16], bias: [0.0; 16] };
        let (scales, _) = groups.scale.as_chunks_mut();
        let (biases, _) = groups.bias.as_chunks_mut();
        for (i, (scale, bias)) in scales.iter_mut().zip(biases).enumerate() {
            let signed: &[u8; 8] = at(block, 192 + 8 * i);
            let floats = s.floats8(signed.map(|byte| byte ^ 0x80));
            let scaled = s.mul(s.add(floats, s.splat(-128.0)), d);
            s.store(scaled, scale);
            s.store(s.mul(scaled, s.splat(-32.0)), bias);
        }
        groups
    }
    #[inline(always)]
    fn group<S: Simd>(s: S, head: &Groups<16>, block: &[u8], g: usize) -> [S::F; 4] {
        let (half, quarter) = (g / 4, g as u32 % 4);
        let packed = s.bytes(at(block, 64 * half + 32 * (g % 2)));
        let low = s.field(packed, 4 * (quarter / 2), 15);
        let high = s.field(s.bytes(at(block, 128 + 32 * half)), 2 * quarter, 3);
        let quants = s.or(low, s.times16(high));
        // Dealt, the first sixteen weights are lanes 0 to 3 of each vector.
        let scale = s.splat_halves(head.scale[2 * g], head.scale[2 * g + 1]);
        let bias = s.splat_halves(head.bias[2 * g], head.bias[2 * g + 1]);
        affine(s, quants, scale, bias)
    }
}
