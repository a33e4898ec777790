//! The bounded way to an engine thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use understudy_engine::verbs::{JobId, SeqKey, Verb};

use super::INBOX_CAPACITY;

/// When a verb's caller stops caring.
#[derive(Clone)]
pub(super) struct Interest {
    pub(super) cancel: CancellationToken,
    /// On the engine's clock.
    pub(super) deadline: Option<Duration>,
}

pub(super) struct Command {
    pub(super) job: JobId,
    pub(super) verb: Verb,
    pub(super) interest: Interest,
    /// For verbs that make a sequence, and for work outside of one.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// What the thread should do with its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    /// Cancel everything, deliver what that yields, end.
    Finish,
    /// End at the next chance and deliver nothing.
    Leave,
}

pub(super) struct Batch {
    pub(super) commands: VecDeque<Command>,
    pub(super) closes: Vec<SeqKey>,
    pub(super) order: Order,
}

/// Commands are bounded by [`INBOX_CAPACITY`]. Closes are apart, because giving back must
/// never fail or wait; there is at most one for each open sequence.
pub(super) struct Inbox {
    state: Mutex<State>,
    bell: Condvar,
}

struct State {
    commands: VecDeque<Command>,
    closes: Vec<SeqKey>,
    order: Order,
    /// The last order that the thread took.
    taken: Order,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let state =
            State { commands: VecDeque::new(), closes: Vec::new(), order: Order::Serve, taken: Order::Serve };
        Self { state: Mutex::new(state), bell: Condvar::new() }
    }

    /// `false` when it is full or the thread is ending; nothing happened then.
    pub(super) fn push(&self, command: Command) -> bool {
        let mut state = self.lock();
        if state.order != Order::Serve || state.commands.len() >= INBOX_CAPACITY {
            return false;
        }
        state.commands.push_back(command);
        self.bell.notify_one();
        true
    }

    pub(super) fn close(&self, seq: SeqKey) {
        let mut state = self.lock();
        if !state.closes.contains(&seq) {
            state.closes.push(seq);
        }
        self.bell.notify_one();
    }

    /// Orders only grow harsher.
    pub(super) fn order(&self, order: Order) {
        let mut state = self.lock();
        if state.order != Order::Leave {
            state.order = order;
        }
        if order == Order::Leave {
            state.commands.clear();
        }
        self.bell.notify_one();
    }

    pub(super) fn has_commands(&self) -> bool {
        !self.lock().commands.is_empty()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.lock().order != Order::Serve
    }

    /// Everything that arrived, waiting up to `patience` for the first of it.
    pub(super) fn take(&self, patience: Duration) -> Batch {
        let nothing = |state: &mut State| {
            state.commands.is_empty() && state.closes.is_empty() && state.order == state.taken
        };
        let mut state = self.lock();
        if patience > Duration::ZERO {
            let waited = self.bell.wait_timeout_while(state, patience, nothing);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.taken = state.order;
        Batch {
            commands: std::mem::take(&mut state.commands),
            closes: std::mem::take(&mut state.closes),
            order: state.order,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
