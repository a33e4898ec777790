//! The memory that the models of a node share.
//!
//! A model takes its weights and all the KV memory that its sequences may come to use, before its
//! engine starts, and gives both back when the engine has ended. Where that does not fit, the models
//! that were used least recently are unloaded, if nobody uses or waits for them now and they
//! are not pinned. What is in use stays: whoever asks for more is refused at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::model_actor::{Slot, SlotState};
use crate::source::LoadError;

/// Longest wait for an idle engine to end.
const UNLOAD_LIMIT: Duration = Duration::from_secs(10);

/// One budget over all slots of a node.
pub struct MemoryBudget {
    limit: u64,
    pinned: BTreeSet<String>,
    state: Mutex<State>,
    /// Counts what was given back.
    freed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    holders: BTreeMap<u64, Holder>,
    last_id: u64,
    uses: u64,
}

struct Holder {
    model: String,
    bytes: u64,
    /// Grows with each use of any model.
    used_at: u64,
    /// Told to unload.
    leaving: bool,
    slot: Weak<Slot>,
}

impl Default for MemoryBudget {
    /// No limit.
    fn default() -> Self {
        Self::new(u64::MAX, [])
    }
}

impl MemoryBudget {
    /// So many bytes for all models together; pinned ones are never unloaded to make room.
    pub fn new(limit: u64, pinned: impl IntoIterator<Item = String>) -> Self {
        Self {
            limit,
            pinned: pinned.into_iter().collect(),
            state: Mutex::default(),
            freed: watch::Sender::new(0),
        }
    }

    /// Bytes that loaded models hold.
    pub fn held(&self) -> u64 {
        self.lock().holders.values().map(|holder| holder.bytes).sum()
    }

    /// Bytes that more models may take, if none is unloaded.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.held())
    }

    /// Somebody asks for the model: it is the last to be unloaded now.
    pub(crate) fn used(&self, model: &str) {
        let mut state = self.lock();
        state.uses += 1;
        let now = state.uses;
        state.holders.values_mut().filter(|holder| holder.model == model).for_each(|h| h.used_at = now);
    }

    /// Takes bytes for a slot's model, unloading others where needed.
    ///
    /// # Errors
    /// `MODEL_TOO_LARGE` where it could never fit, `MEMORY_IN_USE` where others are in use now.
    pub(crate) async fn take(self: &Arc<Self>, slot: &Arc<Slot>, bytes: u64) -> Result<Taken, LoadError> {
        let mut freed = self.freed.subscribe();
        loop {
            freed.mark_unchanged();
            if let Some(taken) = self.take_or_make_room(slot, bytes)? {
                return Ok(taken);
            }
            if tokio::time::timeout(UNLOAD_LIMIT, freed.changed()).await.is_err() {
                return Err(self.refusal(&self.lock(), bytes));
            }
        }
    }

    /// `None`: models are on their way out whose memory will do.
    fn take_or_make_room(self: &Arc<Self>, slot: &Arc<Slot>, bytes: u64) -> Result<Option<Taken>, LoadError> {
        let mut state = self.lock();
        let held: u64 = state.holders.values().map(|holder| holder.bytes).sum();
        let mut short = held.saturating_add(bytes).saturating_sub(self.limit);
        if short == 0 {
            return Ok(Some(self.add(&mut state, slot, bytes)));
        }
        let leaving = state.holders.values().filter(|holder| holder.leaving);
        short = short.saturating_sub(leaving.map(|holder| holder.bytes).sum());

        let idle = state.holders.iter().filter(|(_, holder)| self.may_unload(holder));
        let mut idle: Vec<_> = idle.map(|(id, holder)| (holder.used_at, *id, holder.bytes)).collect();
        idle.sort_unstable();
        // Nothing is unloaded in vain.
        if idle.iter().map(|(.., bytes)| bytes).sum::<u64>() < short {
            return Err(self.refusal(&state, bytes));
        }
        for (_, id, bytes) in idle {
            if short > 0 && state.holders.get_mut(&id).is_some_and(Holder::unload) {
                short = short.saturating_sub(bytes);
            }
        }
        // A model that was idle a moment ago may be in use now.
        if short > 0 { Err(self.refusal(&state, bytes)) } else { Ok(None) }
    }

    fn add(self: &Arc<Self>, state: &mut State, slot: &Arc<Slot>, bytes: u64) -> Taken {
        state.last_id += 1;
        state.uses += 1;
        let holder = Holder {
            model: slot.model.clone(),
            bytes,
            used_at: state.uses,
            leaving: false,
            slot: Arc::downgrade(slot),
        };
        state.holders.insert(state.last_id, holder);
        Taken { budget: self.clone(), id: state.last_id }
    }

    fn may_unload(&self, holder: &Holder) -> bool {
        !holder.leaving && !self.pinned.contains(&holder.model) && holder.is_idle()
    }

    fn refusal(&self, state: &State, bytes: u64) -> LoadError {
        let pinned = state.holders.values().filter(|holder| self.pinned.contains(&holder.model));
        let pinned: u64 = pinned.map(|holder| holder.bytes).sum();
        let (needed, limit) = (megabytes(bytes), megabytes(self.limit));
        if pinned.saturating_add(bytes) > self.limit {
            let beside = match pinned {
                0 => String::new(),
                pinned => format!(" less {} MB of pinned models", megabytes(pinned)),
            };
            return LoadError::failed(
                "MODEL_TOO_LARGE",
                format!("weights and KV memory take {needed} MB, engine.memory allows {limit} MB{beside}"),
            );
        }
        let models: Vec<_> = state.holders.values().map(|holder| holder.model.as_str()).collect();
        LoadError::failed(
            "MEMORY_IN_USE",
            format!(
                "it needs {needed} MB of engine.memory, {limit} MB, and {} are in use",
                models.join(", ")
            ),
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    fn is_idle(&self) -> bool {
        let Some(slot) = self.slot.upgrade() else { return false };
        let engine = slot.current.get();
        slot.state() == SlotState::Ready && engine.is_some_and(|e| e.active() == 0 && e.waiting() == 0)
    }

    /// Tells the slot to unload, unless somebody came in between; whether it did.
    fn unload(&mut self) -> bool {
        let Some(slot) = self.slot.upgrade() else { return false };
        self.leaving = slot.unload_if_idle();
        if self.leaving {
            tracing::info!(model = self.model, "unloading it to make room");
        }
        self.leaving
    }
}

/// Memory of a loaded model; dropping it gives it back.
pub(crate) struct Taken {
    budget: Arc<MemoryBudget>,
    id: u64,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.budget.lock().holders.remove(&self.id);
        self.budget.freed.send_modify(|count| *count += 1);
    }
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}
