//! What outlives a model actor: the slot's published state and its present engine.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::watch;
use understudy_backend::{BackendError, LoadEvent};
use understudy_engine::model::gates::Gate;

use super::{ModelMsg, SlotEvent, SlotState};
use crate::engine_thread::EngineConfig;
use crate::local_backend::{CurrentEngine, LocalBackend};
use crate::memory::MemoryBudget;
use crate::source::{EngineFactory, ModelSource};
use crate::supervisor::ChildEvent;

/// How slots behave.
#[derive(Clone)]
pub struct SlotConfig {
    /// The engine thread's settings; the model's name is filled in.
    pub engine: EngineConfig,
    /// What all models may take together.
    pub memory: Arc<MemoryBudget>,
    /// Longest time to make an engine, after its file is there.
    pub load_limit: Duration,
    /// Longest first pass.
    pub warm_limit: Duration,
    /// How often figures of a ready slot are published.
    pub status_period: Duration,
}

impl SlotConfig {
    /// No limit of memory, 10 minutes to load, one to warm, figures twice a second.
    pub fn new(engine: EngineConfig) -> Self {
        Self {
            engine,
            memory: Arc::default(),
            load_limit: Duration::from_secs(600),
            warm_limit: Duration::from_secs(60),
            status_period: Duration::from_millis(500),
        }
    }
}

/// A slot as the outside sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotStatus {
    /// Model.
    pub model: String,
    /// State.
    pub state: SlotState,
    /// Why, or how far, for people; empty when there is nothing to say.
    pub detail: String,
    /// Open sequences.
    pub active: usize,
    /// Requests waiting for a permit.
    pub waiting: usize,
    /// Decode speed lately, all runs together.
    pub decode_tok_s: f64,
    /// Microseconds of a pass that decodes one token, to two digits; 0 until it is measured.
    pub step_us: u64,
    /// Restarts since the slot was made.
    pub restarts: u32,
    /// Size of the model's file.
    pub bytes: u64,
    /// Longest sequence in tokens; 0 until loaded.
    pub context: usize,
    /// Digest of the weights; empty until loaded.
    pub digest: String,
    /// Arithmetic; empty until loaded.
    pub numerics: String,
    /// Its fast kernels; none until loaded.
    pub gates: Vec<Gate>,
}

/// What waiters wait for.
#[derive(Clone)]
pub(crate) struct Phase {
    pub(crate) state: SlotState,
    /// Grows with each load, so that a waiter knows its own failure from an older one.
    pub(crate) attempt: u64,
    pub(crate) detail: String,
    /// Why the last attempt failed.
    pub(crate) failure: Option<BackendError>,
    /// Failed, and the supervisor will start it again.
    pub(crate) restarting: bool,
    /// Failed, and the supervisor will not start it again by itself.
    pub(crate) gave_up: bool,
    pub(crate) ready: Option<Arc<LocalBackend>>,
    pub(crate) bytes: u64,
}

/// One model's place in this process.
pub(crate) struct Slot {
    pub(crate) model: String,
    pub(crate) config: SlotConfig,
    pub(crate) source: Arc<dyn ModelSource>,
    pub(crate) factory: Arc<dyn EngineFactory>,
    pub(crate) current: Arc<CurrentEngine>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) progress: watch::Sender<Option<LoadEvent>>,
    status: watch::Sender<SlotStatus>,
    actor: Mutex<Option<ActorRef<ModelMsg>>>,
    /// A restarted actor loads again.
    wanted: AtomicBool,
    restarts: AtomicU32,
}

impl Slot {
    pub(crate) fn new(
        model: &str,
        config: SlotConfig,
        source: Arc<dyn ModelSource>,
        factory: Arc<dyn EngineFactory>,
    ) -> Self {
        let phase = Phase {
            state: SlotState::Unloaded,
            attempt: 0,
            detail: String::new(),
            failure: None,
            restarting: false,
            gave_up: false,
            ready: None,
            bytes: 0,
        };
        let status = SlotStatus {
            model: model.into(),
            state: SlotState::Unloaded,
            detail: String::new(),
            active: 0,
            waiting: 0,
            decode_tok_s: 0.0,
            step_us: 0,
            restarts: 0,
            bytes: 0,
            context: 0,
            digest: String::new(),
            numerics: String::new(),
            gates: Vec::new(),
        };
        let mut config = config;
        config.engine.model = model.into();
        Self {
            model: model.into(),
            config,
            source,
            factory,
            current: Arc::default(),
            phase: watch::Sender::new(phase),
            progress: watch::Sender::new(None),
            status: watch::Sender::new(status),
            actor: Mutex::default(),
            wanted: AtomicBool::new(false),
            restarts: AtomicU32::new(0),
        }
    }

    pub(crate) fn watch_status(&self) -> watch::Receiver<SlotStatus> {
        self.status.subscribe()
    }

    pub(crate) fn status(&self) -> SlotStatus {
        self.publish();
        self.status.borrow().clone()
    }

    pub(crate) fn state(&self) -> SlotState {
        self.phase.borrow().state
    }

    /// Ready, with an engine that admits requests.
    pub(crate) fn is_serving(&self) -> bool {
        self.state() == SlotState::Ready && self.current.get().is_some_and(|engine| engine.is_serving())
    }

    /// Takes a transition, if the table has it, and says what else changes with it.
    pub(crate) fn transition(&self, event: SlotEvent, change: impl FnOnce(&mut Phase)) -> bool {
        let moved = self.phase.send_if_modified(|phase| {
            let Some(next) = phase.state.after(event) else { return false };
            tracing::info!(model = self.model, from = phase.state.as_str(), to = next.as_str(), "slot moved");
            phase.state = next;
            phase.detail.clear();
            if next != SlotState::Ready {
                phase.ready = None;
            }
            change(phase);
            true
        });
        if moved {
            self.publish();
        }
        moved
    }

    /// The engine of a serving slot is gone without anybody's decision.
    pub(crate) fn engine_gone(&self, boot: u64) {
        self.current.clear(boot);
        if matches!(self.state(), SlotState::Warming | SlotState::Ready) {
            self.transition(SlotEvent::Broke, |phase| {
                phase.detail = "its engine is gone".into();
                phase.restarting = true;
            });
        }
    }

    /// What the supervisor says of the actor.
    pub(crate) fn on_child(&self, event: &ChildEvent) {
        match event {
            ChildEvent::Started(_) => {}
            ChildEvent::Restarting { exit, after } => {
                self.restarts.fetch_add(1, Ordering::Relaxed);
                let wanted = self.is_wanted();
                self.break_down(format!("restarting in {after:.1?}: {exit}"), wanted, false);
            }
            ChildEvent::GaveUp { exit } => {
                self.break_down(format!("failed too often: {exit}"), false, true);
            }
        }
    }

    fn break_down(&self, detail: String, restarting: bool, gave_up: bool) {
        self.transition(SlotEvent::Broke, |_| {});
        self.phase.send_if_modified(|phase| {
            let failed = phase.state == SlotState::Failed;
            if failed {
                let why = detail.clone();
                phase.failure = Some(BackendError::Unavailable { model: self.model.clone(), why });
                (phase.detail, phase.restarting) = (detail, restarting);
            }
            phase.gave_up = gave_up;
            failed || gave_up
        });
        self.publish();
    }

    pub(crate) fn has_given_up(&self) -> bool {
        self.phase.borrow().gave_up
    }

    pub(crate) fn forgive(&self) {
        self.phase.send_modify(|phase| phase.gave_up = false);
    }

    pub(crate) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::SeqCst);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    pub(crate) fn set_actor(&self, actor: ActorRef<ModelMsg>) {
        *self.actor.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }

    pub(crate) fn actor(&self) -> Option<ActorRef<ModelMsg>> {
        self.actor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the actor; one that is being restarted finds `wanted` instead.
    pub(crate) fn tell(&self, message: ModelMsg) {
        if let Some(actor) = self.actor() {
            let _ = actor.send_message(message);
        }
    }

    /// Unloads the model unless somebody uses it; whether it does. A request that comes meanwhile loads
    /// it again.
    pub(crate) fn unload_if_idle(&self) -> bool {
        // First, so that a later wish stands.
        self.want(false);
        let idle = self.current.get().is_some_and(|engine| engine.stop_admitting_if_idle());
        match idle {
            true => self.tell(ModelMsg::Drain { grace: Duration::ZERO }),
            false => self.want(true),
        }
        idle
    }

    /// Brings the published status up to date.
    pub(crate) fn publish(&self) {
        let phase = self.phase.borrow().clone();
        let engine = self.current.get();
        let card = phase.ready.as_ref().map(|backend| understudy_backend::Backend::card(backend.as_ref()));
        let status = SlotStatus {
            model: self.model.clone(),
            state: phase.state,
            detail: phase.detail,
            active: engine.as_ref().map_or(0, |engine| engine.active()),
            waiting: engine.as_ref().map_or(0, |engine| engine.waiting()),
            decode_tok_s: engine.as_ref().map_or(0.0, |engine| engine.decode_tok_s()),
            step_us: engine.as_ref().and_then(|engine| engine.pace().seconds(1)).map_or(0, micros),
            restarts: self.restarts.load(Ordering::Relaxed),
            bytes: phase.bytes,
            context: card.map_or(0, |card| card.context),
            digest: card.map(|card| card.digest.clone()).unwrap_or_default(),
            numerics: card.map(|card| card.numerics.clone()).unwrap_or_default(),
            gates: card.map(|card| card.gates.clone()).unwrap_or_default(),
        };
        self.status.send_if_modified(|published| {
            let changed = *published != status;
            *published = status;
            changed
        });
    }
}

/// Microseconds to two digits, so that a status is another only when this has really changed.
fn micros(seconds: f64) -> u64 {
    let exact = seconds.max(0.0) * 1e6;
    let unit = 10_f64.powf((exact.max(1.0).log10().floor() - 1.0).max(0.0));
    ((exact / unit).round() * unit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_to_two_digits() {
        for (seconds, told) in [
            (0.0, 0),
            (0.000_004_4, 4),
            (0.000_046_6, 47),
            (0.012_345, 12_000),
            (0.999, 1_000_000),
            (2.31, 2_300_000),
        ] {
            assert_eq!(micros(seconds), told, "{seconds}");
        }
    }
}
