//! From silence to a verdict.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::{Detector, MembershipConfig};
use crate::ids::Now;

/// Fewer pauses say too little of how they vary.
const FEWEST_PAUSES: usize = 8;
const MOST_PAUSES: usize = 1_000;

/// What silence says of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Alive,
    Suspect,
    Dead,
}

/// When a member was last heard, and the pauses before that.
pub(crate) struct Silence {
    heard: Now,
    beat: Option<Now>,
    pauses: VecDeque<f64>,
}

impl Silence {
    pub(crate) fn new(now: Now) -> Self {
        Self { heard: now, beat: None, pauses: VecDeque::new() }
    }

    pub(crate) fn heard_at(&self) -> Now {
        self.heard
    }

    /// Something was heard.
    pub(crate) fn heard(&mut self, now: Now) {
        self.heard = self.heard.max(now);
    }

    /// A heartbeat was heard: its pause is remembered where the detector asks for it.
    pub(crate) fn beat(&mut self, now: Now, config: &MembershipConfig) {
        let Detector::Phi { window, .. } = config.detector else { return };
        if let Some(beat) = self.beat.replace(now) {
            // A pause that ended in death says nothing of those of a living member.
            self.pauses.push_back(now.since(beat).min(config.dead).as_secs_f64());
        }
        while self.pauses.len() > window.clamp(1, MOST_PAUSES) {
            self.pauses.pop_front();
        }
    }

    /// A link ended: the time until the next one is no pause.
    pub(crate) fn link_ended(&mut self) {
        self.beat = None;
    }

    pub(crate) fn verdict(&self, now: Now, config: &MembershipConfig) -> Verdict {
        let silent = now.since(self.heard);
        match config.detector {
            Detector::Phi { suspect, dead, min_deviation, .. } if self.pauses.len() >= FEWEST_PAUSES => {
                let phi = self.phi(silent, min_deviation);
                if phi >= dead && silent >= config.suspect {
                    Verdict::Dead
                } else if phi >= suspect {
                    Verdict::Suspect
                } else {
                    Verdict::Alive
                }
            }
            _ if silent >= config.dead => Verdict::Dead,
            _ if silent >= config.suspect => Verdict::Suspect,
            _ => Verdict::Alive,
        }
    }

    /// -log10 of the likelihood of so long a silence, if pauses are spread normally. The tail is
    /// that of the logistic curve which follows the normal one to within 0.02 %.
    fn phi(&self, silent: Duration, min_deviation: Duration) -> f64 {
        let count = self.pauses.len() as f64;
        let mean = self.pauses.iter().sum::<f64>() / count;
        let variance = self.pauses.iter().map(|pause| (pause - mean).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt().max(min_deviation.as_secs_f64()).max(1e-3);
        let distance = (silent.as_secs_f64() - mean) / deviation;
        let exponent = distance * (1.5976 + 0.070_566 * distance * distance);
        // -log10(1 / (1 + e^x)); beyond 700 e^x would overflow, and the 1 has long not mattered.
        if exponent > 700.0 { exponent / std::f64::consts::LN_10 } else { (1.0 + exponent.exp()).log10() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_pauses(pauses: &[u64], config: &MembershipConfig) -> (Silence, Now) {
        let mut now = Now::default();
        let mut silence = Silence::new(now);
        silence.beat(now, config);
        for pause in pauses {
            now = now.after(Duration::from_millis(*pause));
            silence.heard(now);
            silence.beat(now, config);
        }
        (silence, now)
    }

    /// INV-M6: steady members are suspected early and never dead before `suspect`, jittery ones get more time.
    #[test]
    fn phi_follows_the_pauses() {
        let detector =
            Detector::Phi { suspect: 3.0, dead: 8.0, window: 50, min_deviation: Duration::from_millis(50) };
        let config = MembershipConfig { detector, ..MembershipConfig::default() };
        let steady = [250u64; 40];
        let jittery: Vec<u64> = (0..40).map(|index| if index % 4 == 0 { 1400 } else { 100 }).collect();
        let few = [250u64; 4];
        let cases: [(&str, &[u64], u64, Verdict); 9] = [
            ("steady", &steady, 300, Verdict::Alive),
            ("steady", &steady, 600, Verdict::Suspect),
            ("steady", &steady, 999, Verdict::Suspect),
            ("steady", &steady, 1001, Verdict::Dead),
            ("jittery", &jittery, 1500, Verdict::Alive),
            ("jittery", &jittery, 3000, Verdict::Suspect),
            ("jittery", &jittery, 12_000, Verdict::Dead),
            ("few, so fixed", &few, 2900, Verdict::Suspect),
            ("few, so fixed", &few, 3000, Verdict::Dead),
        ];
        for (name, pauses, silent, expected) in cases {
            let (silence, last) = after_pauses(pauses, &config);
            let verdict = silence.verdict(last.after(Duration::from_millis(silent)), &config);
            assert_eq!(verdict, expected, "{name}, silent for {silent} ms");
        }
    }
}
