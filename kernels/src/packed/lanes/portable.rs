//! Sixteen outputs on plain arrays: the definition of every operation.

use super::{Lanes, OUTPUTS};

#[derive(Clone, Copy)]
pub(crate) struct Portable;

fn each<T: Copy + Default>(f: impl Fn(usize) -> T) -> [T; OUTPUTS] {
    std::array::from_fn(f)
}

impl Lanes for Portable {
    const COUNT: usize = OUTPUTS;
    const TILE: usize = 2;
    type I = [u32; OUTPUTS];
    type F = [f32; OUTPUTS];

    fn fetch(self, _: *const u8) {}
    fn units(self, from: &[u8; 4 * OUTPUTS], _: usize) -> Self::I {
        let (units, _) = from.as_chunks::<4>();
        each(|o| u32::from_le_bytes(units[o]))
    }
    fn halves(self, from: &[u8; 2 * OUTPUTS], _: usize) -> Self::F {
        let (halves, _) = from.as_chunks::<2>();
        each(|o| crate::simd::half_to_single(u16::from_le_bytes(halves[o])))
    }
    fn signed(self, from: &[u8; OUTPUTS], _: usize) -> Self::F {
        each(|o| f32::from(from[o] as i8))
    }
    fn field(self, units: Self::I, shift: u32, mask: u32) -> Self::I {
        units.map(|unit| (unit >> shift) & mask)
    }
    fn raised(self, units: Self::I, shift: u32, mask: u32) -> Self::I {
        units.map(|unit| (unit << shift) & mask)
    }
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        each(|o| a[o] | b[o])
    }
    fn times128(self, units: Self::I) -> Self::I {
        units.map(|unit| unit << 7)
    }
    fn zero(self) -> Self::I {
        [0; OUTPUTS]
    }

    fn floats(self, units: Self::I) -> Self::F {
        units.map(|unit| unit as i32 as f32)
    }
    fn splat(self, value: f32) -> Self::F {
        [value; OUTPUTS]
    }
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each(|o| a[o] * b[o])
    }
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each(|o| a[o].mul_add(b[o], c[o]))
    }
    fn store(self, value: Self::F, to: &mut [f32]) {
        to[..OUTPUTS].copy_from_slice(&value);
    }

    fn dots<const N: usize, const R: usize>(
        self,
        _: u32,
        w: &[Self::I; N],
        x: &[i32],
        stride: usize,
        mut sums: [Self::I; R],
    ) -> [Self::I; R] {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (j, units) in w.iter().enumerate() {
                let quad = x[r * stride + j].to_le_bytes();
                for (i, x) in quad.into_iter().enumerate() {
                    let x = i32::from(x as i8) as u32;
                    // Over outputs innermost, so that the compiler makes vectors of it.
                    for (sum, unit) in sums.iter_mut().zip(units) {
                        *sum = sum.wrapping_add((unit >> (8 * i) & 0xff).wrapping_mul(x));
                    }
                }
            }
        }
        sums
    }
}
