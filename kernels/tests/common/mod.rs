//! Random stored weights and activations.
#![allow(dead_code)] // each test file uses its share

use understudy_kernels::QuantType;

/// A small deterministic generator (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between -1 and 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.float()).collect()
    }

    /// Stored weights: random quants, and finite scales of every sign and size.
    pub(crate) fn weights(&mut self, ty: QuantType, elements: usize) -> Vec<u8> {
        let len = ty.row_bytes(elements).expect("whole blocks");
        let mut bytes: Vec<u8> = (0..len).map(|_| self.bits() as u8).collect();
        for block in bytes.chunks_exact_mut(ty.block_bytes()) {
            for &at in half_offsets(ty) {
                block[at + 1] &= 0xbf; // exponent below 16: finite, at most about 2
            }
            match ty {
                QuantType::F32 => block.copy_from_slice(&self.float().to_le_bytes()),
                QuantType::BF16 => block.copy_from_slice(&self.float().to_le_bytes()[2..]),
                _ => {}
            }
        }
        bytes
    }
}

/// Where a block holds half-precision numbers.
fn half_offsets(ty: QuantType) -> &'static [usize] {
    match ty {
        QuantType::F32 | QuantType::BF16 => &[],
        QuantType::F16 | QuantType::Q4_0 | QuantType::Q5_0 | QuantType::Q8_0 => &[0],
        QuantType::Q4_1 | QuantType::Q5_1 | QuantType::Q4K | QuantType::Q5K => &[0, 2],
        QuantType::Q6K => &[208],
    }
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
