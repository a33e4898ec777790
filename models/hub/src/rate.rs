//! Speed and time left, from byte counts.

use std::time::{Duration, Instant};

/// Seconds over which the speed is averaged: long enough to read, short enough to follow a change.
const MEMORY_SECONDS: f64 = 4.0;

/// An exponentially weighted mean of the speed, weighted by time and not by the number of reports.
///
/// The first report only sets where counting starts, so that resumed bytes are no speed.
///
/// ```
/// use std::time::{Duration, Instant};
/// use understudy_hub::Rate;
///
/// let (start, mut rate) = (Instant::now(), Rate::default());
/// rate.observe(start, 500);
/// rate.observe(start + Duration::from_secs(2), 2500);
/// assert_eq!(rate.bytes_per_second(), Some(1000.0));
/// assert_eq!(rate.time_left(2500, 7500), Some(Duration::from_secs(5)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Rate {
    last: Option<(Instant, u64)>,
    speed: Option<f64>,
}

impl Rate {
    /// Takes a report: `done` bytes were in at `now`. A count that went back starts anew.
    pub fn observe(&mut self, now: Instant, done: u64) {
        let Some((before, had)) = self.last else {
            self.last = Some((now, done));
            return;
        };
        if done < had {
            *self = Self { last: Some((now, done)), speed: None };
            return;
        }
        let seconds = now.saturating_duration_since(before).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let current = (done - had) as f64 / seconds;
        let weight = 1.0 - (-seconds / MEMORY_SECONDS).exp();
        self.speed = Some(self.speed.map_or(current, |mean| mean + weight * (current - mean)));
        self.last = Some((now, done));
    }

    /// Bytes per second; nothing before the second report.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.speed
    }

    /// Time until `total` bytes are in at this speed; nothing while it is unknown or (nearly) zero.
    pub fn time_left(&self, done: u64, total: u64) -> Option<Duration> {
        let speed = self.speed.filter(|speed| *speed >= 1.0)?;
        Duration::try_from_secs_f64(total.saturating_sub(done) as f64 / speed).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_steady_speed_is_found_whatever_the_reports(steps in prop::collection::vec(1u64..5000, 1..40), speed in 1u64..1000) {
            let start = Instant::now();
            let mut rate = Rate::default();
            let mut millis = 0;
            rate.observe(start, 0);
            for step in steps {
                millis += step;
                rate.observe(start + Duration::from_millis(millis), millis * speed);
            }
            let found = rate.bytes_per_second().unwrap();
            let expected = speed as f64 * 1000.0;
            prop_assert!((found - expected).abs() < expected * 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn a_stall_shows_within_seconds() {
        let start = Instant::now();
        let mut rate = Rate::default();
        rate.observe(start, 0);
        rate.observe(start + Duration::from_secs(1), 1_000_000);
        for second in 2..20 {
            rate.observe(start + Duration::from_secs(second), 1_000_000);
        }
        assert!(rate.bytes_per_second().unwrap() < 20_000.0);
    }

    #[test]
    fn a_new_start_forgets_the_old_speed() {
        let start = Instant::now();
        let mut rate = Rate::default();
        rate.observe(start, 5_000);
        rate.observe(start + Duration::from_secs(1), 9_000);
        rate.observe(start + Duration::from_secs(2), 0);
        assert_eq!(rate.bytes_per_second(), None);
        assert_eq!(rate.time_left(0, 10), None);
    }
}
