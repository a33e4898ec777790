//! A request's place, and how it ends.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::{
    stream::{BoxStream, Stream as _},
    task::AtomicWaker,
};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use understudy_backend::{Priority, RequestCtx};
use understudy_proto::v1::GenerateEvent;

use super::Shared;
use crate::Failure;

/// A request is cut this long after its deadline. Policies end it *at* the deadline; this frees the place of one whose
/// reader takes nothing and so keeps its last events from going out.
const OVERTIME: Duration = Duration::from_secs(2);

/// A request's place. Dropping it ends the request: its cancel token fires and the place is free.
#[derive(Debug)]
pub struct Place {
    seat: Arc<Seat>,
    waited: Duration,
    _ends_request: DropGuard,
}

impl Place {
    /// Takes what is `held` until the request ends, whoever ends it.
    pub(super) fn taken(ctx: &RequestCtx, held: Held, pass: Pass, waited: Duration) -> Self {
        let shared = &held.shared;
        let seat = Arc::new(Seat::default());
        let end = End {
            cancel: ctx.cancel.clone(),
            deadline: ctx.deadline,
            node: shared.cut.clone(),
            slow_reader: shared.capacity.slow_reader,
        };
        // The place is held there and not in the response: a response stuck in a connection that nobody reads
        // keeps existing.
        tokio::spawn(watch(seat.clone(), end, (held, pass)));
        Self { seat, waited, _ends_request: ctx.cancel.clone().drop_guard() }
    }

    /// How long the request waited for it.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Puts the answer where it can be taken away from a reader who does not come for it.
    pub(crate) fn serve(&self, answer: BoxStream<'static, Result<GenerateEvent, Failure>>) -> Arc<Seat> {
        self.seat.lay(answer);
        self.seat.clone()
    }
}

/// Counts as a request as long as it lives.
#[derive(Debug)]
pub(super) struct Held {
    pub shared: Arc<Shared>,
    /// Of the place; a visit has none.
    pub priority: Option<Priority>,
    pub since: Instant,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.freed(self.priority, self.since.elapsed());
    }
}

/// Counts as its tenant's as long as it lives, waiting included.
#[derive(Debug)]
pub(super) struct Pass {
    pub shared: Arc<Shared>,
    pub tenant: Arc<str>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.shared.state().tenants.leave(&self.tenant);
    }
}

/// Why a request was ended by the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The node stops.
    Drained,
    /// Its deadline is long past.
    Overdue,
    /// Its reader took nothing for so long.
    SlowReader(Duration),
}

/// Where an answer waits for its reader.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    table: Mutex<Table>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Table {
    answer: Option<BoxStream<'static, Result<GenerateEvent, Failure>>>,
    cut: Option<Cut>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("cut", &self.cut).finish_non_exhaustive()
    }
}

/// Calls the reader when there is something, and remembers since when they did not come. A transport whose peer reads nothing
/// has often asked for more before it noticed: that it asked does not mean that it will take.
#[derive(Debug, Default)]
struct Bell {
    reader: AtomicWaker,
    /// Since when it is the reader's turn; none while they wait for the answer.
    rung: Mutex<Option<Instant>>,
}

impl Bell {
    fn rung(&self) -> MutexGuard<'_, Option<Instant>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is the reader's turn, from now on if it was not before.
    fn ring(&self) {
        self.rung().get_or_insert_with(Instant::now);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
        self.reader.wake();
    }
}

impl Seat {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an answer wait here.
    fn lay(&self, answer: BoxStream<'static, Result<GenerateEvent, Failure>>) {
        self.table().answer = Some(answer);
        self.bell.ring();
    }

    /// The answer's next event, for its reader; `None` also when it was taken away.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<GenerateEvent, Failure>>> {
        let mut table = self.table();
        let Some(answer) = &mut table.answer else { return Poll::Ready(None) };
        self.bell.reader.register(cx.waker());
        // Before the answer is asked: it may ring at once.
        *self.bell.rung() = None;
        let bell = Waker::from(self.bell.clone());
        let event = Pin::new(answer).poll_next(&mut Context::from_waker(&bell));
        if event.is_ready() {
            self.bell.ring();
        }
        event
    }

    /// The reader has gone without waiting for the event that they asked for.
    pub(crate) fn left(&self) {
        self.bell.ring();
    }

    /// Why the node ended it, if it did.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.table().cut
    }

    /// Nothing of the answer stays behind.
    pub(crate) fn clear(&self) {
        let answer = self.table().answer.take();
        // It may wake others: not under the lock.
        drop(answer);
    }

    /// Notes why. What an absent reader left goes too: it is not theirs to keep for as long as the connection lasts. One who
    /// waits here reads to the end, which cancellation brings.
    fn end(&self, why: Cut) {
        let mut table = self.table();
        table.cut = Some(why);
        let absent = self.bell.rung().is_some() && why != Cut::Drained;
        let left = if absent { table.answer.take() } else { None };
        drop(table);
        drop(left);
    }

    /// Resolves when it has been the reader's turn for so long.
    async fn lost(&self, patience: Duration) {
        loop {
            let rung = *self.bell.rung();
            let next = match rung {
                Some(since) if since.elapsed() >= patience => return,
                Some(since) => since + patience,
                None => Instant::now() + patience,
            };
            tokio::time::sleep_until(next).await;
        }
    }
}

/// What may end a request.
struct End {
    cancel: CancellationToken,
    deadline: Option<Instant>,
    node: CancellationToken,
    slow_reader: Duration,
}

/// Holds the place until the request ends.
async fn watch(seat: Arc<Seat>, end: End, held: (Held, Pass)) {
    let why = tokio::select! {
        biased;
        () = end.cancel.cancelled() => None,
        () = end.node.cancelled() => Some(Cut::Drained),
        () = overdue(end.deadline, OVERTIME) => Some(Cut::Overdue),
        () = seat.lost(end.slow_reader) => Some(Cut::SlowReader(end.slow_reader)),
    };
    if let Some(why) = why {
        seat.end(why);
        end.cancel.cancel();
    }
    drop(held);
}

/// Resolves so long after a deadline; never where there is none.
pub(super) async fn overdue(deadline: Option<Instant>, by: Duration) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline + by).await,
        None => std::future::pending().await,
    }
}
