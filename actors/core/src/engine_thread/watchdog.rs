//! Notices an engine that is alive but does not move.

use std::sync::Arc;
use std::time::Duration;

use super::handle::EngineHandle;

/// Decides whether a heartbeat has stopped. Pure: counts and times come from outside.
#[derive(Debug, Clone)]
pub struct StallDetector {
    limit: Duration,
    last_count: u64,
    moved_at: Duration,
}

impl StallDetector {
    /// Tolerates silence shorter than `limit`.
    pub fn new(limit: Duration, now: Duration) -> Self {
        Self { limit, last_count: 0, moved_at: now }
    }

    /// `true` when there was work and no beat for the whole limit.
    pub fn observe(&mut self, beats: u64, has_work: bool, now: Duration) -> bool {
        if beats != self.last_count || !has_work {
            self.last_count = beats;
            self.moved_at = now;
        }
        now.saturating_sub(self.moved_at) >= self.limit
    }
}

/// Watches until the thread ended or was abandoned. Looks ten times per limit.
pub(crate) async fn watch(handle: Arc<EngineHandle>, mut detector: StallDetector) {
    let period = (detector.limit / 10).clamp(Duration::from_millis(5), Duration::from_millis(500));
    while !handle.has_ended() {
        tokio::time::sleep(period).await;
        if detector.observe(handle.beats(), handle.has_work(), handle.now()) {
            handle.abandon(detector.limit);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_with_work_counts() {
        let s = Duration::from_secs;
        // (beats, has work, seconds) -> stalled
        let table = [
            (vec![(1, true, 1), (1, true, 5)], false),
            (vec![(1, true, 1), (1, true, 6)], true),
            (vec![(1, true, 1), (2, true, 5), (2, true, 9)], false),
            (vec![(1, false, 1), (1, false, 60)], false),
            (vec![(1, false, 60), (1, true, 61), (1, true, 64)], false),
            (vec![(1, false, 60), (1, true, 61), (1, true, 65)], true),
        ];
        for (history, expected) in table {
            let mut detector = StallDetector::new(s(5), s(0));
            let stalled = history.iter().map(|&(beats, work, at)| detector.observe(beats, work, s(at)));
            assert_eq!(stalled.last(), Some(expected), "{history:?}");
        }
    }
}
