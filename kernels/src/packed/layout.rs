//! How sixteen rows of a stored matrix are interleaved, and the copying that does it.
//!
//! A packed matrix has the bytes of the stored one, moved: for every sixteen outputs, block after
//! block, each field of the block (scales, then quants) holds the sixteen outputs' values side by
//! side. One vector load then feeds sixteen outputs, nothing is summed across lanes, and a
//! thread reads its share front to back. Quants move in units of four bytes, which is what one
//! lane of an integer dot product takes.

use crate::disjoint::Disjoint;
use crate::{ComputePool, QuantType, ShapeError};

/// Outputs that are interleaved.
pub(crate) const OUTPUTS: usize = 16;

/// What happens to a value on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It moves as it is.
    None,
    /// Signed bytes become unsigned ones, 128 more.
    Unsigned,
    /// Thirty-two high bits, one for each weight: that of weight `4 t + i` goes to bit `t` of
    /// byte `i`, so that one shift puts those of a quad at one place in their bytes.
    Quads,
}

/// A run of equal values inside a stored block.
struct Field {
    /// Where it starts in the stored block.
    from: usize,
    /// Bytes of a value.
    width: usize,
    count: usize,
    change: Change,
}

const fn field(from: usize, width: usize, count: usize) -> Field {
    Field { from, width, count, change: Change::None }
}

const fn changed(from: usize, count: usize, change: Change) -> Field {
    Field { from, width: 4, count, change }
}

/// The fields of a type in their packed order; none for types that are not packed. The formats
/// in `formats.rs` read them at the offsets that follow from this order.
fn fields(ty: QuantType) -> &'static [Field] {
    match ty {
        QuantType::Q4_0 => const { &[field(0, 2, 1), field(2, 4, 4)] },
        QuantType::Q4_1 => const { &[field(0, 2, 1), field(2, 2, 1), field(4, 4, 4)] },
        QuantType::Q5_0 => const { &[field(0, 2, 1), changed(2, 1, Change::Quads), field(6, 4, 4)] },
        QuantType::Q5_1 => {
            const { &[field(0, 2, 1), field(2, 2, 1), changed(4, 1, Change::Quads), field(8, 4, 4)] }
        }
        QuantType::Q8_0 => const { &[field(0, 2, 1), changed(2, 8, Change::Unsigned)] },
        QuantType::Q4K => const { &[field(0, 2, 1), field(2, 2, 1), field(4, 4, 3), field(16, 4, 32)] },
        QuantType::Q5K => {
            const { &[field(0, 2, 1), field(2, 2, 1), field(4, 4, 3), field(16, 4, 8), field(48, 4, 32)] }
        }
        // For each half its high bits, then its low ones: the order in which they are read.
        QuantType::Q6K => {
            const {
                &[
                    field(208, 2, 1),
                    field(192, 1, 16),
                    field(128, 4, 8),
                    field(0, 4, 16),
                    field(160, 4, 8),
                    field(64, 4, 16),
                ]
            }
        }
        QuantType::F32 | QuantType::F16 | QuantType::BF16 => &[],
    }
}

/// Whether a type has a packed layout: the quantized ones have, plain floats have not.
pub fn is_packable(ty: QuantType) -> bool {
    !fields(ty).is_empty()
}

/// Bytes of a packed matrix: those of the stored one with its rows rounded up to sixteen. `None`
/// when the type is not packed, when `cols` is not a whole number of blocks, or on overflow.
pub fn packed_len(ty: QuantType, rows: usize, cols: usize) -> Option<usize> {
    let row = is_packable(ty).then(|| ty.row_bytes(cols)).flatten()?;
    rows.checked_next_multiple_of(OUTPUTS)?.checked_mul(row)
}

/// Interleaves a stored `rows x cols` matrix. Rows after the last are zeros.
///
/// # Errors
///
/// [`ShapeError`] when the type is not packed, or `data` and `out` have not the bytes of the
/// shape.
pub fn pack(
    pool: &ComputePool,
    ty: QuantType,
    rows: usize,
    cols: usize,
    data: &[u8],
    out: &mut [u8],
) -> Result<(), ShapeError> {
    let needed = packed_len(ty, rows, cols).ok_or(ShapeError::NotPacked { ty, rows, cols })?;
    if out.len() != needed {
        return Err(ShapeError::Bytes { ty, found: out.len(), needed });
    }
    let groups = rows.div_ceil(OUTPUTS);
    let group_bytes = needed / groups.max(1);
    let stored = group_bytes / OUTPUTS * rows;
    if data.len() != stored {
        return Err(ShapeError::Bytes { ty, found: data.len(), needed: stored });
    }
    let parts = pool.threads().min(groups);
    let out = Disjoint::new(out);
    pool.run(parts, &|part| {
        for group in groups * part / parts..groups * (part + 1) / parts {
            // SAFETY: each group belongs to one part, and groups do not overlap.
            let packed = unsafe { out.range(group * group_bytes, group_bytes) };
            let rows = &data[group * group_bytes..data.len().min((group + 1) * group_bytes)];
            pack_group(ty, rows, group_bytes / OUTPUTS, packed);
        }
    });
    Ok(())
}

/// Interleaves up to sixteen stored rows.
fn pack_group(ty: QuantType, rows: &[u8], row_bytes: usize, packed: &mut [u8]) {
    if rows.len() < packed.len() {
        packed.fill(0);
    }
    let block = ty.block_bytes();
    for (b, packed) in packed.chunks_exact_mut(OUTPUTS * block).enumerate() {
        for (output, row) in rows.chunks_exact(row_bytes).enumerate() {
            pack_block(fields(ty), &row[b * block..][..block], output, packed);
        }
    }
}

/// Puts one output's block among the sixteen.
fn pack_block(fields: &[Field], block: &[u8], output: usize, packed: &mut [u8]) {
    let mut start = 0;
    for field in fields {
        let size = OUTPUTS * field.width;
        let values = block[field.from..][..field.count * field.width].chunks_exact(field.width);
        for (slot, value) in packed[start..].chunks_exact_mut(size).zip(values) {
            let to = &mut slot[output * field.width..][..field.width];
            to.copy_from_slice(value);
            match field.change {
                Change::None => {}
                Change::Unsigned => to.iter_mut().for_each(|byte| *byte ^= 0x80),
                Change::Quads => gather_quads(to),
            }
        }
        start += size * field.count;
    }
}

/// See [`Change::Quads`].
fn gather_quads(bits: &mut [u8]) {
    let mut gathered = [0_u8; 4];
    for k in 0..32 {
        gathered[k % 4] |= (bits[k / 8] >> (k % 8) & 1) << (k / 4);
    }
    bits.copy_from_slice(&gathered);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_a_whole_block_and_keep_its_size() {
        for ty in QuantType::ALL.into_iter().filter(|&ty| is_packable(ty)) {
            let mut covered = vec![false; ty.block_bytes()];
            for field in fields(ty) {
                for byte in &mut covered[field.from..field.from + field.width * field.count] {
                    assert!(!*byte, "{}: no byte twice", ty.name());
                    *byte = true;
                }
            }
            assert!(covered.iter().all(|&byte| byte), "{}: every byte", ty.name());
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let pool = ComputePool::new(1);
        let mut out = vec![0; packed_len(QuantType::Q4_0, 3, 32).unwrap()];
        assert_eq!(out.len(), 16 * 18);
        assert!(pack(&pool, QuantType::Q4_0, 3, 32, &[0; 54], &mut out).is_ok());
        assert!(pack(&pool, QuantType::Q4_0, 3, 32, &[0; 53], &mut out).is_err());
        assert!(pack(&pool, QuantType::Q4_0, 3, 32, &[0; 54], &mut out[1..]).is_err());
        assert!(pack(&pool, QuantType::Q4_0, 3, 33, &[0; 54], &mut out).is_err());
        assert!(pack(&pool, QuantType::F32, 3, 32, &[0; 384], &mut out).is_err());
        assert!(pack(&pool, QuantType::Q4_0, 0, 32, &[], &mut []).is_ok());
        assert_eq!(packed_len(QuantType::Q4K, usize::MAX, 256), None);
    }
}
