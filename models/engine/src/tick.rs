//! The engine as its owner sees it: submit verbs, tick, read events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::pace::Pace;
use crate::verbs::{Cost, JobEvent, JobId, Verb};

/// A counter that an engine raises at every layer of a forward pass. Whoever watches it
/// sees an engine that is alive but not moving.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// One more step of progress.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Beats so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// There was work; tick again.
    Worked,
    /// Every job is finished or paused; wait for a submission.
    Idle,
}

/// Counters since the engine started.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EngineStats {
    /// Open sequences.
    pub sequences: usize,
    /// Jobs not yet done.
    pub jobs: usize,
    /// KV pages in use and in all.
    pub kv_pages_used: usize,
    /// KV pages in all.
    pub kv_pages_total: usize,
    /// Bytes of one.
    pub kv_page_bytes: u64,
    /// Forward passes, each once whoever had rows in it.
    pub passes: u64,
    /// Sum of the cost of all jobs.
    pub total: Cost,
    /// What passes waited for masks.
    pub masks: MaskStats,
}

/// What passes waited for masks, which are made while they compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MaskStats {
    /// Passes with masks.
    pub passes: u64,
    /// Of them, those that waited for longer than 50 microseconds.
    pub late: u64,
    /// The sum of all waits.
    pub waited: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl MaskStats {
    /// Longest wait that nobody notices: a step takes hundreds of times as long.
    const LATE: Duration = Duration::from_micros(50);

    pub(crate) fn note(&mut self, wait: Duration) {
        self.passes += 1;
        self.late += u64::from(wait > Self::LATE);
        self.waited += wait;
        self.longest = self.longest.max(wait);
    }
}

/// A synchronous engine with a single owner. It never blocks on anything but arithmetic,
/// knows no channel, and answers each submitted job with exactly one [`JobEvent::Done`].
pub trait TickEngine {
    /// Queues a verb. Refusals arrive as `Done` events at the next tick.
    fn submit(&mut self, job: JobId, verb: Verb);

    /// Ends a job as soon as possible: a run stops with `StopReason::Cancelled`, any other
    /// verb fails with `Cancelled`. Unknown and finished jobs are ignored.
    fn cancel(&mut self, job: JobId);

    /// A paused run is left out of batches until resumed: its reader is slow.
    fn set_paused(&mut self, job: JobId, paused: bool);

    /// At most one batched forward pass. Appends what happened to `events`.
    fn tick(&mut self, events: &mut Vec<(JobId, JobEvent)>) -> Tick;

    /// Counters.
    fn stats(&self) -> EngineStats;

    /// What passes took lately; unknown for an engine that does not decode.
    fn pace(&self) -> Pace {
        Pace::default()
    }
}
