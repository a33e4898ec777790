//! Wide vectors as two of eight lanes.

use super::{Floats, Simd, WIDE, Wide};

/// Sixteen lanes on vectors of eight.
#[derive(Clone, Copy)]
pub(super) struct Twice<S>(pub(super) S);

impl<S: Simd> Floats for Twice<S> {
    type F = [S::F; 2];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [self.0.splat(value); 2]
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        [self.0.add(a[0], b[0]), self.0.add(a[1], b[1])]
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        [self.0.mul(a[0], b[0]), self.0.mul(a[1], b[1])]
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        [self.0.div(a[0], b[0]), self.0.div(a[1], b[1])]
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        [self.0.fma(a[0], b[0], c[0]), self.0.fma(a[1], b[1], c[1])]
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        [self.0.max(a[0], b[0]), self.0.max(a[1], b[1])]
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        [self.0.min(a[0], b[0]), self.0.min(a[1], b[1])]
    }
    #[inline(always)]
    fn zero_where_less(self, a: Self::F, b: Self::F, value: Self::F) -> Self::F {
        [self.0.zero_where_less(a[0], b[0], value[0]), self.0.zero_where_less(a[1], b[1], value[1])]
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        [self.0.round(a[0]), self.0.round(a[1])]
    }
    #[inline(always)]
    fn exp2_whole(self, a: Self::F) -> Self::F {
        [self.0.exp2_whole(a[0]), self.0.exp2_whole(a[1])]
    }
}

impl<S: Simd> Wide for Twice<S> {
    const TILE: usize = 1;

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        self.0.prefetch(address);
    }

    #[inline(always)]
    fn load(self, from: &[f32; WIDE]) -> Self::F {
        let (halves, _) = from.as_chunks();
        [self.0.load(&halves[0]), self.0.load(&halves[1])]
    }
    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; WIDE]) {
        let (halves, _) = to.as_chunks_mut();
        self.0.store(value[0], &mut halves[0]);
        self.0.store(value[1], &mut halves[1]);
    }
    #[inline(always)]
    fn splat_fours(self, from: &[f32; 4]) -> Self::F {
        [self.0.splat_fours(from); 2]
    }
    #[inline(always)]
    fn sum_fours(self, [a, b, c, d]: [Self::F; 4]) -> Self::F {
        [self.0.sum_fours([a[0], b[0], c[0], d[0]]), self.0.sum_fours([a[1], b[1], c[1], d[1]])]
    }
    #[inline(always)]
    fn max_fours(self, a: Self::F) -> Self::F {
        [self.0.max_fours(a[0]), self.0.max_fours(a[1])]
    }
}
