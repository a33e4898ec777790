//! One actor per loaded model: brings its engine up, watches over it, takes it down.
//!
//! Tokens never pass through here. What the actor knows it publishes through its slot,
//! which outlives it: a restarted actor finds there whether the model is wanted.

mod slot;
mod state;
mod warm;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;
use understudy_backend::{BackendError, LoadEvent};

use crate::engine_thread::{EngineExit, EngineHandle};
use crate::local_backend::LocalBackend;
use crate::memory::Taken;
use crate::source::{LoadError, LoadedModel};
use crate::supervisor::Failure;

pub(crate) use slot::Slot;
pub use slot::{SlotConfig, SlotStatus};
pub use state::{SlotEvent, SlotState};

/// How long a finishing engine thread may take before its slot goes on without it.
const FINISH_PATIENCE: Duration = Duration::from_secs(2);

/// Messages to a model actor. Results carry their attempt, engine news their boot, so that
/// news of something older is ignored.
pub(crate) enum ModelMsg {
    Load,
    Drain { grace: Duration },
    Fetched { attempt: u64, result: Result<PathBuf, LoadError> },
    Read { attempt: u64, result: Result<Box<ReadModel>, LoadError> },
    EngineUp { attempt: u64, result: Result<(), LoadError> },
    Warmed { attempt: u64, result: Result<(), BackendError> },
    EngineExited { boot: u64, exit: EngineExit },
    Drained { boot: u64 },
}

/// A model file that was read, with the memory that its engine will need.
pub(crate) struct ReadModel {
    model: LoadedModel,
    bytes: u64,
    memory: Taken,
}

pub(crate) struct ModelActor;

pub(crate) struct ModelState {
    slot: Arc<Slot>,
    attempt: u64,
    /// The step of loading under way.
    step: Option<Step>,
    model: Option<LoadedModel>,
    bytes: u64,
    engine: Option<EngineGuard>,
    /// Held as long as the engine and the model are; below them, so that it is dropped after them.
    memory: Option<Taken>,
    /// Background work tied to the engine: drain, figures.
    chores: Vec<Chore>,
}

/// A step of loading. Dropping it calls the step off.
struct Step {
    cancel: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Step {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::SeqCst);
        self.task.abort();
    }
}

struct Chore(JoinHandle<()>);

impl Drop for Chore {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Owns an engine for the actor. However the actor ends (kill included), dropping this
/// answers all requests and stops the thread.
struct EngineGuard {
    handle: Arc<EngineHandle>,
    slot: Arc<Slot>,
}

impl Drop for EngineGuard {
    fn drop(&mut self) {
        self.handle.stop_now("its model actor ended");
        self.slot.engine_gone(self.handle.boot());
    }
}

#[async_trait]
impl Actor for ModelActor {
    type Msg = ModelMsg;
    type State = ModelState;
    type Arguments = Arc<Slot>;

    async fn pre_start(
        &self,
        myself: ActorRef<ModelMsg>,
        slot: Arc<Slot>,
    ) -> Result<ModelState, ActorProcessingErr> {
        slot.set_actor(myself.clone());
        // Whatever an actor before this one was at, it is over.
        slot.transition(SlotEvent::Broke, |phase| phase.restarting = slot.is_wanted());
        if slot.is_wanted() {
            myself.send_message(ModelMsg::Load)?;
        }
        Ok(ModelState {
            slot,
            attempt: 0,
            step: None,
            model: None,
            bytes: 0,
            engine: None,
            memory: None,
            chores: Vec::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ModelMsg>,
        message: ModelMsg,
        state: &mut ModelState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ModelMsg::Load => state.load(&myself),
            ModelMsg::Drain { grace } => state.drain(&myself, grace),
            ModelMsg::Fetched { attempt, result } if attempt == state.attempt => match result {
                Ok(path) => state.read(&myself, path),
                Err(error) => state.load_failed(error.of_model(&state.slot.model)),
            },
            ModelMsg::Read { attempt, result } if attempt == state.attempt => match result {
                Ok(read) => state.start_engine(&myself, *read),
                Err(error) => state.load_failed(error.of_model(&state.slot.model)),
            },
            ModelMsg::EngineUp { attempt, result } if attempt == state.attempt => match result {
                Ok(()) => state.warm(&myself),
                Err(error) => state.load_failed(error.of_model(&state.slot.model)),
            },
            ModelMsg::Warmed { attempt, result } if attempt == state.attempt => match result {
                Ok(()) => state.serve(),
                // The engine's own end says more, and comes by itself.
                Err(_) if state.engine.as_ref().is_some_and(|engine| !engine.handle.is_serving()) => {}
                Err(error) => {
                    let (model, why) = (state.slot.model.clone(), format!("the first pass failed: {error}"));
                    state.load_failed(BackendError::Load { model, why, code: "ENGINE_WARMUP".into() });
                }
            },
            ModelMsg::EngineExited { boot, exit } if state.has_engine(boot) => {
                let was_draining = state.slot.state() == SlotState::Draining;
                if exit != EngineExit::Stopped && !was_draining {
                    return Err(Failure(exit.to_string()).into());
                }
                state.drained(&myself);
            }
            ModelMsg::Drained { boot } if state.has_engine(boot) => state.drained(&myself),
            // News of an older attempt or engine.
            _ => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<ModelMsg>,
        state: &mut ModelState,
    ) -> Result<(), ActorProcessingErr> {
        state.slot.transition(SlotEvent::Drain, |_| {});
        state.slot.transition(SlotEvent::Drained, |_| {});
        state.let_go();
        Ok(())
    }
}

impl ModelState {
    fn has_engine(&self, boot: u64) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.handle.boot() == boot)
    }

    fn load(&mut self, myself: &ActorRef<ModelMsg>) {
        let mut attempt = self.attempt;
        let begun = self.slot.transition(SlotEvent::Load, |phase| {
            phase.attempt += 1;
            phase.failure = None;
            phase.restarting = false;
            attempt = phase.attempt;
        });
        if !begun {
            return;
        }
        self.attempt = attempt;
        let slot = self.slot.clone();
        self.step = Some(step(myself, move |cancel| async move {
            let fetch = move || {
                let report = |event| drop(slot.progress.send_replace(Some(event)));
                slot.source.fetch(&slot.model, &report, &cancel)
            };
            ModelMsg::Fetched { attempt, result: blocking(fetch).await }
        }));
    }

    fn read(&mut self, myself: &ActorRef<ModelMsg>, path: PathBuf) {
        self.slot.transition(SlotEvent::Fetched, |_| {});
        self.slot.progress.send_replace(Some(LoadEvent::Loading { model: self.slot.model.clone() }));
        let (slot, attempt) = (self.slot.clone(), self.attempt);
        self.step = Some(step(myself, move |_| async move {
            ModelMsg::Read { attempt, result: read_model(slot, path).await.map(Box::new) }
        }));
    }

    fn start_engine(&mut self, myself: &ActorRef<ModelMsg>, read: ReadModel) {
        let ReadModel { model, bytes, memory } = read;
        let actor = myself.clone();
        let on_exit = move |boot, exit| drop(actor.send_message(ModelMsg::EngineExited { boot, exit }));
        let (handle, ready) =
            EngineHandle::start(self.slot.config.engine.clone(), model.make_engine.clone(), on_exit);
        self.engine = Some(EngineGuard { handle, slot: self.slot.clone() });
        (self.model, self.bytes, self.memory) = (Some(model), bytes, Some(memory));
        let (attempt, limit) = (self.attempt, self.slot.config.load_limit);
        self.step = Some(step(myself, move |_| async move {
            let result = match tokio::time::timeout(limit, ready).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => {
                    Err(LoadError::failed("ENGINE_LOST", "the engine's thread ended while loading"))
                }
                Err(_) => {
                    Err(LoadError::failed("ENGINE_TIMEOUT", format!("loading took longer than {limit:?}")))
                }
            };
            ModelMsg::EngineUp { attempt, result }
        }));
    }

    fn warm(&mut self, myself: &ActorRef<ModelMsg>) {
        self.slot.transition(SlotEvent::EngineUp, |_| {});
        let (Some(engine), Some(model)) = (&self.engine, &self.model) else { return };
        self.slot.current.set(engine.handle.clone());
        let backend = LocalBackend::new(model.card.clone(), model.codec.clone(), self.slot.current.clone());
        let (attempt, limit) = (self.attempt, self.slot.config.warm_limit);
        self.step = Some(step(myself, move |_| async move {
            ModelMsg::Warmed { attempt, result: warm::first_passes(&backend, limit).await }
        }));
    }

    fn serve(&mut self) {
        let Some(model) = &self.model else { return };
        let backend = LocalBackend::new(model.card.clone(), model.codec.clone(), self.slot.current.clone());
        self.slot.transition(SlotEvent::Warmed, |phase| {
            phase.ready = Some(Arc::new(backend));
            phase.bytes = self.bytes;
        });
        self.step = None;
        let slot = self.slot.clone();
        self.chores.push(Chore(tokio::spawn(async move {
            loop {
                tokio::time::sleep(slot.config.status_period).await;
                slot.publish();
            }
        })));
    }

    fn load_failed(&mut self, error: BackendError) {
        tracing::warn!(model = self.slot.model, %error, "model could not be made ready");
        self.slot.want(false);
        self.slot.transition(SlotEvent::Broke, |phase| {
            phase.detail = error.to_string();
            phase.failure = Some(error);
            phase.restarting = false;
        });
        self.let_go();
    }

    fn drain(&mut self, myself: &ActorRef<ModelMsg>, grace: Duration) {
        // Before the state shows: whoever sees `Draining` can rely on it.
        if let Some(engine) = &self.engine {
            engine.handle.stop_admitting();
        }
        if !self.slot.transition(SlotEvent::Drain, |_| {}) {
            return;
        }
        let Some(engine) = self.engine.as_ref().filter(|_| self.slot.state() == SlotState::Draining) else {
            return self.let_go();
        };
        let (handle, actor) = (engine.handle.clone(), myself.clone());
        self.chores.push(Chore(tokio::spawn(async move {
            let _ = tokio::time::timeout(grace, until(|| handle.active() == 0)).await;
            handle.finish();
            let _ = tokio::time::timeout(FINISH_PATIENCE, until(|| handle.has_ended())).await;
            let _ = actor.send_message(ModelMsg::Drained { boot: handle.boot() });
        })));
    }

    fn drained(&mut self, myself: &ActorRef<ModelMsg>) {
        self.let_go();
        self.slot.transition(SlotEvent::Drained, |_| {});
        if self.slot.is_wanted() {
            let _ = myself.send_message(ModelMsg::Load);
        }
    }

    /// Calls off whatever is under way and stops the engine.
    fn let_go(&mut self) {
        self.step = None;
        self.chores.clear();
        self.engine = None;
        self.model = None;
        self.memory = None;
        // Whatever is still on its way is of an older attempt now.
        self.attempt = 0;
    }
}

/// Runs one step of loading; its message goes to the actor.
fn step<F>(myself: &ActorRef<ModelMsg>, work: impl FnOnce(Arc<AtomicBool>) -> F) -> Step
where
    F: Future<Output = ModelMsg> + Send + 'static,
{
    let (cancel, actor) = (Arc::new(AtomicBool::new(false)), myself.clone());
    let work = work(cancel.clone());
    let task = tokio::spawn(async move {
        let message = work.await;
        let _ = actor.send_message(message);
    });
    Step { cancel, task }
}

/// Reads a model's file and takes the memory for it.
async fn read_model(slot: Arc<Slot>, path: PathBuf) -> Result<ReadModel, LoadError> {
    let reader = slot.clone();
    let read = move || Ok((reader.factory.load(&path, &reader.model)?, size_on_disk(&path)));
    let (model, bytes) = blocking(read).await?;
    let memory = slot.config.memory.take(&slot, model.memory).await?;
    Ok(ReadModel { model, bytes, memory })
}

/// Blocking work whose panic is a failure like any other.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(LoadError::failed("LOAD_PANIC", error.to_string())))
}

async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Bytes of a file, or of the files in a checkpoint's folder.
fn size_on_disk(path: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => size(path),
    }
}
