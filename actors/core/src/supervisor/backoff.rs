//! How long to wait before a restart.

use std::time::Duration;

/// Exponential waiting with jitter.
///
/// Strike `n` (1, 2, ..) waits `first * 2^(n-1)`, at most `most`, less up to `jitter` of
/// it. Jitter is a function of seed and strike, so that a run can be repeated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Wait after the first failure.
    pub first: Duration,
    /// Longest wait.
    pub most: Duration,
    /// Share of the wait that is random, in 0..=1.
    pub jitter: f64,
    /// A child that ran this long is forgiven its strikes.
    pub healthy_after: Duration,
}

impl Default for Backoff {
    /// 0.2 s to 30 s, a fifth of it random, forgiven after a minute.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            most: Duration::from_secs(30),
            jitter: 0.2,
            healthy_after: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The wait before restart number `strike`.
    pub fn delay(&self, strike: u32, seed: u64) -> Duration {
        let doublings = strike.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.most);
        let random = unit(splitmix64(seed ^ u64::from(strike).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        full.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * random)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a bijective mix of 64 bits.
fn splitmix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Uniform in 0..1 from the upper 53 bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
