//! A node's part in a cluster, which it may join and leave while it runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, watch};
use understudy_actors::Constraints;
use understudy_backend::{Backend, BackendError, LoadEvent, NodeId, RequestCtx, Slots};
use understudy_identity::{Clock, ClusterFiles, IdentityError, invite::Shown};
use understudy_proto::{node::v1::RecallRequest, v1::GenerateRequest};
use understudy_remote::{CodecStore, Limits};

use crate::{
    ClusterConfig, ClusterError, ClusterView, OwnFacts, Remotes,
    running::Running,
    shadow::{Noted, Recalled},
    slots::ClusterSlots,
};

/// How often a node looks whether it was made a member, or is one no more.
const LOOK: Duration = Duration::from_secs(1);

/// How often a node that drains looks whether peers are done with it.
const SERVED_LOOK: Duration = Duration::from_millis(20);

/// What a node brings into a cluster.
#[derive(Clone)]
pub struct ClusterParts {
    /// The models of this process.
    pub local: Arc<dyn Slots>,
    /// Compiled constraints, shared with the router.
    pub constraints: Arc<Constraints>,
    /// What this node tells of itself.
    pub facts: Arc<dyn OwnFacts>,
    /// Codecs of models that only others have.
    pub codecs: Arc<CodecStore>,
    /// What peers may ask of it.
    pub limits: Limits,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// A node's part. Cheap to clone; clones share everything.
///
/// The folder of [`ClusterFiles`] says whether the node is a member; commands change it, and
/// [`follow`](Self::follow) notices.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    files: ClusterFiles,
    config: ClusterConfig,
    parts: ClusterParts,
    /// The node serves: before that it is nobody's peer.
    is_open: AtomicBool,
    running: ArcSwapOption<Running>,
    /// One start or stop at a time.
    turn: Mutex<()>,
    /// The view of whoever runs now.
    view: watch::Sender<Arc<ClusterView>>,
}

impl Cluster {
    /// A node's part; nothing runs yet.
    pub fn new(files: ClusterFiles, config: ClusterConfig, parts: ClusterParts) -> Self {
        Self(Arc::new(Inner {
            files,
            config,
            parts,
            is_open: AtomicBool::new(false),
            running: ArcSwapOption::empty(),
            turn: Mutex::default(),
            view: watch::Sender::new(Arc::default()),
        }))
    }

    /// The models of this process and of the cluster.
    pub fn slots(&self) -> ClusterSlots {
        let seed = self.0.parts.clock.now_ms();
        ClusterSlots::new(self.0.parts.local.clone(), Arc::new(self.clone()), seed)
    }

    /// From now on the node takes part, if it is a member.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub async fn open(&self) -> Result<(), ClusterError> {
        self.0.is_open.store(true, Ordering::SeqCst);
        self.look().await
    }

    /// Begins if the node is a member and does not run yet, ends if it runs and is none any more, or is one with another
    /// key: then it left and joined anew since the last look, and begins with the next one.
    ///
    /// # Errors
    /// [`ClusterError`]; the node is then alone.
    pub async fn look(&self) -> Result<(), ClusterError> {
        let _turn = self.0.turn.lock().await;
        let wants = self.0.config.enabled && self.0.is_open.load(Ordering::SeqCst);
        let is_member = wants && self.0.files.is_member();
        let running = self.0.running.load_full();
        match running {
            None if is_member => {
                let running = Running::start(self.0.files.clone(), &self.0.config, &self.0.parts).await?;
                self.0.running.store(Some(Arc::new(running)));
            }
            Some(running) => {
                let has_left =
                    !self.0.files.is_member() || self.0.files.key().is_some_and(|key| key != running.key);
                if has_left || !is_member || running.is_broken() {
                    self.0.running.store(None);
                    self.0.view.send_replace(Arc::default());
                    running.stop(has_left).await;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Looks again and again, and passes the view on. Never ends.
    pub async fn follow(&self) {
        let mut told = String::new();
        loop {
            let problem = self.look().await.err().map(|error| error.to_string()).unwrap_or_default();
            if problem != told {
                if !problem.is_empty() {
                    tracing::error!(problem, "this node takes no part in its cluster");
                }
                told = problem;
            }
            let again = tokio::time::sleep(LOOK);
            tokio::pin!(again);
            let Some(running) = self.0.running.load_full() else {
                again.await;
                continue;
            };
            let mut view = running.peers.view.clone();
            loop {
                self.show(&running, view.borrow_and_update().clone());
                tokio::select! {
                    () = &mut again => break,
                    changed = view.changed() => if changed.is_err() { break },
                }
            }
            again.await;
        }
    }

    /// Shows what a part sees, unless it is over by now: of one that has ended the last word is that it shows nothing.
    fn show(&self, of: &Arc<Running>, view: Arc<ClusterView>) {
        self.0.view.send_if_modified(|shown| {
            // Looked at while the view is held: whoever ends the part clears the view after it.
            let runs = self.0.running.load().as_ref().is_some_and(|running| Arc::ptr_eq(running, of));
            if runs {
                *shown = view;
            }
            runs
        });
    }

    /// The nodes as this one sees them, now and later.
    pub fn watch(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.0.view.subscribe()
    }

    /// The name of the cluster; `None` while the node is alone.
    pub fn name(&self) -> Option<String> {
        self.0.running.load().as_ref().map(|running| running.cluster.clone())
    }

    /// Where other nodes reach this one; none while it is alone.
    pub fn addresses(&self) -> Vec<String> {
        let running = self.0.running.load();
        let addresses = running.as_ref().map(|running| running.hello.borrow().addresses.clone());
        addresses.unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    /// Notes a request of this node's, with which its caller can go on at another node should this one be lost. `None`
    /// while the node is alone.
    pub fn note(&self, ctx: &RequestCtx, request: &GenerateRequest) -> Option<Noted> {
        self.0.running.load().as_ref()?.notebook.begin(ctx, request)
    }

    /// What this node, or else any that it hears, knows of a tenant's request, for a caller who has its events up to
    /// `last_sequence`. Takes 2 s at most.
    pub async fn recall(&self, tenant: &str, request_id: &str, last_sequence: u64) -> Option<Recalled> {
        let running = self.0.running.load_full()?;
        let (request_id, tenant) = (request_id.to_owned(), tenant.to_owned());
        running.shadow.recall(&running.peers, RecallRequest { request_id, tenant, last_sequence }).await
    }

    /// Opens an invite.
    ///
    /// # Errors
    /// [`ClusterError::Identity`] where the node is alone or lacks the authority, [`ClusterError::Invite`].
    pub fn invite(&self, with_authority: bool) -> Result<Shown, ClusterError> {
        let running = self.0.running.load_full().ok_or(IdentityError::NotMember)?;
        if !running.has_authority {
            return Err(IdentityError::NoAuthority.into());
        }
        Ok(running.invites.open(with_authority)?)
    }

    /// Waits until no sequence of a peer is open here, for as long as `patience` at most. Peers open new ones as long as
    /// they were not told that this node drains.
    pub async fn served(&self, patience: Duration) {
        let Some(running) = self.0.running.load_full() else { return };
        let finished = async {
            while running.verbs.open_sequences() > 0 {
                tokio::time::sleep(SERVED_LOOK).await;
            }
        };
        if tokio::time::timeout(patience, finished).await.is_err() {
            tracing::warn!(left = running.verbs.open_sequences(), "peers have to go on elsewhere");
        }
    }

    /// Stops taking part; the node stays a member.
    pub async fn stop(&self) {
        self.0.is_open.store(false, Ordering::SeqCst);
        let _turn = self.0.turn.lock().await;
        if let Some(running) = self.0.running.swap(None) {
            running.stop(false).await;
        }
    }
}

#[async_trait]
impl Remotes for Cluster {
    fn view(&self) -> Arc<ClusterView> {
        match &*self.0.running.load() {
            Some(running) => running.peers.view(),
            None => self.0.view.borrow().clone(),
        }
    }

    async fn backend(
        &self,
        ctx: &RequestCtx,
        node: NodeId,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        match self.0.running.load_full() {
            Some(running) => running.peers.backend(ctx, node, model, progress).await,
            None => Err(BackendError::Unavailable {
                model: model.into(),
                why: "this node is in no cluster any more".into(),
            }),
        }
    }

    fn prepare(&self, node: NodeId, model: &str) {
        if let Some(running) = self.0.running.load_full() {
            running.peers.prepare(node, model);
        }
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
