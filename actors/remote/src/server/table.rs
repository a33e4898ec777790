//! Whose sequences are open here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use understudy_backend::{Backend, SeqId};
use understudy_engine::EngineError;
use understudy_proto::node::v1::SeqRef;

/// How often sequences without use are looked for, as a share of their lease.
const LOOKS_PER_LEASE: u32 = 10;

/// Sequences by the peer that opened them. A peer reaches its own and no other's.
pub(super) struct Table {
    /// This start of the service: what was opened before it is stale.
    boot: u64,
    /// Sequences of one peer.
    most: usize,
    numbers: AtomicU64,
    peers: Mutex<HashMap<u64, Peer>>,
}

struct Peer {
    /// Cancelled when the peer is dropped; every sequence's life is a child.
    gone: CancellationToken,
    places: Arc<Semaphore>,
    open: HashMap<u64, Arc<Held>>,
}

/// A place for a sequence that is about to be opened.
pub(super) struct Place {
    permit: OwnedSemaphorePermit,
    gone: CancellationToken,
}

/// An open sequence.
pub(super) struct Held {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) seq: SeqId,
    /// Ends every verb on it, and the sequence.
    pub(super) life: CancellationToken,
    used: Mutex<Instant>,
    _permit: OwnedSemaphorePermit,
}

/// A sequence while a verb uses it: its lease begins anew when that is over.
pub(super) struct InUse(Arc<Held>);

impl Table {
    /// Closes what nobody used for `lease`, as long as somebody holds the table. Must be called in a runtime.
    pub(super) fn new(most: usize, lease: Duration) -> Arc<Self> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let boot = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        let peers = Mutex::default();
        let table = Arc::new(Self { boot, most, numbers: AtomicU64::new(1), peers });
        tokio::spawn(expire(Arc::downgrade(&table), lease));
        table
    }

    /// # Errors
    /// How many sequences the peer has, where it may not have another.
    pub(super) fn admit(&self, peer: u64) -> Result<Place, usize> {
        let mut peers = self.lock();
        let peer = peers.entry(peer).or_insert_with(|| Peer {
            gone: CancellationToken::new(),
            places: Arc::new(Semaphore::new(self.most)),
            open: HashMap::new(),
        });
        let permit = peer.places.clone().try_acquire_owned().map_err(|_| self.most)?;
        Ok(Place { permit, gone: peer.gone.clone() })
    }

    /// Notes a sequence that was opened on `life`.
    ///
    /// # Errors
    /// [`EngineError::StaleSeq`] where the peer was dropped meanwhile; the sequence is closed.
    pub(super) fn insert(
        &self,
        peer: u64,
        place: Place,
        life: CancellationToken,
        backend: Arc<dyn Backend>,
        seq: SeqId,
    ) -> Result<SeqRef, EngineError> {
        let used = Mutex::new(Instant::now());
        let held = Arc::new(Held { backend, seq, life, used, _permit: place.permit });
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut peers = self.lock();
        match peers.get_mut(&peer).filter(|_| !place.gone.is_cancelled()) {
            Some(peer) => peer.open.insert(number, held),
            None => {
                held.end();
                return Err(EngineError::StaleSeq);
            }
        };
        Ok(SeqRef { boot: self.boot, number })
    }

    /// # Errors
    /// [`EngineError::StaleSeq`] for what is closed, of another peer, or of another start.
    pub(super) fn get(&self, peer: u64, seq: Option<SeqRef>) -> Result<InUse, EngineError> {
        let seq = seq.filter(|seq| seq.boot == self.boot).ok_or(EngineError::StaleSeq)?;
        let held = self.lock().get(&peer).and_then(|peer| peer.open.get(&seq.number).cloned());
        held.map(InUse).ok_or(EngineError::StaleSeq)
    }

    pub(super) fn close(&self, peer: u64, seq: SeqRef) {
        let removed = match self.lock().get_mut(&peer) {
            Some(peer) if seq.boot == self.boot => peer.open.remove(&seq.number),
            _ => None,
        };
        if let Some(held) = removed {
            held.end();
        }
    }

    /// Ends everything of a peer, what it is about to open included.
    pub(super) fn drop_peer(&self, peer: u64) {
        let Some(peer) = self.lock().remove(&peer) else { return };
        peer.gone.cancel();
        peer.open.into_values().for_each(|held| held.end());
    }

    pub(super) fn count(&self) -> usize {
        self.lock().values().map(|peer| peer.open.len()).sum()
    }

    fn close_unused(&self, lease: Duration) {
        let mut unused = Vec::new();
        for peer in self.lock().values_mut() {
            unused.extend(peer.open.extract_if(|_, held| held.is_unused(lease)));
        }
        for (_, held) in unused {
            tracing::info!(model = held.backend.card().name, "a peer's sequence was not used and is closed");
            held.end();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn expire(table: Weak<Table>, lease: Duration) {
    loop {
        tokio::time::sleep(lease / LOOKS_PER_LEASE).await;
        let Some(table) = table.upgrade() else { return };
        table.close_unused(lease);
    }
}

impl Place {
    /// Cancelled when the peer is dropped.
    pub(super) fn life(&self) -> CancellationToken {
        self.gone.child_token()
    }
}

impl Held {
    /// Ends its verbs and gives it back.
    fn end(&self) {
        self.life.cancel();
        self.backend.close(self.seq);
    }

    /// The table alone has it, and nothing used it for so long.
    fn is_unused(self: &Arc<Self>, lease: Duration) -> bool {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::strong_count(self) == 1 && used.elapsed() >= lease
    }
}

impl std::ops::Deref for InUse {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}
