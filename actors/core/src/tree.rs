//! The supervision tree of a node.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorRef, SpawnErr};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::health::NodeHealth;
use crate::local_slots::LocalSlots;
use crate::supervisor::{
    Backoff, ChildEvent, ChildKind, ChildSpec, Exhausted, Intensity, PlanOptions, Strategy, Supervisor,
    SupervisorArgs, SupervisorMsg,
};

/// How patient the tree is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TreeOptions {
    /// Restarts of the root's children before the process should exit: 3 in 60 s.
    pub root: Intensity,
    /// Restarts of one slot before it stays failed: 5 in 60 s.
    pub slot: Intensity,
    /// Waiting between restarts.
    pub backoff: Backoff,
    /// Seed of the backoff's jitter.
    pub seed: u64,
}

impl Default for TreeOptions {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            root: Intensity { restarts: 3, within: minute },
            slot: Intensity { restarts: 5, within: minute },
            backoff: Backoff::default(),
            seed: u64::from(std::process::id()),
        }
    }
}

/// How long the root's children may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Root over EngineSup (one child per slot) and whatever else the node runs.
pub struct NodeTree {
    root: ActorRef<SupervisorMsg>,
    slots: LocalSlots,
    watcher: JoinHandle<()>,
    leaving: CancellationToken,
}

impl NodeTree {
    /// Starts EngineSup over `slots`, then `others` in order, restarted one for one. When
    /// the root gives up, `health` asks the process to leave.
    ///
    /// # Errors
    /// When the root cannot start.
    pub async fn start(
        options: TreeOptions,
        slots: LocalSlots,
        health: Arc<NodeHealth>,
        others: Vec<ChildSpec>,
    ) -> Result<Self, SpawnErr> {
        let mut children = vec![engine_supervisor(options, &slots)];
        children.extend(others);
        let rules = rules(options, options.root, Exhausted::Escalate);
        let (root, ended) =
            Actor::spawn(None, Supervisor, SupervisorArgs { options: rules, children }).await?;
        let leaving = CancellationToken::new();
        let left = leaving.clone();
        let watcher = tokio::spawn(async move {
            // The handle never fails: ractor catches panics inside.
            let _ = ended.await;
            if !left.is_cancelled() {
                health.drain_and_exit("the supervision tree failed");
            }
        });
        Ok(Self { root, slots, watcher, leaving })
    }

    /// The root, to add children to.
    pub fn root(&self) -> &ActorRef<SupervisorMsg> {
        &self.root
    }

    /// Stops admitting, waits up to `grace` for running requests, cancels the rest, and
    /// takes the tree down in reverse order of its start.
    pub async fn drain(self, grace: Duration) {
        self.leaving.cancel();
        self.slots.drain(grace).await;
        if self.root.stop_and_wait(None, Some(STOP_LIMIT)).await.is_err() {
            tracing::warn!("the supervision tree did not stop in time");
            self.root.kill();
        }
        let _ = self.watcher.await;
    }
}

fn engine_supervisor(options: TreeOptions, slots: &LocalSlots) -> ChildSpec {
    let home = slots.clone();
    let rules = rules(options, options.slot, Exhausted::GiveUpChild);
    ChildSpec::new("EngineSup", ChildKind::Permanent, move || {
        (Supervisor, SupervisorArgs { options: rules, children: Vec::new() })
    })
    .shutdown_within(STOP_LIMIT)
    .watched_by(move |event| {
        if let ChildEvent::Started(cell) = event {
            home.set_supervisor(cell);
        }
    })
}

fn rules(options: TreeOptions, intensity: Intensity, exhausted: Exhausted) -> PlanOptions {
    let TreeOptions { backoff, seed, .. } = options;
    PlanOptions { strategy: Strategy::OneForOne, intensity, exhausted, backoff, seed }
}
