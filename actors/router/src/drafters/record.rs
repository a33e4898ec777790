//! What drafts came to, and what the next one is expected to gain.
//!
//! With a probability `a` that a drafted token stands, a draft of `k` brings `(1 - a^(k+1)) / (1 - a)`
//! tokens (Leviathan et al. 2023, section 3.1), for the price of the draft and of a pass with `k + 1`
//! rows. Prices are measured on this model and device: an engine's pass with more rows takes longer,
//! and a drafter that is nearly as slow as its target gains nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use understudy_engine::pace::Pace;

/// What a pass with one more row costs, where that was not measured: a share of a pass with one.
const ASSUMED_ROW: f64 = 0.15;
/// Seconds of a pass, where not even that was measured. Only its ratio to others matters.
const ASSUMED_PASS: f64 = 0.02;
/// Before anything is known, one of two tokens stands; it counts as this many observations.
const PRIOR: f64 = 4.0;
const PRIOR_ACCEPTANCE: f64 = 0.5;
/// Observations older than about this many count little: text changes.
const MEMORY: f64 = 200.0;
/// After so many drafts that were not asked for one is, to see whether that is still right.
const TRY_AGAIN_AFTER: u32 = 64;
/// Pairs of target and drafter remembered. When there are more, all are forgotten.
const PAIRS: usize = 1024;

/// How one drafter's tokens fared with one target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Record {
    stood: f64,
    tried: f64,
    refused: u32,
}

/// All records of a router.
#[derive(Debug, Default)]
pub(crate) struct Records {
    records: Mutex<HashMap<(String, String), Record>>,
}

/// What a draft promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outlook {
    /// How many tokens to draft.
    pub(super) tokens: usize,
    /// Tokens per second with them, in units of those without.
    pub(super) gain: f64,
    /// Probability that a token stands.
    pub(super) acceptance: f64,
}

impl Record {
    /// Probability that a token stands whose predecessors do.
    fn acceptance(&self) -> f64 {
        (self.stood + PRIOR * PRIOR_ACCEPTANCE) / (self.tried + PRIOR)
    }

    /// Whether a draft is to be tried although it promises nothing.
    pub(super) fn is_due(&self) -> bool {
        self.refused >= TRY_AGAIN_AFTER
    }
}

impl Records {
    /// The record of a drafter with a target. Asking counts: see [`Record::is_due`].
    pub(super) fn of(&self, target: &str, drafter: &str) -> Record {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= PAIRS {
            records.clear();
        }
        let record = records.entry((target.to_owned(), drafter.to_owned())).or_default();
        record.refused += 1;
        *record
    }

    /// Notes a draft of which the first `stood` tokens stood.
    pub(super) fn note(&self, target: &str, drafter: &str, drafted: usize, stood: usize) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let record = records.entry((target.to_owned(), drafter.to_owned())).or_default();
        // Tokens after the first that fell say nothing.
        let tried = (stood + usize::from(stood < drafted)) as f64;
        let keep = 1.0 - tried.min(MEMORY) / MEMORY;
        record.stood = record.stood * keep + stood as f64;
        record.tried = record.tried * keep + tried;
        record.refused = 0;
    }
}

/// The best length of a draft, up to `longest`, and what it gains.
pub(super) fn outlook(pace: &Pace, record: Record, seconds_per_token: f64, longest: usize) -> Outlook {
    let acceptance = record.acceptance();
    let one = pace.seconds(1).unwrap_or(ASSUMED_PASS);
    let pass = |rows: usize| pace.seconds(rows).unwrap_or(one * (1.0 + ASSUMED_ROW * (rows as f64 - 1.0)));
    let of_length = |tokens: usize| {
        let expected: f64 = (0..=tokens as i32).map(|n| acceptance.powi(n)).sum();
        let time = seconds_per_token * tokens as f64 + pass(tokens + 1);
        Outlook { tokens, gain: expected * one / time, acceptance }
    };
    let nothing = Outlook { tokens: 1, gain: 0.0, acceptance };
    (1..=longest).map(of_length).fold(nothing, |best, next| if next.gain > best.gain { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stood: f64, tried: f64) -> Record {
        Record { stood, tried, refused: 0 }
    }

    /// A processor on which eight rows take as long as two passes.
    fn processor() -> Pace {
        Pace::measured([(1, 0.030), (4, 0.037), (8, 0.070), (16, 0.130)])
    }

    #[test]
    fn sure_drafts_are_long_and_doubtful_ones_short() {
        let long = outlook(&processor(), record(190.0, 192.0), 0.0, 15);
        let short = outlook(&processor(), record(60.0, 100.0), 0.0, 15);
        assert!(long.tokens >= 6 && long.gain > 2.5, "{long:?}");
        assert!((1..=3).contains(&short.tokens) && (1.05..2.2).contains(&short.gain), "{short:?}");
    }

    #[test]
    fn a_drafter_half_as_slow_as_its_target_does_not_pay() {
        // The 0.5B draft for the 1.5B on a processor: 77 % stand, and yet it is slower.
        let slow = outlook(&processor(), record(77.0, 100.0), 0.015, 15);
        assert!(slow.gain < 1.2, "{slow:?}");
        let hopeless = outlook(&processor(), record(5.0, 100.0), 0.004, 15);
        assert!(hopeless.gain < 1.0, "{hopeless:?}");
    }

    #[test]
    fn what_was_given_up_is_tried_again() {
        let records = Records::default();
        records.note("big", "small", 8, 0);
        let due = (1..=TRY_AGAIN_AFTER).find(|_| records.of("big", "small").is_due());
        assert_eq!(due, Some(TRY_AGAIN_AFTER));
        records.note("big", "small", 8, 8);
        assert!(!records.of("big", "small").is_due());
    }

    #[test]
    fn tokens_behind_the_first_that_fell_say_nothing() {
        let records = Records::default();
        records.note("big", "small", 8, 2);
        let record = records.of("big", "small");
        assert_eq!((record.stood, record.tried), (2.0, 3.0));
        (0..100).for_each(|_| records.note("big", "small", 4, 4));
        assert!(records.of("big", "small").acceptance() > 0.95, "the past fades");
    }
}
