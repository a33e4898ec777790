//! How many prompt rows a pass may carry, and what passes without any take: learned from passes.
//!
//! Streams that decode share their passes with prompts. A pass with prompt rows may take [`STRETCH`]
//! times as long as one without, so that running streams keep their pace and a prompt gets
//! what is left of it. What a row costs depends on machine, model, path and depth, so it is
//! measured, pass by pass. Which rows share a pass never changes a row's result (INV-K1), so
//! nothing but time depends on these figures.
//!
//! Times are given, not taken: nothing here looks at a clock.

use std::time::Duration;

use crate::model::PrefillRows;
use crate::pace::{MOST_ROWS, Pace};

/// A shared pass may take this many times a pass without prompt rows. Below 2, which is what
/// streams are promised, since estimates err; a prompt then needs `s / (s - 1)` = 2.3 times its
/// time alone.
const STRETCH: f64 = 1.75;
/// Longest pass of prompts alone, in seconds: cancellations and newcomers are seen between passes. Half
/// as long, a model of a gigabyte reads its weights for a tenth of a prompt's time.
const LONGEST: f64 = 0.4;
/// Fewest prompt rows of a pass of prompts alone, and of a shared one.
const FEWEST_ALONE: usize = 32;
const FEWEST_SHARED: usize = 1;
/// After so many shared passes one without prompt rows measures the streams' own pace again.
const REFRESH_AFTER: u32 = 48;
/// Weight of a new pass in an average over the last ones.
const NEWEST: f64 = 0.25;

/// What passes took lately.
pub(super) struct Pacer {
    /// Seconds of a pass without prompt rows, by its number of rows less one; passes of more than
    /// [`MOST_ROWS`] count as these.
    plain: [Option<f64>; MOST_ROWS],
    /// The same of passes with rows of one sequence only.
    single: [Option<f64>; MOST_ROWS],
    /// What a prompt row adds to such a pass.
    added: RowCost,
    /// What a prompt row takes in a pass of prompts alone.
    alone: RowCost,
    shared_passes: u32,
}

/// Seconds per row, an average that gives large passes more weight.
#[derive(Default)]
struct RowCost {
    seconds: f64,
    rows: f64,
}

impl Pacer {
    pub fn new() -> Self {
        Self {
            plain: [None; MOST_ROWS],
            single: [None; MOST_ROWS],
            added: RowCost::default(),
            alone: RowCost::default(),
            shared_passes: 0,
        }
    }

    /// What a pass takes whose rows are all of one sequence.
    pub fn pace(&self) -> Pace {
        Pace::measured((1..).zip(&self.single).filter_map(|(rows, seconds)| Some((rows, (*seconds)?))))
    }

    /// Learns from a pass without prompt rows whose rows were all of one sequence.
    pub fn note_single(&mut self, rows: usize, took: Duration) {
        let took = took.as_secs_f64();
        if let Some(seconds) = rows.checked_sub(1).and_then(|index| self.single.get_mut(index)) {
            *seconds = Some(match *seconds {
                // The one before was held up, as the first is that reads the weights from a disk.
                Some(before) if took * 2.0 < before => took,
                Some(before) => drawn_to(before, took),
                None => took,
            });
        }
    }

    /// Prompt rows for a pass with so many decoding rows. None at times: such a pass tells how
    /// fast the streams are without them.
    pub fn prompt_rows(&self, decoding: usize, most: PrefillRows) -> usize {
        let Some(index) = index_of(decoding) else {
            return self.alone.rows_within(LONGEST).unwrap_or(0).max(FEWEST_ALONE).min(most.alone);
        };
        let Some(plain) = self.plain[index].filter(|_| self.shared_passes < REFRESH_AFTER) else { return 0 };
        let time = plain * (STRETCH - 1.0);
        let rows = self.added.rows_within(time).or_else(|| self.alone.rows_within(time));
        rows.unwrap_or(0).max(FEWEST_SHARED).min(most.shared)
    }

    /// Learns from a pass.
    pub fn note(&mut self, decoding: usize, prompt: usize, took: Duration) {
        let took = took.as_secs_f64();
        let Some(index) = index_of(decoding) else { return self.alone.note(took, prompt) };
        match (self.plain[index], prompt) {
            (before, 0) => {
                self.shared_passes = 0;
                self.plain[index] = Some(before.map_or(took, |before| drawn_to(before, took)));
            }
            (Some(plain), _) => {
                self.shared_passes += 1;
                self.added.note(took - plain, prompt);
            }
            // A prompt's last rows come with its first decoding row, whatever was planned.
            (None, _) => {}
        }
    }
}

fn index_of(decoding: usize) -> Option<usize> {
    decoding.min(MOST_ROWS).checked_sub(1)
}

/// A pass that was held up (another process, a page of the file) counts as half as long again.
fn drawn_to(before: f64, took: f64) -> f64 {
    before + NEWEST * (took.min(1.5 * before) - before)
}

impl RowCost {
    fn note(&mut self, seconds: f64, rows: usize) {
        let rows = rows as f64;
        let seconds = match self.per_row() {
            Some(before) => seconds.clamp(before * rows / 2.0, before * rows * 2.0),
            None if seconds <= 0.0 => return,
            None => seconds,
        };
        self.seconds += seconds - NEWEST * self.seconds;
        self.rows += rows - NEWEST * self.rows;
    }

    fn per_row(&self) -> Option<f64> {
        (self.rows > 0.0).then(|| self.seconds / self.rows)
    }

    fn rows_within(&self, seconds: f64) -> Option<usize> {
        self.per_row().map(|per_row| (seconds / per_row).round() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: PrefillRows = PrefillRows { alone: 256, shared: 256 };

    /// A machine on which a pass takes a base and so much per row, which grows with the depth.
    struct Machine {
        base: f64,
        decode_row: f64,
        prompt_row: f64,
        per_depth: f64,
        passes: usize,
    }

    impl Machine {
        fn pass(&mut self, decoding: usize, prompt: usize, depth: usize) -> f64 {
            let prompt_row = self.prompt_row + self.per_depth * depth as f64;
            let time = self.base + self.decode_row * decoding as f64 + prompt_row * prompt as f64;
            self.passes += 1;
            time * [0.97, 1.02, 1.0, 0.98, 1.03][self.passes % 5]
        }

        /// Times of a prompt's passes, beside so many streams.
        fn prefill(&mut self, pace: &mut Pacer, decoding: usize, tokens: usize) -> Vec<f64> {
            let (mut done, mut times) = (0, Vec::new());
            while done < tokens {
                let rows = pace.prompt_rows(decoding, MOST).min(tokens - done);
                let time = self.pass(decoding, rows, done);
                pace.note(decoding, rows, Duration::from_secs_f64(time));
                done += rows;
                times.push(time);
            }
            times
        }
    }

    fn machines() -> [Machine; 3] {
        let machine = |base, decode_row, prompt_row, per_depth| Machine {
            base,
            decode_row,
            prompt_row,
            per_depth,
            passes: 0,
        };
        [
            machine(0.010, 0.002, 0.002, 5e-7),
            machine(0.03, 0.005, 0.006, 0.0),
            machine(0.002, 2e-4, 1e-4, 1e-7),
        ]
    }

    #[test]
    fn a_long_prompt_neither_holds_streams_up_nor_starves() {
        for mut machine in machines() {
            for streams in [1, 4, 7, 16] {
                let mut pace = Pacer::new();
                let alone: f64 = machine.prefill(&mut pace, 0, 2000).iter().sum();
                let plain: Vec<f64> = (0..9).map(|_| machine.pass(streams, 0, 0)).collect();
                plain.iter().for_each(|&time| pace.note(streams, 0, Duration::from_secs_f64(time)));
                let times = machine.prefill(&mut pace, streams, 2000);
                let plain = plain.iter().sum::<f64>() / 9.0;
                let longest = times.iter().copied().fold(0.0, f64::max);
                assert!(longest <= 2.0 * plain, "{streams} streams: {longest} after {plain}");
                let shared: f64 = times.iter().sum();
                assert!(shared <= 2.5 * alone, "{streams} streams: {shared} against {alone} alone");
            }
        }
    }

    #[test]
    fn a_pass_of_prompts_alone_is_short_enough_to_be_cancelled() {
        let [_, mut slow, mut fast] = machines();
        let mut pace = Pacer::new();
        let times = slow.prefill(&mut pace, 0, 2000);
        assert!(times.iter().all(|&time| time < 0.5), "{times:?}");
        let passes = fast.prefill(&mut Pacer::new(), 0, 2000).len();
        assert!(passes < 12, "a fast machine takes large passes: {passes}");
    }

    #[test]
    fn streams_without_a_measured_pace_are_measured_first() {
        let mut pace = Pacer::new();
        pace.note(0, 64, Duration::from_millis(100));
        assert_eq!(pace.prompt_rows(3, MOST), 0);
        pace.note(3, 0, Duration::from_millis(20));
        assert!(pace.prompt_rows(3, MOST) >= FEWEST_SHARED);
        assert_eq!(pace.prompt_rows(4, MOST), 0, "another number of rows is another pace");
    }

    #[test]
    fn what_a_draft_costs_is_soon_known_and_hardly_disturbed() {
        let mut pacer = Pacer::new();
        for seconds in [2.0, 0.010, 0.011, 0.5, 0.010] {
            pacer.note_single(4, Duration::from_secs_f64(seconds));
        }
        let found = pacer.pace().seconds(4).unwrap_or_default();
        assert!((0.009..0.013).contains(&found), "{found}");
        pacer.note_single(MOST_ROWS + 1, Duration::from_secs(1));
        assert_eq!(pacer.pace().seconds(5), None);
    }

    #[test]
    fn one_disturbed_pass_changes_little() {
        let [mut machine, ..] = machines();
        let mut pace = Pacer::new();
        (0..5).for_each(|_| pace.note(4, 0, Duration::from_secs_f64(machine.pass(4, 0, 0))));
        machine.prefill(&mut pace, 4, 400);
        let before = pace.prompt_rows(4, MOST);
        pace.note(4, before, Duration::from_secs(2));
        let after = pace.prompt_rows(4, MOST);
        assert!(after * 2 > before, "{before} rows before, {after} after");
    }
}
