//! Whether this process should go on.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// What the binary should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthSignal {
    /// Serve.
    Serving,
    /// Stop admitting, finish what runs, exit; the service manager starts a fresh process.
    DrainAndExit {
        /// Why, for people.
        why: String,
    },
}

/// This many abandoned threads alive at once are more than a process should carry.
pub const ZOMBIE_LIMIT: usize = 2;

/// The process's health: counts zombies (abandoned engine threads that still run) and
/// tells whoever listens when to leave. A call to leave is never taken back.
#[derive(Debug)]
pub struct NodeHealth {
    zombies: AtomicUsize,
    signal: watch::Sender<HealthSignal>,
}

impl Default for NodeHealth {
    fn default() -> Self {
        Self { zombies: AtomicUsize::new(0), signal: watch::Sender::new(HealthSignal::Serving) }
    }
}

impl NodeHealth {
    /// The signal, now and later.
    pub fn subscribe(&self) -> watch::Receiver<HealthSignal> {
        self.signal.subscribe()
    }

    /// Abandoned threads that still run.
    pub fn zombies(&self) -> usize {
        self.zombies.load(Ordering::SeqCst)
    }

    /// Asks the process to leave. The first reason stands.
    pub fn drain_and_exit(&self, why: impl Into<String>) {
        let why = why.into();
        self.signal.send_if_modified(|signal| {
            let first = *signal == HealthSignal::Serving;
            if first {
                tracing::error!(why, "draining and exiting");
                *signal = HealthSignal::DrainAndExit { why };
            }
            first
        });
    }

    pub(crate) fn zombie_born(&self) {
        let alive = self.zombies.fetch_add(1, Ordering::SeqCst) + 1;
        if alive >= ZOMBIE_LIMIT {
            self.drain_and_exit(format!("{alive} abandoned engine threads still run"));
        }
    }

    pub(crate) fn zombie_gone(&self) {
        self.zombies.fetch_sub(1, Ordering::SeqCst);
    }
}
