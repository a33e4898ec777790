//! Where answers go.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};
use understudy_backend::{BackendError, RunEvent};
use understudy_engine::verbs::{Cost, JobId, Outcome};

/// A verb's answer and its cost.
pub(super) type Answer = Result<(Outcome, Cost), BackendError>;
pub(super) type RunItem = Result<RunEvent, BackendError>;

pub(super) enum Reply {
    Once(oneshot::Sender<Answer>),
    /// Capacity `RUN_CHANNEL_CAPACITY`; when full, the run is paused.
    Run(mpsc::Sender<RunItem>),
}

/// What became of a run's event.
pub(super) enum Delivery {
    Done,
    /// The reader is behind; the event comes back.
    Full(RunItem),
    /// Nobody listens.
    Gone,
}

/// The only place that holds reply senders. The thread borrows them for an instant; the
/// watchdog can fail all of them while the thread hangs.
#[derive(Default)]
pub(super) struct Replies {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: HashMap<JobId, Reply>,
    lost: Option<BackendError>,
}

impl Replies {
    /// Refused with the cause once the engine is lost.
    pub(super) fn register(&self, job: JobId, reply: Reply) -> Result<(), BackendError> {
        let mut table = self.lock();
        if let Some(cause) = &table.lost {
            return Err(cause.clone());
        }
        table.open.insert(job, reply);
        Ok(())
    }

    pub(super) fn forget(&self, job: JobId) {
        self.lock().open.remove(&job);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().open.is_empty()
    }

    /// The caller left, or was answered already.
    pub(super) fn is_gone(&self, job: JobId) -> bool {
        match self.lock().open.get(&job) {
            Some(Reply::Once(sender)) => sender.is_closed(),
            Some(Reply::Run(sender)) => sender.is_closed(),
            None => true,
        }
    }

    /// A run's channel has no room.
    pub(super) fn is_full(&self, job: JobId) -> bool {
        matches!(self.lock().open.get(&job), Some(Reply::Run(sender)) if sender.capacity() == 0)
    }

    /// `false` when nobody received it.
    pub(super) fn answer(&self, job: JobId, answer: Answer) -> bool {
        match self.lock().open.remove(&job) {
            Some(Reply::Once(sender)) => sender.send(answer).is_ok(),
            _ => false,
        }
    }

    pub(super) fn stream(&self, job: JobId, item: RunItem) -> Delivery {
        match self.lock().open.get(&job) {
            Some(Reply::Run(sender)) => match sender.try_send(item) {
                Ok(()) => Delivery::Done,
                Err(mpsc::error::TrySendError::Full(item)) => Delivery::Full(item),
                Err(mpsc::error::TrySendError::Closed(_)) => Delivery::Gone,
            },
            _ => Delivery::Gone,
        }
    }

    /// Ends a job early, whatever its kind. A run whose channel is full just ends.
    pub(super) fn fail(&self, job: JobId, error: BackendError) {
        if let Some(reply) = self.lock().open.remove(&job) {
            reply.fail(error);
        }
    }

    /// Ends every job now, and every later one at registration. The first cause stands.
    pub(super) fn fail_all(&self, cause: BackendError) {
        let mut table = self.lock();
        let cause = table.lost.get_or_insert(cause).clone();
        for (_, reply) in table.open.drain() {
            reply.fail(cause.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reply {
    fn fail(self, error: BackendError) {
        // Whoever left needs no answer; a reader that is behind finds the stream ended.
        match self {
            Self::Once(sender) => drop(sender.send(Err(error))),
            Self::Run(sender) => drop(sender.try_send(Err(error))),
        }
    }
}
