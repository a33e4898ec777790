//! Sequences given back to another node, without waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use understudy_backend::{RequestCtx, SeqId};
use understudy_proto::node::v1;

use super::link::{Kind, Link};
use crate::wire::request;

/// Sequences that wait to be given back: more than a slot has open. When full the next one is left to its lease.
const CAPACITY: usize = 256;
/// Sequences given back in one call.
const AT_ONCE: usize = 64;
/// A call that gives back may take this long; then those sequences are left to their leases.
const WITHIN: Duration = Duration::from_secs(5);

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

    /// From now on the sequence is closed when its request is cancelled.
    pub(super) fn tie(&self, ctx: &RequestCtx, seq: SeqId) {
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
        if self.0.waiting.try_send(request::seq_ref(seq)).is_err() {
            tracing::debug!(?seq, "a sequence on another node is left to its lease");
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<SeqId, CancellationToken>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
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
