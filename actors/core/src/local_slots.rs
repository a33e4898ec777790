//! Models of this process by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ractor::{ActorCell, ActorRef};
use tokio::sync::{mpsc, oneshot, watch};
use understudy_backend::{Backend, BackendError, LoadEvent, RequestCtx, Slots};
use understudy_engine::tick::EngineStats;

use crate::model_actor::{ModelActor, ModelMsg, Slot, SlotConfig, SlotState, SlotStatus};
use crate::source::{EngineFactory, ModelSource};
use crate::supervisor::{ChildEvent, ChildKind, ChildSpec, SupervisorMsg};

/// A longer name is neither a catalogue's nor a path: refused before it gets a slot or a line
/// in the log.
const LONGEST_NAME: usize = 4096;

/// Cause of a load that failed because the path of the model is no file.
const NO_SUCH_FILE: &str = "HUB_NOT_A_MODEL_FILE";

/// The slots of this process. Cheap to clone; clones share everything.
///
/// Models load on first use; requests for the same model share one load. Slots serve once
/// a [`NodeTree`](crate::tree::NodeTree) runs over them.
#[derive(Clone)]
pub struct LocalSlots(Arc<Inner>);

struct Inner {
    config: SlotConfig,
    source: Arc<dyn ModelSource>,
    factory: Arc<dyn EngineFactory>,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    supervisor: Mutex<Option<ActorRef<SupervisorMsg>>>,
    draining: AtomicBool,
    /// Counts changes of the set of slots.
    generation: watch::Sender<u64>,
}

impl LocalSlots {
    /// No slots yet.
    pub fn new(config: SlotConfig, source: Arc<dyn ModelSource>, factory: Arc<dyn EngineFactory>) -> Self {
        Self(Arc::new(Inner {
            config,
            source,
            factory,
            slots: Mutex::default(),
            supervisor: Mutex::default(),
            draining: AtomicBool::new(false),
            generation: watch::Sender::new(0),
        }))
    }

    /// Every slot, in order of names.
    pub fn list(&self) -> Vec<SlotStatus> {
        let slots: Vec<Arc<Slot>> = self.lock().values().cloned().collect();
        slots.iter().map(|slot| slot.status()).collect()
    }

    /// The counters of every engine that runs, by model.
    pub fn engine_stats(&self) -> Vec<(String, EngineStats)> {
        let slots: Vec<Arc<Slot>> = self.lock().values().cloned().collect();
        let stats = |slot: &Arc<Slot>| Some((slot.model.clone(), slot.current.get()?.stats()));
        slots.iter().filter_map(stats).collect()
    }

    /// The status of a slot, now and later; `None` if there is no such slot.
    pub fn watch(&self, model: &str) -> Option<watch::Receiver<SlotStatus>> {
        self.slot(model).map(|slot| slot.watch_status())
    }

    /// Changes whenever a slot appears or goes; its value means nothing.
    pub fn watch_names(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// Makes a model ready, also one that failed too often to be restarted by itself.
    ///
    /// # Errors
    /// As [`Slots::backend`].
    pub async fn load(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        if let Some(slot) = self.slot(model).filter(|slot| slot.has_given_up()) {
            slot.forgive();
            slot.want(true);
            let attempt = slot.phase.borrow().attempt;
            self.tell_supervisor(SupervisorMsg::Retry(model.into()));
            return self.ready(ctx, &slot, attempt, progress).await;
        }
        self.backend(ctx, model, progress).await
    }

    /// Stops admitting, lets requests finish within `grace`, cancels the rest, frees the
    /// memory. Returns when that is done; at once when the model is not loaded.
    pub async fn unload(&self, model: &str, grace: Duration) {
        let Some(slot) = self.slot(model) else { return };
        slot.want(false);
        let mut phase = slot.phase.subscribe();
        slot.tell(ModelMsg::Drain { grace });
        let at_rest = phase.wait_for(|phase| matches!(phase.state, SlotState::Unloaded | SlotState::Failed));
        // A slot whose actor is down is at rest soon; anything else is a defect to log.
        let patience = grace + Duration::from_secs(10);
        if tokio::time::timeout(patience, at_rest).await.is_err() {
            tracing::error!(model, "slot did not drain in time");
        }
    }

    /// Unloads everything and admits nothing any more.
    pub async fn drain(&self, grace: Duration) {
        self.0.draining.store(true, Ordering::SeqCst);
        let names: Vec<String> = self.lock().keys().cloned().collect();
        let drains: Vec<_> = names
            .into_iter()
            .map(|name| {
                let slots = self.clone();
                tokio::spawn(async move { slots.unload(&name, grace).await })
            })
            .collect();
        for drain in drains {
            if let Err(error) = drain.await {
                tracing::error!(%error, "a drain panicked");
            }
        }
    }

    /// The actor of a slot, for fault tests and for whoever must stop it by force.
    pub fn actor(&self, model: &str) -> Option<ActorCell> {
        self.slot(model)?.actor().map(|actor| actor.get_cell())
    }

    /// A supervisor started (again): it gets every slot, now and later.
    pub(crate) fn set_supervisor(&self, cell: ActorCell) {
        *self.0.supervisor.lock().unwrap_or_else(PoisonError::into_inner) = Some(cell.into());
        let specs: Vec<ChildSpec> = self.lock().values().map(child_spec).collect();
        specs.into_iter().for_each(|spec| self.add(spec));
    }

    /// Adding twice is harmless: the supervisor knows names.
    fn add(&self, spec: ChildSpec) {
        let (added, _) = oneshot::channel();
        self.tell_supervisor(SupervisorMsg::Add(spec, added));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Slot>>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, model: &str) -> Option<Arc<Slot>> {
        self.lock().get(model).cloned()
    }

    fn tell_supervisor(&self, message: SupervisorMsg) {
        let supervisor = self.0.supervisor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(supervisor) = supervisor {
            // One that is being restarted gets the list of slots when it runs.
            let _ = supervisor.send_message(message);
        }
    }

    fn slot_or_new(&self, model: &str) -> Arc<Slot> {
        let (slot, is_new) = {
            let mut slots = self.lock();
            let known = slots.get(model).cloned();
            let is_new = known.is_none();
            let slot = known.unwrap_or_else(|| {
                let Inner { config, source, factory, .. } = self.0.as_ref();
                Arc::new(Slot::new(model, config.clone(), source.clone(), factory.clone()))
            });
            slots.insert(model.into(), slot.clone());
            (slot, is_new)
        };
        if is_new {
            // Before the actor exists, so that it finds the wish.
            slot.want(true);
            self.0.generation.send_modify(|generation| *generation += 1);
            self.add(child_spec(&slot));
        }
        slot
    }

    /// A name that stands for no model keeps no slot: callers choose names, so that slots
    /// would pile up.
    fn forget(&self, model: &str) {
        if self.lock().remove(model).is_some() {
            self.0.generation.send_modify(|generation| *generation += 1);
            let (removed, _) = oneshot::channel();
            self.tell_supervisor(SupervisorMsg::Remove(model.into(), removed));
        }
    }

    /// Waits for the slot to be ready, or for an attempt after `seen` to fail.
    async fn ready(
        &self,
        ctx: &RequestCtx,
        slot: &Arc<Slot>,
        seen: u64,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let unavailable =
            |why: &str| BackendError::Unavailable { model: slot.model.clone(), why: why.into() };
        let mut phases = slot.phase.subscribe();
        let mut events = slot.progress.subscribe();
        loop {
            let phase = phases.borrow_and_update().clone();
            match phase.state {
                // An engine that just died: the slot hears of it next.
                SlotState::Ready if !slot.is_serving() => {}
                SlotState::Ready => {
                    let backend = phase.ready.ok_or_else(|| unavailable("it is not ready"))?;
                    return Ok(backend);
                }
                // One that was idle made room for another, and is loaded again as soon as it can be.
                SlotState::Draining if slot.is_wanted() => {}
                SlotState::Draining => return Err(unavailable("it is being unloaded")),
                SlotState::Unloaded if phase.attempt > seen => return Err(unavailable("it was unloaded")),
                SlotState::Failed if phase.gave_up => return Err(unavailable(&phase.detail)),
                SlotState::Failed if phase.attempt > seen && !phase.restarting => {
                    return Err(phase.failure.unwrap_or_else(|| unavailable(&phase.detail)));
                }
                _ => {}
            }
            ctx.bound(async {
                tokio::select! {
                    changed = phases.changed() => changed.map_err(|_| unavailable("its slot is gone")),
                    _ = events.changed() => {
                        if let Some(event) = events.borrow_and_update().clone() {
                            // Informative: what does not fit is skipped.
                            let _ = progress.try_send(event);
                        }
                        Ok(())
                    }
                }
            })
            .await?;
        }
    }
}

fn child_spec(slot: &Arc<Slot>) -> ChildSpec {
    let (owner, watcher) = (slot.clone(), slot.clone());
    ChildSpec::new(slot.model.clone(), ChildKind::Permanent, move || (ModelActor, owner.clone()))
        .watched_by(move |event: ChildEvent| watcher.on_child(&event))
}

#[async_trait]
impl Slots for LocalSlots {
    async fn backend(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        if self.0.draining.load(Ordering::SeqCst) {
            return Err(BackendError::Unavailable {
                model: model.into(),
                why: "the node is draining".into(),
            });
        }
        if model.len() > LONGEST_NAME {
            let start: String = model.chars().take(64).collect();
            return Err(BackendError::UnknownModel { name: format!("{start}…"), suggestion: None });
        }
        let slot = self.slot_or_new(model);
        let seen = {
            let phase = slot.phase.borrow();
            phase.attempt - u64::from(phase.state.is_underway() && phase.attempt > 0)
        };
        if !slot.is_serving() && !slot.has_given_up() {
            slot.want(true);
            slot.tell(ModelMsg::Load);
        }
        self.0.config.memory.used(model);
        let result = self.ready(ctx, &slot, seen, progress).await;
        match &result {
            Err(BackendError::UnknownModel { .. }) => self.forget(model),
            Err(BackendError::Load { code, .. }) if code == NO_SUCH_FILE => self.forget(model),
            _ => {}
        }
        result
    }
}
