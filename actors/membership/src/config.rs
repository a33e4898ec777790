//! Times and the seed of a membership.

use std::time::Duration;

/// How a membership behaves. All nodes of a cluster should have the same times. Times that would make no sense together
/// are raised: a tick to 10 ms, `suspect` to a tick, `dead` to `suspect`, `dial_first` to 10 ms, `dial_most` to `dial_first`.
#[derive(Clone, Debug, PartialEq)]
pub struct MembershipConfig {
    /// Time between heartbeats on each link.
    pub tick: Duration,
    /// Silence after which a member is suspect. A node that was not run for longer than this has slept, and begins
    /// all silences anew.
    pub suspect: Duration,
    /// Silence after which a member is dead.
    pub dead: Duration,
    /// How silence is judged.
    pub detector: Detector,
    /// Time for a new link after one was ended or reset, before the member is dead. Below the
    /// 50 ms within which a killed process must be seen.
    pub reconnect_grace: Duration,
    /// Time until a failed dial is tried again; it doubles with each failure.
    pub dial_first: Duration,
    /// The longest time between dials, and the time after a refusal.
    pub dial_most: Duration,
    /// Time after which a dial without an answer has failed.
    pub dial_timeout: Duration,
    /// Time between telling all that is known to one member, drawn at random.
    pub gossip: Duration,
    /// Time after which a member that is not alive is forgotten, with its fences.
    pub forget: Duration,
    /// Seed of the jitter of dials and of the draw of members to tell.
    pub seed: u64,
}

/// How silence becomes a verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Detector {
    /// By [`MembershipConfig::suspect`] and [`MembershipConfig::dead`] alone: for wires.
    Fixed,
    /// Phi-accrual (Hayashibara et al. 2004): by how unlikely the silence is after the pauses that came before it; for
    /// Wi-Fi. Phi is -log10 of that likelihood. A member is never dead before [`MembershipConfig::suspect`], and is
    /// judged as by `Fixed` until 8 pauses are known.
    Phi {
        /// The phi from which a member is suspect, for example 3.
        suspect: f64,
        /// The phi from which it is dead, for example 8.
        dead: f64,
        /// How many pauses are remembered, for example 100; at most 1,000 are.
        window: usize,
        /// The least standard deviation to reckon with, so that even pauses do not make it touchy.
        min_deviation: Duration,
    },
}

impl Default for MembershipConfig {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(250),
            suspect: Duration::from_secs(1),
            dead: Duration::from_secs(3),
            detector: Detector::Fixed,
            reconnect_grace: Duration::from_millis(40),
            dial_first: Duration::from_millis(250),
            dial_most: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(5),
            gossip: Duration::from_secs(10),
            forget: Duration::from_secs(3600),
            seed: 0,
        }
    }
}

impl MembershipConfig {
    /// The same without times that contradict each other.
    pub(crate) fn raised(self) -> Self {
        let least = Duration::from_millis(10);
        let tick = self.tick.max(least);
        let suspect = self.suspect.max(tick);
        let dial_first = self.dial_first.max(least);
        Self {
            tick,
            suspect,
            dead: self.dead.max(suspect),
            dial_first,
            dial_most: self.dial_most.max(dial_first),
            dial_timeout: self.dial_timeout.max(least),
            ..self
        }
    }
}
