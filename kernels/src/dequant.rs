//! Stored blocks to `f32`, without a matrix: embedding rows, norm weights.

use std::marker::PhantomData;

use crate::formats::{Format, GROUP, WithFormat, is_dealt, padded, undeal, with_format};
use crate::simd::{self, Kernel, LANES, Simd, dispatch};
use crate::{QuantType, ShapeError};

/// Decodes any whole number of blocks: `dst.len()` elements from `src`.
///
/// # Errors
///
/// [`ShapeError`] when `dst` is not a whole number of blocks, or `src` not exactly those bytes.
pub fn dequantize(ty: QuantType, src: &[u8], dst: &mut [f32]) -> Result<(), ShapeError> {
    let cols = dst.len();
    let needed = ty.row_bytes(cols).ok_or(ShapeError::PartialBlock { ty, cols })?;
    if src.len() != needed {
        return Err(ShapeError::Bytes { ty, found: src.len(), needed });
    }
    with_format(ty, Dequantize { src, dst: &mut *dst });
    if is_dealt(ty) {
        undeal(dst);
    }
    Ok(())
}

/// Bytes ahead to ask for when reading straight on.
const AHEAD: usize = 1024;

struct Dequantize<'a> {
    src: &'a [u8],
    dst: &'a mut [f32],
}

impl WithFormat for Dequantize<'_> {
    fn with<F: Format>(self) {
        dispatch(Unpack::<F> { src: self.src, dst: self.dst, format: PhantomData });
    }
}

struct Unpack<'a, F> {
    src: &'a [u8],
    dst: &'a mut [f32],
    format: PhantomData<F>,
}

impl<F: Format> Kernel for Unpack<'_, F> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        unpack::<S, F>(simd, self.src, self.dst, AHEAD);
    }
}

/// Decodes the blocks of `src` into `dst`, in the order of [`Format::group`]; for plain floats the last block may be partial. Asks
/// for the bytes that lie `ahead` of those it reads, which the caller will read next.
#[inline(always)]
pub(crate) fn unpack<S: Simd, F: Format>(s: S, src: &[u8], dst: &mut [f32], ahead: usize) {
    let blocks = src.chunks_exact(F::BYTES);
    let partial = blocks.remainder();
    let mut whole = dst.chunks_exact_mut(F::LEN);
    for (block, out) in blocks.zip(&mut whole) {
        simd::prefetch(s, block.as_ptr().wrapping_add(ahead), F::BYTES);
        let head = F::head(s, block);
        for (g, out) in out.chunks_exact_mut(GROUP).enumerate() {
            store(s, F::group(s, &head, block, g), out);
        }
    }
    if !partial.is_empty() {
        let block = padded(partial);
        let mut group = [0.0; GROUP];
        let head = F::head(s, &block);
        store(s, F::group(s, &head, &block, 0), &mut group);
        let out = whole.into_remainder();
        out.copy_from_slice(&group[..out.len()]);
    }
}

#[inline(always)]
fn store<S: Simd>(s: S, weights: [S::F; 4], out: &mut [f32]) {
    let (lanes, _) = out.as_chunks_mut::<LANES>();
    for (weights, out) in weights.into_iter().zip(lanes) {
        s.store(weights, out);
    }
}
