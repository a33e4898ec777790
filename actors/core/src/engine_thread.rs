//! A dedicated OS thread that owns an engine.
//!
//! | module | part |
//! |---|---|
//! | [`handle`] | what everyone else holds: verbs, permits, figures, stopping |
//! | `inbox` | the bounded way in |
//! | `replies` | the way out; shared with the watchdog, so that a hung thread holds nobody |
//! | `worker` | the loop: police requests, tick, deliver |
//! | `sequences` | who owns which sequence, leases and permits |
//! | [`watchdog`] | notices an engine that is alive but does not move |

pub mod handle;
mod inbox;
mod replies;
mod sequences;
pub mod watchdog;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use understudy_backend::NodeId;

use crate::clock::{Clock, SystemClock};
use crate::health::NodeHealth;

pub use handle::EngineHandle;
pub(crate) use worker::misanswered;

/// Commands that wait for the engine thread. A sequence has one verb in flight, so with 16
/// sequences this is never reached by honest callers; when it is full a verb fails at once
/// with `Overloaded`.
pub const INBOX_CAPACITY: usize = 256;

/// How an engine thread is run.
#[derive(Clone)]
pub struct EngineConfig {
    /// Model, for errors and logs.
    pub model: String,
    /// This node.
    pub node: NodeId,
    /// Open sequences at most; each holds a permit.
    pub max_sequences: usize,
    /// Requests that may wait for a permit; the next one fails with `Overloaded` at once.
    pub queue_capacity: usize,
    /// A sequence that no verb used this long is closed.
    pub lease: Duration,
    /// An engine with work that does not beat this long is abandoned.
    pub stall_limit: Duration,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where zombies are counted.
    pub health: Arc<NodeHealth>,
}

impl EngineConfig {
    /// 16 sequences, 64 waiting, leases of 120 s, abandoned after 5 s without a beat.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            node: NodeId::default(),
            max_sequences: 16,
            queue_capacity: 64,
            lease: Duration::from_secs(120),
            stall_limit: Duration::from_secs(5),
            clock: Arc::new(SystemClock::default()),
            health: Arc::new(NodeHealth::default()),
        }
    }
}

/// How an engine thread ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineExit {
    /// It was told to.
    Stopped,
    /// The engine panicked.
    Panicked(String),
    /// It did not move for this long and was abandoned.
    Stalled(Duration),
}

impl std::fmt::Display for EngineExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("it was stopped"),
            Self::Panicked(why) => write!(f, "it panicked: {why}"),
            Self::Stalled(limit) => write!(f, "it made no progress for {limit:?}"),
        }
    }
}
