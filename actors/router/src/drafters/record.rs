//! What drafts came to, and what the next one is expected to gain.
//!
//! With a probability `a` that a drafted token stands, a draft of `k` brings `(1 - a^(k+1)) / (1 - a)`
//! tokens (Leviathan et al. 2023, section 3.1), for the price of the draft and of a pass with `k + 1`
//! rows. A drafter on another node is paid for the way there and back too, once for each draft. Prices are
//! measured on this model and device: an engine's pass with more rows takes longer, and a drafter that is
//! nearly as slow as its target gains nothing.

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
/// After so many drafts that were not asked for one is, to see whether that is still right. Each trial
/// that comes out the same doubles the wait.
const TRY_AGAIN_AFTER: u32 = 64;
/// The wait is doubled so often at most: to 4,096.
const MOST_DOUBLINGS: u32 = 6;
/// Pairs of target and drafter remembered. When there are more, all are forgotten.
const PAIRS: usize = 1024;

/// What a draft takes, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Price {
    /// However many tokens it has.
    pub(crate) per_draft: f64,
    pub(crate) per_token: f64,
}

/// How one drafter's tokens fared with one target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Record {
    stood: f64,
    tried: f64,
    /// What its drafts took lately; nothing before the first, which is tried then.
    price: Price,
    /// Drafts that were not asked for since the last one.
    refused: u32,
    /// Trials in a row that changed nothing.
    trials: u32,
}

/// What became of a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) drafted: usize,
    pub(super) stood: usize,
    pub(super) price: Price,
    /// It was asked for although nothing was expected of it.
    pub(super) on_trial: bool,
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
        self.refused >= TRY_AGAIN_AFTER << self.trials.min(MOST_DOUBLINGS)
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

    /// Notes a draft of which the first `stood` tokens stood. An empty one counts as one that fell: it
    /// was paid for and brought nothing.
    pub(super) fn note(&self, target: &str, drafter: &str, draft: Outcome) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let record = records.entry((target.to_owned(), drafter.to_owned())).or_default();
        let Outcome { drafted, stood, price, on_trial } = draft;
        // Tokens after the first that fell say nothing.
        let tried = (stood + usize::from(stood < drafted.max(1))) as f64;
        let keep = 1.0 - tried.min(MEMORY) / MEMORY;
        record.stood = record.stood * keep + stood as f64;
        record.tried = record.tried * keep + tried;
        record.price = price;
        record.refused = 0;
        record.trials = if on_trial { record.trials + 1 } else { 0 };
    }
}

/// The best length of a draft, up to `longest`, and what it gains.
pub(super) fn outlook(pace: &Pace, record: Record, longest: usize) -> Outlook {
    let acceptance = record.acceptance();
    let one = pace.seconds(1).unwrap_or(ASSUMED_PASS);
    let pass = |rows: usize| pace.seconds(rows).unwrap_or(one * (1.0 + ASSUMED_ROW * (rows as f64 - 1.0)));
    let of_length = |tokens: usize| {
        let expected: f64 = (0..=tokens as i32).map(|n| acceptance.powi(n)).sum();
        let Price { per_draft, per_token } = record.price;
        let time = per_draft + per_token * tokens as f64 + pass(tokens + 1);
        Outlook { tokens, gain: expected * one / time, acceptance }
    };
    let nothing = Outlook { tokens: 1, gain: 0.0, acceptance };
    (1..=longest).map(of_length).fold(nothing, |best, next| if next.gain > best.gain { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stood: f64, tried: f64, per_token: f64) -> Record {
        Record { stood, tried, price: Price { per_draft: 0.0, per_token }, ..Record::default() }
    }

    fn outcome(drafted: usize, stood: usize) -> Outcome {
        Outcome { drafted, stood, price: Price { per_draft: 0.0, per_token: 0.01 }, on_trial: false }
    }

    /// A processor on which eight rows take as long as two passes.
    fn processor() -> Pace {
        Pace::measured([(1, 0.030), (4, 0.037), (8, 0.070), (16, 0.130)])
    }

    #[test]
    fn sure_drafts_are_long_and_doubtful_ones_short() {
        let long = outlook(&processor(), record(190.0, 192.0, 0.0), 15);
        let short = outlook(&processor(), record(60.0, 100.0, 0.0), 15);
        assert!(long.tokens >= 6 && long.gain > 2.5, "{long:?}");
        assert!((1..=3).contains(&short.tokens) && (1.05..2.2).contains(&short.gain), "{short:?}");
    }

    #[test]
    fn a_drafter_half_as_slow_as_its_target_does_not_pay() {
        // The 0.5B draft for the 1.5B on a processor: 77 % stand, and yet it is slower.
        let slow = outlook(&processor(), record(77.0, 100.0, 0.015), 15);
        assert!(slow.gain < 1.2, "{slow:?}");
        let hopeless = outlook(&processor(), record(5.0, 100.0, 0.004), 15);
        assert!(hopeless.gain < 1.0, "{hopeless:?}");
    }

    #[test]
    fn a_drafter_far_away_pays_by_long_drafts() {
        let target = Pace::measured([(1, 0.020), (8, 0.025)]);
        let fares = |price| Record { price, ..record(900.0, 1000.0, 0.0) };
        let far = outlook(&target, fares(Price { per_draft: 0.020, per_token: 0.001 }), 7);
        assert!(far.tokens == 7 && (2.1..2.3).contains(&far.gain), "{far:?}");
        let near = outlook(&target, fares(Price { per_draft: 0.0, per_token: 0.001 }), 7);
        assert!(near.gain > 3.0, "{near:?}");
        let each = outlook(&target, fares(Price { per_draft: 0.0, per_token: 0.021 }), 7);
        assert!(each.gain < 1.05, "as if each token went there and back: {each:?}");
        let too_far = outlook(&target, fares(Price { per_draft: 0.100, per_token: 0.001 }), 7);
        assert!(too_far.gain < 1.0, "{too_far:?}");
    }

    #[test]
    fn what_was_given_up_is_tried_again_ever_more_rarely() {
        let records = Records::default();
        let due = || (1..=1_000_000).find(|_| records.of("big", "small").is_due());
        records.note("big", "small", outcome(8, 0));
        assert_eq!(due(), Some(64));
        let in_vain = Outcome { on_trial: true, ..outcome(8, 0) };
        for after in [128, 256, 512, 1024, 2048, 4096, 4096] {
            records.note("big", "small", in_vain);
            assert_eq!(due(), Some(after));
        }
        records.note("big", "small", outcome(8, 8));
        assert_eq!(due(), Some(64), "one that paid begins anew");
    }

    #[test]
    fn the_pace_of_a_drafter_outlives_its_answer() {
        let records = Records::default();
        let price = Price { per_draft: 0.0, per_token: 0.030 };
        records.note("big", "slow", Outcome { price, ..outcome(4, 3) });
        let next = outlook(&processor(), records.of("big", "slow"), 15);
        assert!(next.gain < 1.0, "{next:?}");
    }

    #[test]
    fn a_drafter_without_a_word_to_say_is_given_up() {
        let records = Records::default();
        (0..20).for_each(|_| records.note("big", "silent", outcome(0, 0)));
        assert!(outlook(&processor(), records.of("big", "silent"), 15).gain < 1.05);
    }

    #[test]
    fn tokens_behind_the_first_that_fell_say_nothing() {
        let records = Records::default();
        records.note("big", "small", outcome(8, 2));
        let record = records.of("big", "small");
        assert_eq!((record.stood, record.tried), (2.0, 3.0));
        (0..100).for_each(|_| records.note("big", "small", outcome(4, 4)));
        assert!(records.of("big", "small").acceptance() > 0.95, "the past fades");
    }
}
