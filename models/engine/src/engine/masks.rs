//! Masks are made on a thread of their own, while a pass computes.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::engine::gated::Gated;
use crate::tick::MaskStats;
use crate::verbs::SeqKey;

/// Gates away from their sequences.
pub(super) type Gates = Vec<(SeqKey, Gated)>;

/// Makes masks; its thread starts with the first.
pub(super) struct MaskMaker {
    vocab: usize,
    thread: Option<MaskThread>,
    stats: MaskStats,
}

struct MaskThread {
    /// One pass's gates at a time: the engine waits for them before it sends the next.
    todo: SyncSender<Gates>,
    done: Receiver<Gates>,
    handle: JoinHandle<()>,
}

impl MaskMaker {
    pub fn new(vocab: usize) -> Self {
        Self { vocab, thread: None, stats: MaskStats::default() }
    }

    pub fn stats(&self) -> MaskStats {
        self.stats
    }

    /// Does something while the masks of gates are made.
    pub fn beside<T>(&mut self, gates: Gates, act: impl FnOnce() -> T) -> (Gates, T) {
        if gates.is_empty() {
            return (gates, act());
        }
        if self.thread.is_none() {
            self.thread = MaskThread::start(self.vocab);
        }
        let Some(thread) = &self.thread else { return (made(gates, self.vocab), act()) };
        let Ok(()) = thread.todo.send(gates) else { self.fail() };
        let acted = act();
        let waiting = Instant::now();
        let Ok(gates) = thread.done.recv() else { self.fail() };
        self.stats.note(waiting.elapsed());
        (gates, acted)
    }

    /// A gate has panicked: so does the engine, with what it said.
    fn fail(&mut self) -> ! {
        let said = self.thread.take().and_then(|thread| thread.handle.join().err());
        resume_unwind(said.unwrap_or_else(|| Box::new("the thread that makes masks has ended")))
    }
}

impl MaskThread {
    /// `None` where the system has no thread to give.
    fn start(vocab: usize) -> Option<Self> {
        let (todo, gates) = sync_channel::<Gates>(1);
        let (answer, done) = sync_channel(1);
        let work = move || {
            // Ends with the engine, which holds the other ends.
            while let Ok(gates) = gates.recv() {
                if answer.send(made(gates, vocab)).is_err() {
                    return;
                }
            }
        };
        let handle = thread::Builder::new().name("masks".into()).spawn(work).ok()?;
        // Nothing comes yet. A channel takes memory the first time that anybody waits at it, and whether a
        // pass has to wait is a matter of time: now is better than in the midst of decoding.
        let _ = done.recv_timeout(Duration::from_millis(1));
        Some(Self { todo, done, handle })
    }
}

fn made(mut gates: Gates, vocab: usize) -> Gates {
    gates.iter_mut().for_each(|(_, gate)| gate.make_masks(vocab));
    gates
}
