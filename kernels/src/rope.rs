//! Rotary position embedding (Su et al. 2021).

use crate::simd::{Kernel, Simd, dispatch};

/// How positions are stretched past the length a model was trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Positions as they are.
    None,
    /// Every position divided by this factor.
    Linear(f64),
    /// Each pair's frequency divided by its own factor (the `rope_freqs` tensor of Llama 3
    /// files): `dim / 2` of them.
    Factors(Vec<f32>),
}

/// The frequencies of one model's rotary embedding. Small: angles are computed for a position
/// when asked for, in `f64`, so there is no table of positions and no largest one.
#[derive(Clone, Debug)]
pub struct RopeTable {
    frequencies: Vec<f64>,
}

impl RopeTable {
    /// Frequencies `base^(-2i / head_dim)` for the pairs `i < head_dim / 2`. For a partial
    /// rotation pass the number of rotated elements.
    ///
    /// # Panics
    ///
    /// When `head_dim` is odd, or [`RopeScaling::Factors`] are not `head_dim / 2` long.
    pub fn new(head_dim: usize, base: f64, scaling: RopeScaling) -> Self {
        assert!(head_dim.is_multiple_of(2), "elements rotate in pairs");
        let pairs = head_dim / 2;
        if let RopeScaling::Factors(factors) = &scaling {
            assert_eq!(factors.len(), pairs, "one factor for each pair");
        }
        let frequencies = (0..pairs).map(|i| {
            let frequency = base.powf(-2.0 * i as f64 / head_dim as f64);
            match &scaling {
                RopeScaling::None => frequency,
                RopeScaling::Linear(factor) => frequency / factor,
                RopeScaling::Factors(factors) => frequency / f64::from(factors[i]),
            }
        });
        Self { frequencies: frequencies.collect() }
    }

    /// The sines and cosines of one position: compute once for a row, use for all its heads and
    /// layers.
    pub fn angles(&self, pos: usize) -> RopeAngles {
        let mut angles = RopeAngles::default();
        self.set_angles(pos, &mut angles);
        angles
    }

    /// [`angles`](Self::angles) in the memory of others.
    pub fn set_angles(&self, pos: usize, angles: &mut RopeAngles) {
        angles.turns.clear();
        angles.turns.extend(self.frequencies.iter().map(|frequency| {
            let (sin, cos) = (pos as f64 * frequency).sin_cos();
            (cos as f32, sin as f32)
        }));
    }

    /// [`RopeAngles::rotate_neox`] for a single head.
    pub fn rotate_neox(&self, pos: usize, head: &mut [f32]) {
        self.angles(pos).rotate_neox(head);
    }

    /// [`RopeAngles::rotate_adjacent`] for a single head.
    pub fn rotate_adjacent(&self, pos: usize, head: &mut [f32]) {
        self.angles(pos).rotate_adjacent(head);
    }
}

/// One position's rotation.
#[derive(Clone, Debug, Default)]
pub struct RopeAngles {
    turns: Vec<(f32, f32)>, // (cos, sin) of each pair
}

impl RopeAngles {
    /// The cosine and sine of each pair, for whoever rotates elsewhere.
    pub fn turns(&self) -> &[(f32, f32)] {
        &self.turns
    }

    /// Rotates the pairs `(i, i + d/2)` of the head's first `d` elements, where `d` is the
    /// table's size: the layout of Qwen, Gemma, Phi and GPT-NeoX files.
    ///
    /// # Panics
    ///
    /// When the head is shorter than `d`.
    pub fn rotate_neox(&self, head: &mut [f32]) {
        let (firsts, rest) = head.split_at_mut(self.turns.len());
        let seconds = &mut rest[..self.turns.len()];
        dispatch(Halves { firsts, seconds, turns: &self.turns });
    }

    /// Rotates the pairs `(2i, 2i + 1)` of the head's first `d` elements: the layout of GGUF
    /// files of the Llama family.
    ///
    /// # Panics
    ///
    /// When the head is shorter than `d`.
    pub fn rotate_adjacent(&self, head: &mut [f32]) {
        let (pairs, _) = head[..2 * self.turns.len()].as_chunks_mut();
        dispatch(Adjacent { pairs, turns: &self.turns });
    }
}

// Plain loops, which the compiler turns into the widest vectors that it may use here.

struct Halves<'a> {
    firsts: &'a mut [f32],
    seconds: &'a mut [f32],
    turns: &'a [(f32, f32)],
}

impl Kernel for Halves<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for ((a, b), turn) in self.firsts.iter_mut().zip(self.seconds).zip(self.turns) {
            (*a, *b) = rotate((*a, *b), *turn);
        }
    }
}

struct Adjacent<'a> {
    pairs: &'a mut [[f32; 2]],
    turns: &'a [(f32, f32)],
}

impl Kernel for Adjacent<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (pair, turn) in self.pairs.iter_mut().zip(self.turns) {
            (pair[0], pair[1]) = rotate((pair[0], pair[1]), *turn);
        }
    }
}

#[inline(always)]
fn rotate((a, b): (f32, f32), (cos, sin): (f32, f32)) -> (f32, f32) {
    (a * cos - b * sin, a * sin + b * cos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_zero_is_the_identity() {
        let table = RopeTable::new(8, 10_000.0, RopeScaling::None);
        let mut head = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        table.rotate_neox(0, &mut head);
        table.rotate_adjacent(0, &mut head);
        assert_eq!(head, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    }

    #[test]
    fn layouts_rotate_their_own_pairs_by_the_same_angles() {
        let table = RopeTable::new(4, 100.0, RopeScaling::None);
        let angle = |i: i32| 3.0 * 100f32.powf(-0.5 * i as f32);
        let mut neox = [1.0, 2.0, 0.0, 0.0, 9.0];
        table.rotate_neox(3, &mut neox);
        let expected = [
            angle(0).cos(),
            2.0 * angle(1).cos(),
            angle(0).sin(),
            2.0 * angle(1).sin(),
            9.0, // past the rotated part
        ];
        for (got, expected) in neox.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
        let mut adjacent = [1.0, 0.0, 2.0, 0.0];
        table.rotate_adjacent(3, &mut adjacent);
        assert_eq!(adjacent, [neox[0], neox[2], neox[1], neox[3]]);
    }

    #[test]
    fn scores_depend_on_the_distance_only() {
        let table = RopeTable::new(64, 1e6, RopeScaling::Linear(4.0));
        let score = |a: usize, b: usize| {
            let mut q: Vec<f32> = (0..64).map(|i| (i as f32).sin()).collect();
            let mut k: Vec<f32> = (0..64).map(|i| (i as f32).cos()).collect();
            table.rotate_neox(a, &mut q);
            table.rotate_neox(b, &mut k);
            q.iter().zip(&k).map(|(q, k)| q * k).sum::<f32>()
        };
        assert!((score(5, 3) - score(30_005, 30_003)).abs() < 1e-3);
        assert!((score(5, 3) - score(9, 3)).abs() > 1e-3);
    }

    #[test]
    fn scaling_divides_positions() {
        let plain = RopeTable::new(4, 100.0, RopeScaling::None);
        let linear = RopeTable::new(4, 100.0, RopeScaling::Linear(2.0));
        let factors = RopeTable::new(4, 100.0, RopeScaling::Factors(vec![2.0, 2.0]));
        let rotated = |table: &RopeTable, pos| {
            let mut head = [1.0, 2.0, 3.0, 4.0];
            table.rotate_neox(pos, &mut head);
            head
        };
        assert_eq!(rotated(&linear, 6), rotated(&plain, 3));
        assert_eq!(rotated(&factors, 6), rotated(&plain, 3));
    }
}
