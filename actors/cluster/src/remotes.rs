//! Models of other nodes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::{Request, transport::Channel};
use understudy_backend::{Backend, BackendError, LoadEvent, NodeId, RequestCtx};
use understudy_identity::Fingerprint;
use understudy_proto::node::v1::{PrepareRequest, peers_client::PeersClient};
use understudy_remote::{CodecStore, RemoteBackend};

use crate::{
    dial::Dialler,
    losses::Losses,
    reach::Reach,
    slots::Remotes,
    view::{ClusterView, NodeView},
};

/// How long a node may take to say that it has heard what to load.
const PREPARE_LIMIT: Duration = Duration::from_secs(10);

/// Channels to other nodes and the backends over them.
pub(crate) struct Peers {
    pub(crate) dialler: Arc<Dialler>,
    pub(crate) view: watch::Receiver<Arc<ClusterView>>,
    pub(crate) losses: Losses,
    pub(crate) codecs: Arc<CodecStore>,
    pub(crate) known: Mutex<HashMap<u64, Peer>>,
}

/// One start of another node. There are at most as many as the membership knows nodes.
pub(crate) struct Peer {
    generation: u64,
    addresses: Vec<String>,
    reach: Arc<Reach>,
    /// Fires when it is lost. What was made for it before is of no use then, also where the same start comes back.
    lost: CancellationToken,
    channel: Channel,
    /// By model and digest: a model that was loaded anew from another file is another.
    backends: HashMap<(String, String), Arc<RemoteBackend>>,
}

impl Peers {
    /// The way to a node, and what fires when that is lost. `None` while it cannot be reached.
    pub(crate) fn way(&self, view: &ClusterView, node: NodeId) -> Option<(Channel, CancellationToken)> {
        let there = view.usable().find(|there| there.node == node.0)?;
        let mut known = self.lock();
        // Nodes that are gone, or were for a while, or are somewhere else now, and starts that are over.
        known.retain(|id, peer| {
            let is_same =
                |node: &NodeView| (node.generation, &node.addresses) == (peer.generation, &peer.addresses);
            !peer.lost.is_cancelled() && view.node(*id).is_some_and(is_same)
        });
        let expected = Fingerprint::from_bytes(there.fingerprint);
        let peer = known.entry(node.0).or_insert_with(|| {
            let reach = Arc::<Reach>::default();
            Peer {
                generation: there.generation,
                addresses: there.addresses.clone(),
                lost: self.losses.of(node.0, there.generation),
                channel: self.dialler.channel(there.addresses.clone(), expected, reach.clone()),
                reach,
                backends: HashMap::new(),
            }
        });
        if peer.reach.is_due() {
            self.dialler.probe(there.addresses.clone(), expected, peer.reach.clone());
        }
        (!peer.reach.is_shut()).then(|| (peer.channel.clone(), peer.lost.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Peer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Remotes for Peers {
    fn view(&self) -> Arc<ClusterView> {
        self.view.borrow().clone()
    }

    async fn backend(
        &self,
        ctx: &RequestCtx,
        node: NodeId,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let view = Remotes::view(self);
        let (channel, lost) = self.way(&view, node).ok_or_else(|| BackendError::Unavailable {
            model: model.into(),
            why: format!("node {:016x} is not reached", node.0),
        })?;
        let digest = view.digest(node.0, model);
        let key = (model.to_owned(), digest);
        let known = self.lock().get(&node.0).and_then(|peer| peer.backends.get(&key).cloned());
        if let Some(backend) = known {
            return Ok(backend);
        }
        let there =
            understudy_remote::Peer { node, channel, lost: lost.clone(), codecs: self.codecs.clone() };
        let backend = RemoteBackend::connect(&there, ctx, model, progress).await?;
        let backend = Arc::new(backend);
        if let Some(peer) = self.lock().get_mut(&node.0)
            && !lost.is_cancelled()
        {
            let key = (model.to_owned(), backend.card().digest.clone());
            // One for each model: an older file of it is over.
            peer.backends.retain(|(name, _), _| name != model);
            peer.backends.insert(key, backend.clone());
        }
        Ok(backend)
    }

    fn prepare(&self, node: NodeId, model: &str) {
        let view = Remotes::view(self);
        let (Some(there), Some((channel, _))) = (view.node(node.0), self.way(&view, node)) else { return };
        let mut ask = Request::new(PrepareRequest { model: model.into(), generation: there.generation });
        ask.set_timeout(PREPARE_LIMIT);
        tokio::spawn(async move {
            let asked = tokio::time::timeout(PREPARE_LIMIT, PeersClient::new(channel).prepare(ask)).await;
            if !matches!(asked, Ok(Ok(_))) {
                tracing::debug!(node = node.0, ?asked, "it was not asked to load a model");
            }
        });
    }
}
