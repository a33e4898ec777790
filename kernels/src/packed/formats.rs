//! The packed layouts, read thirty-two inputs at a time.
//!
//! Every weight is `q * scale + bias` with an unsigned byte `q`; sixteen outputs' quants come as
//! eight vectors of quads, where lane `o` of quad `t` holds inputs `4 t..4 t + 4` of output `o`.
//! Offsets follow from the order of fields in `layout.rs`.

use super::lanes::Lanes;
use super::layout::OUTPUTS;
use crate::QuantType;

/// Inputs that are read together.
pub(crate) const SPAN: usize = 32;
/// Quads in a span.
pub(crate) const QUADS: usize = SPAN / 4;

const LOW: u32 = 0x0f0f_0f0f;
const BYTES: u32 = 0x0101_0101;

/// Scale and bias of the weights of one output each.
pub(crate) type Affine<L> = (<L as Lanes>::F, <L as Lanes>::F);

/// A packed type. No vector operation may hide in a closure: those are functions of their own,
/// compiled without the processor's features.
pub(crate) trait Format {
    /// Inputs in a block.
    const LEN: usize;
    /// Bytes of sixteen outputs' block.
    const BYTES: usize;
    /// Bits of the largest `q`.
    const BITS: u32;
    /// Whether each half of a span has a scale of its own.
    const HALVES: bool = false;
    /// What the spans of a block share.
    type Head<L: Lanes>: Copy;

    fn head<L: Lanes>(l: L, block: &[u8], first: usize) -> Self::Head<L>;
    /// The quads of span `4 four + I` of the block.
    fn quads<L: Lanes, const I: usize>(l: L, block: &[u8], first: usize, four: usize) -> [L::I; QUADS];
    /// The scales of the two halves of that span, the same twice unless [`HALVES`](Self::HALVES).
    fn scales<L: Lanes, const I: usize>(
        l: L,
        head: &Self::Head<L>,
        block: &[u8],
        first: usize,
        four: usize,
    ) -> [Affine<L>; 2];
}

/// Something to do with a type's packed layout.
pub(crate) trait WithFormat {
    fn with<F: Format>(self);
}

/// Does it with the packed layout of `ty`.
///
/// # Panics
///
/// For the plain floats, which have none.
pub(crate) fn with_format(ty: QuantType, work: impl WithFormat) {
    match ty {
        QuantType::Q4_0 => work.with::<Q4_0>(),
        QuantType::Q4_1 => work.with::<Q4_1>(),
        QuantType::Q5_0 => work.with::<Q5_0>(),
        QuantType::Q5_1 => work.with::<Q5_1>(),
        QuantType::Q8_0 => work.with::<Q8_0>(),
        QuantType::Q4K => work.with::<Q4K>(),
        QuantType::Q5K => work.with::<Q5K>(),
        QuantType::Q6K => work.with::<Q6K>(),
        QuantType::F32 | QuantType::F16 | QuantType::BF16 => unreachable!("plain floats are not packed"),
    }
}

/// `N` bytes of a block. The offsets are the layouts' own, always inside the block.
#[inline(always)]
fn at<const N: usize>(block: &[u8], offset: usize) -> &[u8; N] {
    match block[offset..].first_chunk() {
        Some(bytes) => bytes,
        None => unreachable!("a block shorter than its layout"),
    }
}

/// The units of sixteen outputs that start `offset` bytes into the block.
#[inline(always)]
fn units<L: Lanes>(l: L, block: &[u8], offset: usize, first: usize, unit: usize) -> L::I {
    l.units(at::<{ 4 * OUTPUTS }>(block, offset + 4 * OUTPUTS * unit), first)
}

#[inline(always)]
fn half_at<L: Lanes>(l: L, block: &[u8], offset: usize, first: usize) -> L::F {
    l.halves(at::<{ 2 * OUTPUTS }>(block, offset), first)
}

/// The quads of a 32-weight block of nibbles: all low ones, then all high ones.
#[inline(always)]
fn nibbles<L: Lanes>(l: L, block: &[u8], offset: usize, first: usize) -> [L::I; QUADS] {
    let [a, b, c, d] = [
        units(l, block, offset, first, 0),
        units(l, block, offset, first, 1),
        units(l, block, offset, first, 2),
        units(l, block, offset, first, 3),
    ];
    [
        l.field(a, 0, LOW),
        l.field(b, 0, LOW),
        l.field(c, 0, LOW),
        l.field(d, 0, LOW),
        l.field(a, 4, LOW),
        l.field(b, 4, LOW),
        l.field(c, 4, LOW),
        l.field(d, 4, LOW),
    ]
}

/// Adds sixteen to the quads whose bits are set: quad `t` has bit `t` of every byte.
#[inline(always)]
fn with_fifth_bits<L: Lanes>(l: L, quads: [L::I; QUADS], bits: L::I) -> [L::I; QUADS] {
    let [a, b, c, d, e, f, g, h] = quads;
    [
        l.or(a, l.raised(bits, 4, BYTES << 4)),
        l.or(b, l.raised(bits, 3, BYTES << 4)),
        l.or(c, l.raised(bits, 2, BYTES << 4)),
        l.or(d, l.raised(bits, 1, BYTES << 4)),
        l.or(e, l.field(bits, 0, BYTES << 4)),
        l.or(f, l.field(bits, 1, BYTES << 4)),
        l.or(g, l.field(bits, 2, BYTES << 4)),
        l.or(h, l.field(bits, 3, BYTES << 4)),
    ]
}

/// The 32-weight types: one scale and bias for the block.
macro_rules! small_block {
    ($name:ident, $bytes:literal, $bits:literal, |$l:ident, $block:ident, $first:ident| head $head:expr, quads $quads:expr) => {
        pub(crate) struct $name;
        impl Format for $name {
            const LEN: usize = SPAN;
            const BYTES: usize = OUTPUTS * $bytes;
            const BITS: u32 = $bits;
            type Head<L: Lanes> = Affine<L>;

            #[inline(always)]
            fn head<L: Lanes>($l: L, $block: &[u8], $first: usize) -> Affine<L> {
                $head
            }
            #[inline(always)]
            fn quads<L: Lanes, const I: usize>(
                $l: L,
                $block: &[u8],
                $first: usize,
                _: usize,
            ) -> [L::I; QUADS] {
                $quads
            }
            #[inline(always)]
            fn scales<L: Lanes, const I: usize>(
                _: L,
                head: &Affine<L>,
                _: &[u8],
                _: usize,
                _: usize,
            ) -> [Affine<L>; 2] {
                [*head; 2]
            }
        }
    };
}

small_block!(Q4_0, 18, 4, |l, block, first|
    head { let d = half_at(l, block, 0, first); (d, l.mul(d, l.splat(-8.0))) },
    quads nibbles(l, block, 32, first));

small_block!(Q4_1, 20, 4, |l, block, first|
    head (half_at(l, block, 0, first), half_at(l, block, 32, first)),
    quads nibbles(l, block, 64, first));

small_block!(Q5_0, 22, 5, |l, block, first|
    head { let d = half_at(l, block, 0, first); (d, l.mul(d, l.splat(-16.0))) },
    quads with_fifth_bits(l, nibbles(l, block, 96, first), units(l, block, 32, first, 0)));

small_block!(Q5_1, 24, 5, |l, block, first|
    head (half_at(l, block, 0, first), half_at(l, block, 32, first)),
    quads with_fifth_bits(l, nibbles(l, block, 128, first), units(l, block, 64, first, 0)));

small_block!(Q8_0, 34, 8, |l, block, first|
head { let d = half_at(l, block, 0, first); (d, l.mul(d, l.splat(-128.0))) },
quads [
    units(l, block, 32, first, 0), units(l, block, 32, first, 1),
    units(l, block, 32, first, 2), units(l, block, 32, first, 3),
    units(l, block, 32, first, 4), units(l, block, 32, first, 5),
    units(l, block, 32, first, 6), units(l, block, 32, first, 7),
]);

/// Q4_K and Q5_K: factors of the block, and the 6-bit scales and minima of its eight spans, four
/// to a unit.
pub(crate) struct KHead<L: Lanes> {
    d: L::F,
    minus_dmin: L::F,
    scales: [L::I; 2],
    minima: [L::I; 2],
}

impl<L: Lanes> Clone for KHead<L> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<L: Lanes> Copy for KHead<L> {}

#[inline(always)]
fn k_head<L: Lanes>(l: L, block: &[u8], first: usize) -> KHead<L> {
    let (a, b, c) =
        (units(l, block, 64, first, 0), units(l, block, 64, first, 1), units(l, block, 64, first, 2));
    // Spans 0-3 have the low six bits of `a` and `b`; the others keep low nibbles in `c` and
    // their top two bits above the first ones.
    KHead {
        d: half_at(l, block, 0, first),
        minus_dmin: l.mul(half_at(l, block, 32, first), l.splat(-1.0)),
        scales: [l.field(a, 0, 0x3f3f_3f3f), l.or(l.field(c, 0, LOW), l.field(a, 2, 0x3030_3030))],
        minima: [l.field(b, 0, 0x3f3f_3f3f), l.or(l.field(c, 4, LOW), l.field(b, 2, 0x3030_3030))],
    }
}

#[inline(always)]
fn k_scales<L: Lanes, const I: usize>(l: L, head: &KHead<L>, four: usize) -> [Affine<L>; 2] {
    let shift = 8 * I as u32;
    let scale = l.mul(head.d, l.floats(l.field(head.scales[four], shift, 0xff)));
    let bias = l.mul(head.minus_dmin, l.floats(l.field(head.minima[four], shift, 0xff)));
    [(scale, bias); 2]
}

/// The quads of a span among pairs of spans that share bytes: even ones low, odd ones high.
#[inline(always)]
fn paired<L: Lanes, const I: usize>(
    l: L,
    block: &[u8],
    offset: usize,
    first: usize,
    four: usize,
) -> [L::I; QUADS] {
    let (base, shift) = (16 * four + 8 * (I / 2), 4 * (I as u32 % 2));
    let mut quads = [units(l, block, offset, first, base); QUADS];
    for (j, quad) in quads.iter_mut().enumerate() {
        *quad = l.field(units(l, block, offset, first, base + j), shift, LOW);
    }
    quads
}

pub(crate) struct Q4K;
impl Format for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = OUTPUTS * 144;
    const BITS: u32 = 4;
    type Head<L: Lanes> = KHead<L>;

    #[inline(always)]
    fn head<L: Lanes>(l: L, block: &[u8], first: usize) -> KHead<L> {
        k_head(l, block, first)
    }
    #[inline(always)]
    fn quads<L: Lanes, const I: usize>(l: L, block: &[u8], first: usize, four: usize) -> [L::I; QUADS] {
        paired::<L, I>(l, block, 256, first, four)
    }
    #[inline(always)]
    fn scales<L: Lanes, const I: usize>(
        l: L,
        head: &KHead<L>,
        _: &[u8],
        _: usize,
        four: usize,
    ) -> [Affine<L>; 2] {
        k_scales::<L, I>(l, head, four)
    }
}

pub(crate) struct Q5K;
impl Format for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = OUTPUTS * 176;
    const BITS: u32 = 5;
    type Head<L: Lanes> = KHead<L>;

    #[inline(always)]
    fn head<L: Lanes>(l: L, block: &[u8], first: usize) -> KHead<L> {
        k_head(l, block, first)
    }
    #[inline(always)]
    fn quads<L: Lanes, const I: usize>(l: L, block: &[u8], first: usize, four: usize) -> [L::I; QUADS] {
        let mut quads = paired::<L, I>(l, block, 768, first, four);
        for (j, quad) in quads.iter_mut().enumerate() {
            // Of every byte, bit `4 four + I` is this span's.
            let bits = l.field(units(l, block, 256, first, j), 4 * four as u32, LOW);
            *quad = l.or(*quad, l.raised(bits, 4 - I as u32, BYTES << 4));
        }
        quads
    }
    #[inline(always)]
    fn scales<L: Lanes, const I: usize>(
        l: L,
        head: &KHead<L>,
        _: &[u8],
        _: usize,
        four: usize,
    ) -> [Affine<L>; 2] {
        k_scales::<L, I>(l, head, four)
    }
}

pub(crate) struct Q6K;
impl Format for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = OUTPUTS * 210;
    const BITS: u32 = 6;
    const HALVES: bool = true;
    type Head<L: Lanes> = L::F;

    #[inline(always)]
    fn head<L: Lanes>(l: L, block: &[u8], first: usize) -> L::F {
        half_at(l, block, 0, first)
    }
    #[inline(always)]
    fn quads<L: Lanes, const I: usize>(l: L, block: &[u8], first: usize, four: usize) -> [L::I; QUADS] {
        // Each half of the block has one run of high bits and two of low nibbles for four spans.
        let (high, low) = (24 * four, 24 * four + 8 + 8 * (I % 2));
        let mut quads = [units(l, block, 288, first, low); QUADS];
        for (j, quad) in quads.iter_mut().enumerate() {
            let nibbles = l.field(units(l, block, 288, first, low + j), 4 * (I as u32 / 2), LOW);
            let bits = units(l, block, 288, first, high + j);
            // Bits `2 I` and `2 I + 1` of every byte move to bits 4 and 5.
            let bits = match I {
                0..3 => l.raised(bits, 4 - 2 * I as u32, 0x3030_3030),
                _ => l.field(bits, 2, 0x3030_3030),
            };
            *quad = l.or(nibbles, bits);
        }
        quads
    }
    #[inline(always)]
    fn scales<L: Lanes, const I: usize>(
        l: L,
        head: &L::F,
        block: &[u8],
        first: usize,
        four: usize,
    ) -> [Affine<L>; 2] {
        let offset = 32 + OUTPUTS * 2 * (4 * four + I);
        let a = l.mul(*head, l.signed(at(block, offset), first));
        let b = l.mul(*head, l.signed(at(block, offset + OUTPUTS), first));
        [(a, l.mul(a, l.splat(-32.0))), (b, l.mul(b, l.splat(-32.0)))]
    }
}
