//! Names of sequences on other nodes, and how they are given back: without waiting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use understudy_backend::{NodeId, RequestCtx, SeqId};
use understudy_engine::verbs::SeqKey;
use understudy_proto::node::v1;

use super::link::{Kind, Link};
use crate::wire::request;

/// Sequences that wait to be given back: more than a slot has open. When full the next one is left to its lease.
const CAPACITY: usize = 256;
/// Sequences given back in one call.
const AT_ONCE: usize = 64;
/// A call that gives back may take this long; then those sequences are left to their leases.
const WITHIN: Duration = Duration::from_secs(5);

/// Names belong to a start of this process: what an earlier one opened is never meant.
static BOOT: LazyLock<u64> = LazyLock::new(|| {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
});
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The name of a sequence that is about to be opened. Where that comes to nothing here it is closed there, whatever
/// has become of it.
pub(super) struct Named<'a> {
    closer: &'a Closer,
    seq: SeqId,
    is_open: bool,
}

/// Gives sequences back, also those whose request is cancelled.
#[derive(Clone)]
pub(super) struct Closer(Arc<Inner>);

struct Inner {
    waiting: mpsc::Sender<v1::SeqRef>,
    /// Each with what ends the watch over its request.
    open: Mutex<HashMap<SeqId, CancellationToken>>,
}

impl Closer {
    /// Its task ends with the last closer, or with the node.
    pub(super) fn start(link: &Link) -> Self {
        let (waiting, closing) = mpsc::channel(CAPACITY);
        tokio::spawn(give_back(link.clone(), closing));
        Self(Arc::new(Inner { waiting, open: Mutex::default() }))
    }

    /// A name for a sequence on that node.
    pub(super) fn name(&self, node: NodeId) -> Named<'_> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let key = SeqKey { slot: (number >> 32) as u32, generation: number as u32 };
        Named { closer: self, seq: SeqId { node, boot: *BOOT, key }, is_open: false }
    }

    /// From now on the sequence is closed when its request is cancelled.
    fn tie(&self, ctx: &RequestCtx, seq: SeqId) {
        let closed = CancellationToken::new();
        self.open().insert(seq, closed.clone());
        let (cancel, closer) = (ctx.cancel.clone(), self.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = cancel.cancelled() => closer.close(seq),
            }
        });
    }

    pub(super) fn close(&self, seq: SeqId) {
        let Some(closed) = self.open().remove(&seq) else { return };
        closed.cancel();
        self.give_back(seq);
    }

    fn give_back(&self, seq: SeqId) {
        if self.0.waiting.try_send(request::seq_ref(seq)).is_err() {
            tracing::debug!(?seq, "a sequence on another node is left to its lease");
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<SeqId, CancellationToken>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Named<'_> {
    pub(super) fn seq_ref(&self) -> v1::SeqRef {
        request::seq_ref(self.seq)
    }

    /// It was opened: the request has it now.
    pub(super) fn opened(mut self, ctx: &RequestCtx) -> SeqId {
        self.is_open = true;
        self.closer.tie(ctx, self.seq);
        self.seq
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if !self.is_open {
            self.closer.give_back(self.seq);
        }
    }
}

async fn give_back(link: Link, mut closing: mpsc::Receiver<v1::SeqRef>) {
    let ctx = RequestCtx::new("close");
    loop {
        let mut seqs = Vec::new();
        tokio::select! {
            () = link.lost().cancelled() => return,
            got = closing.recv_many(&mut seqs, AT_ONCE) => if got == 0 { return },
        }
        let mut client = link.client();
        let ctx = ctx.clone().with_timeout(WITHIN);
        if let Err(error) = link.call(&ctx, Kind::Short, client.close(v1::CloseRequest { seqs })).await {
            tracing::debug!(model = link.model(), %error, "sequences on another node are left to their leases");
        }
    }
}
