//! What constraints cost and whether they keep their promises, on cases of one's own.
//!
//! | module | what it finds out |
//! |---|---|
//! | [`judge`] | which patterns compile, how samples are judged, what compiling and masks take |
//! | [`complete`] | whether a text that was cut somewhere is completed within any sufficient budget |
//! | [`optimum`] | the fewest tokens that a text can have |
//! | [`exact`] | whether masks equal trying each token byte by byte |
//!
//! Nothing here reads files: cases are given. Random choices come from a seed, so every run of the
//! same cases does the same.

pub mod complete;
pub mod exact;
pub mod judge;
pub mod optimum;

use std::time::Duration;

use crate::{Pattern, TokenId};

/// A pattern and texts to try with it.
#[derive(Debug, Clone)]
pub struct Case {
    /// What reports call it.
    pub name: String,
    /// The pattern.
    pub pattern: Pattern,
    /// Texts and whether the pattern should take them.
    pub samples: Vec<Sample>,
}

/// A text, and whether the pattern should take it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The text as a model would write it.
    pub tokens: Vec<TokenId>,
    /// Whether it is valid.
    pub valid: bool,
}

/// Durations, sorted.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The duration that the `share`th part of them does not exceed, in microseconds; 0 of none.
    pub fn quantile_us(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let index = ((last as f64) * share.clamp(0.0, 1.0)).ceil() as usize;
        self.0.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}

/// Random numbers that a seed decides (SplitMix64; Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `count`; 0 where that is 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }
}

/// The `index`th allowed token, counted from 0.
pub(crate) fn nth_allowed(mask: &[u32], mut index: usize) -> Option<TokenId> {
    for (at, word) in mask.iter().enumerate() {
        let here = word.count_ones() as usize;
        if index < here {
            let mut word = *word;
            (0..index).for_each(|_| word &= word - 1);
            return Some(at as TokenId * 32 + word.trailing_zeros());
        }
        index -= here;
    }
    None
}

/// How many tokens a mask allows.
pub(crate) fn count_allowed(mask: &[u32]) -> usize {
    mask.iter().map(|word| word.count_ones() as usize).sum()
}
