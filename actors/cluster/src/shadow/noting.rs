//! This node's requests on their way to its witness.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prost::Message as _;
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use understudy_backend::{NodeId, RequestCtx};
use understudy_proto::{
    node::v1::{Begun, Ended, NoteRequest, Told, note_request::Kind, shadows_client::ShadowsClient},
    v1::GenerateRequest,
};

use super::{LARGEST_NOTE, Shadow, store::Source};
use crate::{remotes::Peers, view::ClusterView};

/// Notes that were not taken in yet: half a second of 64 answers at 128 tokens a second. Full: the request is noted no
/// further.
const NOTES: usize = 4096;
/// Notes between here and the connection. Full: the rest waits among [`NOTES`].
const ON_THE_WAY: usize = 256;
/// How long nobody is asked after a node that would not be the witness.
const PAUSE: Duration = Duration::from_millis(500);

/// Where requests are noted. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Notebook {
    notes: mpsc::Sender<NoteRequest>,
    shadow: Arc<Shadow>,
    numbers: Arc<AtomicU64>,
}

impl Notebook {
    /// Notes that a request begins; `None` where that cannot be noted.
    pub(crate) fn begin(&self, ctx: &RequestCtx, request: &GenerateRequest) -> Option<Noted> {
        if request.encoded_len() > LARGEST_NOTE - ctx.tenant.len() - 1024 {
            return None;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let begun = Begun {
            request_id: ctx.request_id.0.clone(),
            tenant: ctx.tenant.clone(),
            request: request.encode_to_vec(),
        };
        self.notes.try_send(NoteRequest { number, kind: Some(Kind::Begun(begun)) }).ok()?;
        Some(Noted { notebook: self.clone(), number, is_behind: false })
    }
}

/// A request that is noted. Dropping it notes that the answer is over.
pub struct Noted {
    notebook: Notebook,
    number: u64,
    /// A note did not go out: those after it would not fit.
    is_behind: bool,
}

impl Noted {
    /// Notes an event that is about to be told: its place in the answer, how many bytes of the text before it stand, and
    /// what follows them. Waits for nothing.
    pub fn tell(&mut self, sequence: u64, kept: u64, text: &str) {
        if !self.is_behind {
            self.is_behind = !self.send(Kind::Told(Told { sequence, kept, text: text.to_owned() }));
        }
    }

    fn send(&self, kind: Kind) -> bool {
        let sent = self.notebook.notes.try_send(NoteRequest { number: self.number, kind: Some(kind) });
        if let Err(TrySendError::Full(_)) = &sent {
            tracing::warn!("too many notes wait for the witness; an answer is noted no further");
        }
        sent.is_ok()
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if !self.send(Kind::Ended(Ended {})) {
            let shadow = &self.notebook.shadow;
            shadow.store().end(shadow.now(), Source::OWN, self.number);
        }
    }
}

impl std::fmt::Debug for Noted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Noted").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Takes notes in and passes them on.
pub(crate) struct Noting {
    notes: mpsc::Receiver<NoteRequest>,
    shadow: Arc<Shadow>,
    peers: Arc<Peers>,
}

impl Noting {
    pub(crate) fn new(shadow: Arc<Shadow>, peers: Arc<Peers>) -> (Notebook, Self) {
        let (sender, notes) = mpsc::channel(NOTES);
        let notebook = Notebook { notes: sender, shadow: shadow.clone(), numbers: Arc::default() };
        (notebook, Self { notes, shadow, peers })
    }

    /// Runs until the membership ends.
    pub(crate) async fn run(mut self) {
        let mut view = self.peers.view.clone();
        let mut failed = None;
        while view.has_changed().is_ok() {
            let chosen = witness(&view.borrow_and_update(), failed.take());
            match chosen {
                Some(node) => {
                    let begun = Instant::now();
                    self.with(node, &view).await;
                    failed = Some(node);
                    if begun.elapsed() < PAUSE {
                        // Nodes that refuse would be asked without end.
                        let _ = timeout(PAUSE, self.alone()).await;
                    }
                }
                None => tokio::select! {
                    () = self.alone() => {}
                    _ = view.changed() => {}
                    // The one that failed may be worth another try.
                    () = sleep(PAUSE) => {}
                },
            }
        }
    }

    /// Keeps what comes, without a witness. Never ends.
    async fn alone(&mut self) {
        while let Some(note) = self.notes.recv().await {
            self.shadow.take(Source::OWN, note);
        }
        std::future::pending().await
    }

    /// Passes everything on, beginning with what is known of requests that run, until the witness goes.
    async fn with(&mut self, node: NodeId, view: &watch::Receiver<Arc<ClusterView>>) {
        let way = self.peers.way(&view.borrow(), node);
        let Some((channel, lost)) = way else { return };
        let (out, stream) = mpsc::channel(ON_THE_WAY);
        let mut client = ShadowsClient::new(channel);
        let mut call = pin!(client.note(ReceiverStream::new(stream)));
        let gone = until_gone(view.clone(), node, lost);
        let telling = async {
            let running = self.shadow.store().running();
            for number in running {
                for note in self.whole(number) {
                    if out.send(note).await.is_err() {
                        return;
                    }
                }
            }
            while let Some(note) = self.notes.recv().await {
                // Here first: what does not reach this witness is told to the next one.
                self.shadow.take(Source::OWN, note.clone());
                if out.send(note).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            ended = &mut call => if let Err(status) = ended {
                tracing::debug!(node = node.0, %status, "the witness takes no notes any more");
            },
            () = gone => tracing::debug!(node = node.0, "the witness is gone"),
            () = telling => {}
        }
    }

    fn whole(&self, number: u64) -> Vec<NoteRequest> {
        let Some((begun, told)) = self.shadow.store().whole(number) else { return Vec::new() };
        let kinds = std::iter::once(Kind::Begun(begun)).chain(told.into_iter().map(Kind::Told));
        kinds.map(|kind| NoteRequest { number, kind: Some(kind) }).collect()
    }
}

/// The node with the shortest way; the one that failed only if there is no other.
fn witness(view: &ClusterView, failed: Option<NodeId>) -> Option<NodeId> {
    let able = view.usable().filter(|node| !node.facts.draining);
    let best = able.min_by_key(|node| (failed == Some(NodeId(node.node)), node.round_trip, node.node))?;
    Some(NodeId(best.node))
}

/// Resolves when this node is none to send to any more.
async fn until_gone(mut view: watch::Receiver<Arc<ClusterView>>, node: NodeId, lost: CancellationToken) {
    let is_gone =
        |view: &Arc<ClusterView>| !view.usable().any(|there| there.node == node.0 && !there.facts.draining);
    tokio::select! {
        () = lost.cancelled() => {}
        // A view that ends has no nodes any more.
        _ = view.wait_for(is_gone) => {}
    }
}
