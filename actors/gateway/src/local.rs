//! The models of this machine behind a node: hub, engines and supervision tree.

use std::sync::{Arc, OnceLock, atomic::AtomicBool};
use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};
use tokio_stream::wrappers::WatchStream;
use understudy_actors::{
    Constraints,
    engine_thread::EngineConfig,
    health::NodeHealth,
    local_slots::LocalSlots,
    memory::MemoryBudget,
    model_actor::{SlotConfig, SlotStatus},
    source::{EngineFactory, LoadError, ModelSource},
    supervisor::{ChildKind, ChildSpec},
    tree::{NodeTree, TreeOptions},
};
use understudy_backend::{Backend, BackendError, LoadEvent, RequestCtx, Slots};
use understudy_cluster::{
    Cluster, ClusterActor, ClusterParts,
    identity::{ClusterFiles, SystemClock},
};
use understudy_engine::{model::gates::Gate, tick::EngineStats};
use understudy_hub::{Home, ModelSpec, Presence, PullError, PullEvent, Puller, Resolved};
use understudy_proto::v1::{ModelStatus, NumericsGate};
use understudy_remote::{CodecStore, Limits};
use understudy_router::{RouterActor, RouterHandle};

use crate::{
    Failure, Keyring, ModelControl, Node, NodeConfig, Parts, cluster::facts::Facts, codes, config::Rung,
    memory, notes,
};

/// How long an unload without a deadline lets requests finish.
const UNLOAD_GRACE: Duration = Duration::from_secs(10);

impl Node {
    /// A node over the models of this machine: catalogue and files from the hub's home,
    /// engines from `factory`, all under one supervision tree. Nothing is loaded or
    /// listened to yet.
    ///
    /// # Errors
    /// `CONFIG_INVALID` (also for `keys.toml`), `HUB_NO_HOME`, `HUB_BAD_CATALOGUE`, `INTERNAL`.
    pub async fn start(mut config: NodeConfig, factory: Arc<dyn EngineFactory>) -> Result<Self, Failure> {
        let puller = Arc::new(puller(&config)?);
        if config.ladder.is_empty() {
            let rung = |model: &String| Rung { model: model.clone(), threshold: None };
            config.ladder = puller.catalogue().default_ladder().iter().map(rung).collect();
        }
        let health = Arc::new(NodeHealth::default());
        let engine = EngineConfig {
            max_sequences: config.engine.max_sequences,
            queue_capacity: config.limits.queue_per_model,
            health: health.clone(),
            ..EngineConfig::new("")
        };
        let limit = if config.engine.memory == 0 { memory::share() } else { config.engine.memory };
        let memory = Arc::new(MemoryBudget::new(limit, config.engine.pin.iter().cloned()));
        let slot = SlotConfig { memory: memory.clone(), ..SlotConfig::new(engine) };
        let slots = LocalSlots::new(slot, Arc::new(HubSource { puller: puller.clone() }), factory.clone());
        let control: Arc<dyn ModelControl> = Arc::new(LocalControl::new(slots.clone(), puller));
        let constraints = Arc::new(Constraints::default());
        let facts = Arc::new(Facts {
            control: control.clone(),
            memory: memory.clone(),
            device: factory.device(),
            places: u32::try_from(config.engine.max_sequences).unwrap_or(u32::MAX),
            admission: OnceLock::new(),
        });
        let codecs = CodecStore::new(Some(config.home()?.root().join("codecs")), factory);
        let cluster = Cluster::new(
            ClusterFiles::at(config.cluster_folder()?),
            config.cluster.clone(),
            ClusterParts {
                local: Arc::new(slots.clone()),
                constraints: constraints.clone(),
                facts: facts.clone(),
                codecs: Arc::new(codecs),
                limits: Limits::default(),
                clock: Arc::new(SystemClock),
            },
        );
        let everywhere: Arc<dyn Slots> = Arc::new(cluster.slots());
        let router = RouterHandle::sharing(config.router()?, everywhere.clone(), constraints)?;
        let others = vec![supervised(&router), member(&cluster)];
        let tree = NodeTree::start(TreeOptions::default(), slots.clone(), health.clone(), others);
        let tree = tree.await.map_err(|error| {
            Failure::new(codes::INTERNAL, format!("the supervision tree did not start: {error}"))
        })?;
        let parts = Parts { router, slots: everywhere, control };
        let preload = config.ladder.first().filter(|_| config.engine.preload).map(|rung| rung.model.clone());
        let ledger = notes::open(&config).await;
        let keys = if config.listen.keys { Keyring::load(&config.keys_file()?)? } else { Keyring::default() };
        let mut node =
            Self::assemble(config, parts).with_keys(keys).with_tree(tree, health).with_cluster(cluster);
        // The only time that it is set.
        let _ = facts.admission.set(node.admission().clone());
        if let Some(ledger) = ledger {
            node = node.with_ledger(ledger);
        }
        if let Some(model) = preload {
            node.preload(model);
        }
        Ok(node)
    }

    /// Loads in the background; health shows how it goes, and a failure is the model's own.
    fn preload(&self, model: String) {
        let slots = self.slots().clone();
        tokio::spawn(async move {
            let (progress, _) = mpsc::channel(1);
            if let Err(error) = slots.backend(&RequestCtx::new("preload"), &model, progress).await {
                tracing::warn!(model, %error, "preload failed");
            }
        });
    }
}

fn supervised(router: &RouterHandle) -> ChildSpec {
    let handle = router.clone();
    ChildSpec::new("Router", ChildKind::Permanent, move || (RouterActor, handle.clone()))
}

/// Watches whether the node is a member of a cluster; a node that does not serve looks in vain.
fn member(cluster: &Cluster) -> ChildSpec {
    let cluster = cluster.clone();
    ChildSpec::new("Cluster", ChildKind::Permanent, move || (ClusterActor, cluster.clone()))
}

fn puller(config: &NodeConfig) -> Result<Puller, PullError> {
    match &config.home {
        None => Puller::from_env(),
        Some(root) => Puller::in_home(Home::at(root)),
    }
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        let code = codes::find(error.code()).unwrap_or(codes::INTERNAL);
        Self::new(code, error.to_string()).with("cause", error.code())
    }
}

/// Files from the hub's home, pulled when needed; paths of GGUF files as they are.
struct HubSource {
    puller: Arc<Puller>,
}

impl ModelSource for HubSource {
    fn fetch(
        &self,
        model: &str,
        progress: &(dyn Fn(LoadEvent) + Send + Sync),
        cancel: &AtomicBool,
    ) -> Result<PathBuf, LoadError> {
        let name = match self.puller.catalogue().resolve(&ModelSpec::from(model)).map_err(load_error)? {
            Resolved::File(path) => return Ok(path),
            Resolved::Catalogued(model) => model.name.clone(),
        };
        let mut from = String::new();
        let mut report = |event| match event {
            PullEvent::Started { source, .. } => from = source.to_string(),
            PullEvent::Progress { done, total } => {
                progress(LoadEvent::Fetching { model: name.clone(), source: from.clone(), done, total });
            }
            _ => {}
        };
        let pulled = self.puller.pull(&name, &mut report, cancel).map_err(load_error)?;
        Ok(pulled.path)
    }
}

fn load_error(error: PullError) -> LoadError {
    match error {
        PullError::UnknownModel { near, .. } => LoadError::Unknown { suggestion: near.into_iter().next() },
        error => LoadError::failed(error.code(), error.to_string()),
    }
}

/// Slots and catalogue as one list.
struct LocalControl {
    slots: LocalSlots,
    puller: Arc<Puller>,
    changed: watch::Receiver<u64>,
    follower: AbortHandle,
}

impl LocalControl {
    fn new(slots: LocalSlots, puller: Arc<Puller>) -> Self {
        let (sender, changed) = watch::channel(0);
        let follower = tokio::spawn(follow(slots.clone(), sender)).abort_handle();
        Self { slots, puller, changed, follower }
    }
}

impl Drop for LocalControl {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Counts every change of any slot.
async fn follow(slots: LocalSlots, changed: watch::Sender<u64>) {
    let mut names = slots.watch_names();
    loop {
        names.mark_unchanged();
        let watches = slots.list().into_iter().filter_map(|slot| slots.watch(&slot.model));
        let mut any = stream::select_all(watches.map(WatchStream::from_changes));
        // Whatever changed before these watches began.
        changed.send_modify(|count| *count += 1);
        loop {
            tokio::select! {
                renamed = names.changed() => if renamed.is_err() { return } else { break },
                Some(_) = any.next() => changed.send_modify(|count| *count += 1),
            }
        }
    }
}

#[async_trait]
impl ModelControl for LocalControl {
    /// The catalogue in its order, then files loaded by path.
    fn list(&self) -> Vec<ModelStatus> {
        let mut slots = self.slots.list();
        let mut listed = Vec::new();
        for entry in self.puller.home().list(self.puller.catalogue()) {
            let slot =
                slots.iter().position(|slot| slot.model == entry.model.name).map(|at| slots.swap_remove(at));
            let here = matches!(entry.presence, Presence::Present { .. });
            let at_rest = |state: &str| ModelStatus {
                model: entry.model.name.clone(),
                state: state.into(),
                bytes: entry.model.bytes(),
                context: entry.model.context,
                ..Default::default()
            };
            listed.push(match slot {
                Some(slot) => slot_status(slot),
                None if here => at_rest("unloaded"),
                None => at_rest("absent"),
            });
        }
        slots.sort_by(|a, b| a.model.cmp(&b.model));
        listed.extend(slots.into_iter().map(slot_status));
        listed
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    fn engines(&self) -> Vec<(String, EngineStats)> {
        self.slots.engine_stats()
    }

    async fn load(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        self.slots.load(ctx, model, progress).await
    }

    async fn unload(&self, ctx: &RequestCtx, model: &str) -> Result<ModelStatus, Failure> {
        // Half of the caller's time, so that the answer is in time even when requests are cut.
        let grace = ctx.remaining().map_or(UNLOAD_GRACE, |left| (left / 2).min(UNLOAD_GRACE));
        self.slots.unload(model, grace).await;
        match self.list().into_iter().find(|status| status.model == model) {
            Some(status) => Ok(status),
            None => Err(BackendError::UnknownModel { name: model.to_owned(), suggestion: None }.into()),
        }
    }
}

fn slot_status(slot: SlotStatus) -> ModelStatus {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let gate = |gate: Gate| NumericsGate {
        kernel: gate.kernel,
        state: gate.state.name().into(),
        detail: gate.detail,
    };
    ModelStatus {
        model: slot.model,
        state: slot.state.as_str().into(),
        detail: slot.detail,
        active: count(slot.active),
        waiting: count(slot.waiting),
        decode_tok_s: slot.decode_tok_s,
        step_us: slot.step_us,
        bytes: slot.bytes,
        digest: slot.digest,
        numerics: slot.numerics,
        context: count(slot.context),
        restarts: slot.restarts,
        done_bytes: 0,
        gates: slot.gates.into_iter().map(gate).collect(),
    }
}
