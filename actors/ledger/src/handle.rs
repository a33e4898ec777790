//! Notes without waiting.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, Thread};

use tokio::sync::oneshot;

use crate::digest::Sealer;
use crate::writer::{Note, Writer};
use crate::{Entry, LedgerError, Message, Options, Store};

/// Notes that may wait for the writer: some seconds of a busy node, while another process holds the file. One more
/// is dropped and counted.
pub const QUEUE_CAPACITY: usize = 1024;
/// Bytes of text that may wait with them: with content kept, each may hold a prompt of 4 MiB.
pub const QUEUE_BYTES: usize = 64 << 20;

/// Notes requests and what is said of them. Cheap to clone; the thread behind it ends, with everything written, when
/// the last clone is gone.
#[derive(Clone)]
pub struct LedgerHandle {
    notes: SyncSender<Note>,
    writer: Thread,
    shared: Arc<Shared>,
    sealer: Sealer,
    options: Options,
}

/// A conversation as an entry holds it: made when a request begins, so that nobody has to keep its messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prompt {
    /// [`Entry::prompt_digest`].
    pub digest: String,
    /// [`Entry::messages`].
    pub messages: Option<Vec<Message>>,
}

/// What handles and writer share.
#[derive(Default)]
pub(crate) struct Shared {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl Shared {
    /// A batch left the queue.
    pub(crate) fn taken(&self, batch: &[Note]) {
        let weights = batch.iter().map(|note| if let Note::Entry(_, bytes) = note { *bytes } else { 0 });
        self.waiting_bytes.fetch_sub(weights.sum(), Ordering::Relaxed);
    }

    pub(crate) fn drop_entries(&self, entries: u64) {
        self.dropped.fetch_add(entries, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl LedgerHandle {
    /// Opens the file, or begins it, and starts its writer.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(path: &Path, options: Options) -> Result<Self, LedgerError> {
        Self::over(Store::open(path, options)?)
    }

    /// Starts a writer for this file.
    pub(crate) fn over(store: Store) -> Result<Self, LedgerError> {
        let (notes, inbox) = sync_channel(QUEUE_CAPACITY);
        let shared = Arc::new(Shared::default());
        let (sealer, options) = (store.sealer().clone(), store.options().clone());
        let writer = Writer::new(store, shared.clone());
        let thread = thread::Builder::new().name("ledger".into()).spawn(move || writer.run(&inbox));
        let writer = thread.map_err(|_| LedgerError::Unwritten)?.thread().clone();
        Ok(Self { notes, writer, shared, sealer, options })
    }

    /// A conversation, given as roles and texts, as an entry holds it.
    pub fn prompt<'a>(&self, messages: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Prompt {
        let message = |(role, content): (&str, &str)| Message { role: role.into(), content: content.into() };
        Prompt {
            digest: self.sealer.messages(messages.clone()),
            messages: self.sealer.keeps_content().then(|| messages.map(message).collect()),
        }
    }

    /// Notes a request that ended now. Never waits: what does not fit is dropped and counted.
    pub fn note(&self, mut entry: Entry) {
        entry.time_ms = self.options.now_ms();
        let bytes = entry.weight();
        let before = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= QUEUE_BYTES;
        if !fits || self.notes.try_send(Note::Entry(Box::new(entry), bytes)).is_err() {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.drop_entries(1);
        }
    }

    /// Notes whether the answer to a request was right, and who says so. Answers whether there is such a request,
    /// once it is written.
    ///
    /// # Errors
    /// [`LedgerError::Busy`], [`Unwritten`](LedgerError::Unwritten).
    pub async fn feedback(&self, request_id: &str, ok: bool, source: &str) -> Result<bool, LedgerError> {
        let (known, answer) = oneshot::channel();
        let (request_id, source) = (request_id.to_owned(), source.to_owned());
        self.send(Note::Feedback { request_id, ok, source, known })?;
        answer.await.map_err(|_| LedgerError::Unwritten)
    }

    /// Waits until everything noted before is written.
    ///
    /// # Errors
    /// [`LedgerError::Busy`], [`Unwritten`](LedgerError::Unwritten).
    pub async fn flush(&self) -> Result<(), LedgerError> {
        let (done, answer) = oneshot::channel();
        self.send(Note::Flush(done))?;
        answer.await.map_err(|_| LedgerError::Unwritten)
    }

    /// Entries that were not written since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    /// For notes that somebody waits for: the writer does not linger over them.
    fn send(&self, note: Note) -> Result<(), LedgerError> {
        let sent = self.notes.try_send(note).map_err(|error| match error {
            TrySendError::Full(_) => LedgerError::Busy { waiting: QUEUE_CAPACITY },
            TrySendError::Disconnected(_) => LedgerError::Unwritten,
        });
        self.writer.unpark();
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Filter, Reader};

    /// A disk without room is met by a file that may not grow: SQLite answers both with `SQLITE_FULL`.
    #[test]
    fn on_a_full_disk_entries_are_dropped_and_counted_until_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let store = Store::open(&path, Options { content: true, ..Options::default() }).unwrap();
        store.connection.pragma_update(None, "max_page_count", 30).unwrap();
        let ledger = LedgerHandle::over(store).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let note = |request_id: &str, bytes: usize| {
            let text = Some("x".repeat(bytes));
            ledger.note(Entry { request_id: request_id.into(), text, ..Entry::default() });
            runtime.block_on(ledger.flush())
        };
        note("fits", 10).unwrap();
        let refused = note("too large", 1 << 20);
        assert!(refused.is_err() || ledger.dropped() == 1, "{refused:?}");
        assert_eq!(ledger.dropped(), 1);
        note("fits again", 10).unwrap();
        let reader = Reader::open(&path).unwrap();
        let kept: Vec<_> = reader.entries(Filter::default()).map(|entry| entry.unwrap().request_id).collect();
        assert_eq!(kept, ["fits", "fits again"]);
        assert_eq!(reader.dropped().unwrap(), 1);
    }
}
