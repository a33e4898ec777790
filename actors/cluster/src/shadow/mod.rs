//! What outlives a gateway: each notes its requests with one other node, so that a caller whose gateway was lost can go on
//! at any node.
//!
//! | module | what it holds |
//! |---|---|
//! | `store` | what is known of requests, in bounds |
//! | `noting` | this node's requests on their way to its witness |
//! | `service` | what other nodes note here and ask for |
//!
//! **Invariants.** Nothing waits for a note: an answer is told at its own pace, and a witness that is slow or gone costs
//! only what it would have known. A record may lag behind what its caller has, but is never wrong as of an event that it
//! knows. A request is found under its id for its own tenant only.

pub(crate) mod noting;
pub(crate) mod service;
pub(crate) mod store;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, transport::Channel};
use understudy_backend::NodeId;
use understudy_proto::node::v1::{
    NoteRequest, RecallRequest, RecallResponse, note_request::Kind, shadows_client::ShadowsClient,
};

use crate::{remotes::Peers, slots::Remotes as _};
use store::{Source, Store};

pub use noting::Noted;
pub use store::Recalled;

/// Largest note: a request, which is the larger by far, and its names. A larger request is not noted.
const LARGEST_NOTE: usize = 5 << 20;
/// Largest answer to a recall: a request and the text of its answer.
const LARGEST_RECALL: usize = 16 << 20;
/// How long other nodes are asked for a request.
const RECALL_LIMIT: Duration = Duration::from_secs(2);

/// This node's records: of its own requests, and of those that others note here.
pub(crate) struct Shadow {
    store: Mutex<Store>,
    since: Instant,
    sources: AtomicU64,
}

impl Shadow {
    pub(crate) fn new() -> Self {
        let sources = AtomicU64::new(Source::OWN.0 + 1);
        Self { store: Mutex::default(), since: Instant::now(), sources }
    }

    /// A request as this node, or else any other that is heard, knows it. One that knows it up to the caller's last event
    /// is as good as all.
    pub(crate) async fn recall(&self, peers: &Peers, asked: RecallRequest) -> Option<Recalled> {
        let reaches = |found: &Recalled| found.sequence >= asked.last_sequence;
        let mut best = self.own(&asked);
        if best.as_ref().is_some_and(reaches) {
            return best;
        }
        let view = peers.view();
        let channels = view.usable().filter_map(|node| peers.way(&view, NodeId(node.node)));
        let mut answers: FuturesUnordered<_> =
            channels.map(|(channel, _)| ask(channel, asked.clone())).collect();
        let asking = async {
            while let Some(found) = answers.next().await {
                let Some(found) = found else { continue };
                if best.as_ref().is_none_or(|best| best.sequence < found.sequence) {
                    best = Some(found);
                }
                if best.as_ref().is_some_and(reaches) {
                    return;
                }
            }
        };
        // Whoever takes longer is as good as gone.
        let _ = timeout(RECALL_LIMIT, asking).await;
        best
    }

    fn own(&self, asked: &RecallRequest) -> Option<Recalled> {
        let RecallRequest { request_id, tenant, last_sequence } = asked;
        self.store().recall(self.now(), tenant, request_id, *last_sequence)
    }

    fn take(&self, source: Source, note: NoteRequest) {
        let (now, number) = (self.now(), note.number);
        match note.kind {
            Some(Kind::Begun(begun)) => self.store().begin(now, source, number, begun),
            Some(Kind::Told(told)) => self.store().tell(source, number, &told),
            Some(Kind::Ended(_)) => self.store().end(now, source, number),
            // Of a later version.
            None => {}
        }
    }

    fn next_source(&self) -> Source {
        Source(self.sources.fetch_add(1, Ordering::Relaxed))
    }

    fn now(&self) -> Duration {
        self.since.elapsed()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(channel: Channel, asked: RecallRequest) -> Option<Recalled> {
    let mut request = Request::new(asked);
    request.set_timeout(RECALL_LIMIT);
    let mut client = ShadowsClient::new(channel).max_decoding_message_size(LARGEST_RECALL);
    match client.recall(request).await {
        Ok(found) => {
            let RecallResponse { request, sequence, text } = found.into_inner();
            Some(Recalled { request, sequence, text })
        }
        Err(status) => {
            if status.code() != Code::NotFound {
                tracing::debug!(%status, "a node does not say whether it knows a request");
            }
            None
        }
    }
}
