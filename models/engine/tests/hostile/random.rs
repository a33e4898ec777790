//! Numbers that are the same in every run.

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Random(pub u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    /// A number in place of another: its neighbours, a bit of it flipped, or one that overflows.
    pub fn extreme(&mut self, number: u64) -> u64 {
        match self.below(14) {
            0 => 0,
            1 => 1,
            2 => number.wrapping_add(1),
            3 => number.wrapping_sub(1),
            4 => number.wrapping_mul(2),
            5 => number / 2,
            6 => number ^ 1 << self.below(8),
            7 => u64::MAX >> self.below(64),
            8 => 1 << self.below(64),
            9 => u64::MAX - self.below(64) as u64,
            10..13 => self.below(16) as u64,
            _ => self.bits() >> self.below(64),
        }
    }
}
