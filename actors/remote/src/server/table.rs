//! Whose sequences are open here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use understudy_backend::{Backend, BackendError, SeqId};
use understudy_engine::EngineError;
use understudy_proto::node::v1::SeqRef;

/// How often sequences without use are looked for, as a share of their lease.
const LOOKS_PER_LEASE: u32 = 10;

/// Sequences by the peer that opened them, and by the names that it gave them. A peer reaches its own and no other's.
pub(super) struct Table {
    /// Sequences of one peer.
    most: usize,
    /// Places so far: a name that is closed while it is opened may be taken anew.
    admitted: AtomicU64,
    peers: Mutex<HashMap<u64, Peer>>,
}

struct Peer {
    /// Cancelled when the peer is dropped; every sequence's life is a child.
    gone: CancellationToken,
    places: Arc<Semaphore>,
    sequences: HashMap<Name, Sequence>,
}

/// Boot and number of a [`SeqRef`].
type Name = (u64, u64);

enum Sequence {
    /// On its way: the number of its place, and what ends that.
    Opening(u64, CancellationToken),
    Open(Arc<Held>),
}

/// A place for a sequence that is about to be opened. Dropping it gives the place and the name up.
pub(super) struct Place {
    table: Arc<Table>,
    peer: u64,
    name: Name,
    number: u64,
    gone: CancellationToken,
    life: CancellationToken,
    permit: Option<OwnedSemaphorePermit>,
}

/// An open sequence.
pub(super) struct Held {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) seq: SeqId,
    /// Ends every verb on it, and the sequence.
    pub(super) life: CancellationToken,
    /// Its peer was dropped.
    gone: CancellationToken,
    used: Mutex<Instant>,
    _permit: OwnedSemaphorePermit,
}

/// A sequence while a verb uses it: its lease begins anew when that is over.
pub(super) struct InUse(Arc<Held>);

impl Table {
    /// Closes what nobody used for `lease`, as long as somebody holds the table. Must be called in a runtime.
    pub(super) fn new(most: usize, lease: Duration) -> Arc<Self> {
        let table = Arc::new(Self { most, admitted: AtomicU64::new(0), peers: Mutex::default() });
        tokio::spawn(expire(Arc::downgrade(&table), lease));
        table
    }

    /// A place for a peer's sequence of this name.
    ///
    /// # Errors
    /// [`BackendError::Overloaded`] where the peer has as many as it may; [`EngineError::InvalidArgument`] for a name
    /// that is none, or taken.
    pub(super) fn admit(
        self: &Arc<Self>,
        peer: u64,
        seq: Option<SeqRef>,
        model: &str,
    ) -> Result<Place, BackendError> {
        let unnamed = || EngineError::InvalidArgument("the sequence has no name".into());
        let name = seq.map(|seq| (seq.boot, seq.number)).ok_or_else(unnamed)?;
        let mut peers = self.lock();
        let known = peers.entry(peer).or_insert_with(|| Peer {
            gone: CancellationToken::new(),
            places: Arc::new(Semaphore::new(self.most)),
            sequences: HashMap::new(),
        });
        let Entry::Vacant(entry) = known.sequences.entry(name) else {
            return Err(EngineError::InvalidArgument("the sequence's name is taken".into()).into());
        };
        let full = |_| BackendError::Overloaded { model: model.to_owned(), waiting: self.most };
        let permit = known.places.clone().try_acquire_owned().map_err(full)?;
        let gone = known.gone.clone();
        let life = gone.child_token();
        let number = self.admitted.fetch_add(1, Ordering::Relaxed);
        entry.insert(Sequence::Opening(number, life.clone()));
        Ok(Place { table: self.clone(), peer, name, number, gone, life, permit: Some(permit) })
    }

    /// # Errors
    /// [`EngineError::StaleSeq`] for what is closed, not open yet, or of another peer.
    pub(super) fn get(&self, peer: u64, seq: Option<SeqRef>) -> Result<InUse, EngineError> {
        let seq = seq.ok_or(EngineError::StaleSeq)?;
        let peers = self.lock();
        match peers.get(&peer).and_then(|peer| peer.sequences.get(&(seq.boot, seq.number))) {
            Some(Sequence::Open(held)) => Ok(InUse(held.clone())),
            Some(Sequence::Opening(..)) | None => Err(EngineError::StaleSeq),
        }
    }

    /// Closes a sequence, also one that is still on its way.
    pub(super) fn close(&self, peer: u64, seq: SeqRef) {
        let removed =
            self.lock().get_mut(&peer).and_then(|peer| peer.sequences.remove(&(seq.boot, seq.number)));
        if let Some(sequence) = removed {
            sequence.end();
        }
    }

    /// Ends everything of a peer, what it is about to open included.
    pub(super) fn drop_peer(&self, peer: u64) {
        let Some(peer) = self.lock().remove(&peer) else { return };
        peer.gone.cancel();
        peer.sequences.into_values().for_each(Sequence::end);
    }

    /// Sequences that are open.
    pub(super) fn count(&self) -> usize {
        let is_open = |sequence: &&Sequence| matches!(sequence, Sequence::Open(_));
        self.lock().values().map(|peer| peer.sequences.values().filter(is_open).count()).sum()
    }

    fn close_unused(&self, lease: Duration) {
        let mut unused = Vec::new();
        for peer in self.lock().values_mut() {
            unused.extend(peer.sequences.extract_if(|_, sequence| sequence.is_unused(lease)));
        }
        for (_, sequence) in unused {
            tracing::info!("a sequence of a peer was not used and is closed");
            sequence.end();
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
    /// Cancelled when the sequence is closed, or its peer dropped.
    pub(super) fn life(&self) -> CancellationToken {
        self.life.clone()
    }

    /// What the opening says that this place's end has ended: the sequence is gone, and not the request.
    pub(super) fn ended(&self, error: BackendError) -> BackendError {
        ended(&self.life, error)
    }

    /// The sequence is open: from now on verbs reach it.
    ///
    /// # Errors
    /// [`EngineError::StaleSeq`] where it was closed meanwhile.
    pub(super) fn opened(mut self, backend: Arc<dyn Backend>, seq: SeqId) -> Result<(), EngineError> {
        let permit = self.permit.take().ok_or(EngineError::StaleSeq)?;
        let used = Mutex::new(Instant::now());
        let (life, gone) = (self.life.clone(), self.gone.clone());
        let held = Arc::new(Held { backend, seq, life, gone, used, _permit: permit });
        let mut peers = self.table.lock();
        match peers.get_mut(&self.peer).and_then(|peer| peer.sequences.get_mut(&self.name)) {
            Some(sequence) if sequence.is_opening(self.number) && !self.life.is_cancelled() => {
                *sequence = Sequence::Open(held);
                Ok(())
            }
            _ => {
                held.end();
                Err(EngineError::StaleSeq)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.permit.is_none() {
            return;
        }
        self.life.cancel();
        if let Some(peer) = self.table.lock().get_mut(&self.peer)
            && let Entry::Occupied(entry) = peer.sequences.entry(self.name)
            && entry.get().is_opening(self.number)
        {
            entry.remove();
        }
    }
}

impl Sequence {
    fn end(self) {
        match self {
            Self::Opening(_, life) => life.cancel(),
            Self::Open(held) => held.end(),
        }
    }

    /// It is what this place was given out for.
    fn is_opening(&self, place: u64) -> bool {
        matches!(self, Self::Opening(number, _) if *number == place)
    }

    /// The table alone has it, and nothing used it for so long.
    fn is_unused(&self, lease: Duration) -> bool {
        let Self::Open(held) = self else { return false };
        let used = *held.used.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::strong_count(held) == 1 && used.elapsed() >= lease
    }
}

impl Held {
    /// Ends its verbs and gives it back.
    fn end(&self) {
        self.life.cancel();
        self.backend.close(self.seq);
    }

    /// Its end is this node's doing, and not its peer's.
    pub(super) fn is_abandoned(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// What a verb says that this sequence's end has ended: the sequence is gone, and not the request.
    pub(super) fn ended(&self, error: BackendError) -> BackendError {
        ended(&self.life, error)
    }
}

fn ended(life: &CancellationToken, error: BackendError) -> BackendError {
    match error {
        BackendError::Cancelled | BackendError::Engine(EngineError::Cancelled) if life.is_cancelled() => {
            EngineError::StaleSeq.into()
        }
        error => error,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

    use understudy_backend::{NodeId, fake::FakeBackend};
    use understudy_engine::verbs::SeqKey;

    use super::*;

    const NAME: SeqRef = SeqRef { boot: 1, number: 1 };

    fn open(place: Place) -> Result<(), EngineError> {
        let key = SeqKey { slot: 0, generation: 0 };
        place.opened(Arc::new(FakeBackend::new("m")), SeqId { node: NodeId(0), boot: 0, key })
    }

    #[tokio::test]
    async fn a_name_that_is_taken_anew_outlives_the_opening_that_had_it() {
        let table = Table::new(4, Duration::from_secs(600));
        for is_opened in [false, true] {
            let first = table.admit(7, Some(NAME), "m").unwrap();
            table.close(7, NAME);
            let second = table.admit(7, Some(NAME), "m").unwrap();
            let life = second.life();
            match is_opened {
                true => assert_eq!(open(first), Err(EngineError::StaleSeq)),
                false => drop(first),
            }
            assert_eq!(open(second), Ok(()));
            assert!(table.get(7, Some(NAME)).is_ok());
            table.close(7, NAME);
            assert!(life.is_cancelled(), "its end reaches it");
        }
    }
}
