//! The one thread that writes.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::handle::Shared;
use crate::{Entry, LedgerError, Store};

/// Notes that one transaction takes: a commit costs the same for one and for many.
const BATCH: usize = 256;
/// How long entries wait for others, unless somebody waits for an answer. Waking this thread is what a note would
/// spend most of its time on, so most notes find it asleep and leave it so.
const LINGER: Duration = Duration::from_millis(250);
/// How often old entries are looked for, in milliseconds of the ledger's clock.
const RETAIN_EVERY_MS: i64 = 60_000;

/// What the writer is told.
pub(crate) enum Note {
    /// A request, with its weight in bytes.
    Entry(Box<Entry>, usize),
    /// What was said of an answer.
    Feedback { request_id: String, ok: bool, source: String, known: oneshot::Sender<bool> },
    /// Say when everything before this is written.
    Flush(oneshot::Sender<()>),
}

/// Writes until no handle is left and the queue is empty.
pub(crate) struct Writer {
    store: Store,
    shared: Arc<Shared>,
    /// Of the dropped entries, those that the file knows of.
    dropped_told: u64,
    retained_ms: i64,
    is_failing: bool,
}

impl Writer {
    pub(crate) fn new(store: Store, shared: Arc<Shared>) -> Self {
        Self { store, shared, dropped_told: 0, retained_ms: i64::MIN, is_failing: false }
    }

    pub(crate) fn run(mut self, notes: &Receiver<Note>) {
        self.retain();
        while let Ok(first) = notes.recv() {
            if matches!(first, Note::Entry(..)) {
                thread::park_timeout(LINGER);
            }
            let mut next = Some(first);
            while let Some(note) = next.take().or_else(|| notes.try_recv().ok()) {
                self.take(std::iter::once(note).chain(notes.try_iter()).take(BATCH).collect());
            }
        }
    }

    fn take(&mut self, mut batch: Vec<Note>) {
        self.shared.taken(&batch);
        match self.write(&mut batch) {
            Ok(known) => answer(batch, known),
            // Whoever waits for an answer hears of it when the batch is gone: after it was counted.
            Err(error) => self.lost(&batch, &error),
        }
        self.retain();
    }

    /// Writes all of it or nothing. Answers, for each feedback, whether there is such a request.
    fn write(&mut self, batch: &mut [Note]) -> Result<Vec<bool>, LedgerError> {
        let dropped = self.shared.dropped();
        let (now, unknown) = (self.store.options().now_ms(), dropped - self.dropped_told);
        let known = self.store.transaction(|page| {
            let mut known = Vec::new();
            for note in batch {
                match note {
                    Note::Entry(entry, _) => page.add(entry)?,
                    Note::Feedback { request_id, ok, source, .. } => {
                        known.push(page.feedback(request_id, *ok, source, now)?);
                    }
                    Note::Flush(_) => {}
                }
            }
            if unknown > 0 {
                page.count_dropped(unknown)?;
            }
            Ok(known)
        })?;
        self.dropped_told = dropped;
        if std::mem::take(&mut self.is_failing) {
            tracing::warn!(dropped, "the ledger is written again");
        }
        Ok(known)
    }

    /// Counts a batch that could not be written: trying again would hold up what comes after it.
    fn lost(&mut self, batch: &[Note], error: &LedgerError) {
        let entries = batch.iter().filter(|note| matches!(note, Note::Entry(..))).count();
        self.shared.drop_entries(entries as u64);
        self.failed(error);
    }

    /// Says so once.
    fn failed(&mut self, error: &LedgerError) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(%error, "the ledger cannot be written, entries are dropped");
        }
    }

    /// Looks for old entries now and then, and after each batch whether the file is too large.
    fn retain(&mut self) {
        let now = self.store.options().now_ms();
        let most = u64::from(self.store.options().max_mb) * 1_000_000;
        let is_time = now >= self.retained_ms.saturating_add(RETAIN_EVERY_MS);
        if !is_time && self.store.bytes().is_ok_and(|bytes| bytes <= most) {
            return;
        }
        self.retained_ms = now;
        match self.store.retain() {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "old entries left the ledger"),
            Err(error) => self.failed(&error),
        }
    }
}

/// Says that a batch is written. Whoever asked may have left.
fn answer(batch: Vec<Note>, known: Vec<bool>) {
    let mut known = known.into_iter();
    for note in batch {
        match note {
            Note::Entry(..) => {}
            Note::Feedback { known: asker, .. } => drop(known.next().map(|known| asker.send(known))),
            Note::Flush(asker) => drop(asker.send(())),
        }
    }
}
