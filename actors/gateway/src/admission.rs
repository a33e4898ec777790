//! How many requests at once, who waits for how long, and how they end.
//!
//! | module | what it holds |
//! |---|---|
//! | `scheduler` | who runs, waits or is refused; pure, with the rules and their reasons |
//! | `line` | one priority's queue, in which tenants take turns |
//! | [`tenant`] | requests and tokens per minute, and requests at the same time, per tenant |
//! | `place` | a request's place; readers who do not come are cut |
//!
//! **Memory.** All requests together hold at most `requests` times a prompt (4 MiB and its tokens), 64 events of an answer and 32
//! tokens of each of its runs. A reader who takes nothing stops the engine's run by this, and is cut after `slow_reader`, or 2 s
//! after the deadline; then what they did not take is dropped, even if their connection stays.

mod line;
mod place;
mod scheduler;
pub mod tenant;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use understudy_backend::{Priority, RequestCtx};

use crate::{
    Caller, Failure, codes,
    failure::{Quota, RETRY_SOON},
};

pub use place::Place;
pub(crate) use place::{Cut, Seat};
use place::{Held, Pass, overdue};
use scheduler::{Arrival, Refusal, Rules, Scheduler, Ticket, Why};
use tenant::{Beyond, Tenants};

/// Nobody is told to come back sooner: a client that believes in 2 ms is a client in a loop.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);

/// How many, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Requests that run at the same time.
    pub running: usize,
    /// Requests that run, wait, or visit.
    pub requests: usize,
    /// The longest wait for a place.
    pub longest_wait: Duration,
    /// A reader who takes nothing for so long is cut.
    pub slow_reader: Duration,
}

/// Gives requests their places. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

/// How full a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests that hold a place.
    pub running: usize,
    /// Requests that wait for one, by [`Priority`], best first; batch that has aged counts as agent.
    pub waiting: [usize; 3],
    /// The wait that a request of each priority has to expect now.
    pub expected_wait: [Duration; 3],
    /// Requests refused since the start: too many, too long a wait, a tenant's limit.
    pub refused: u64,
}

/// What a waiting request is told.
type Told = Result<Held, Failure>;

#[derive(Debug)]
struct Shared {
    /// Held for a few microseconds, never across an await.
    state: Mutex<State>,
    capacity: Capacity,
    origin: Instant,
    /// Fires when the node begins to drain.
    draining: CancellationToken,
    /// Fires when its patience is over.
    cut: CancellationToken,
    /// Told when the last request has ended.
    idle: Notify,
}

struct State {
    scheduler: Scheduler<oneshot::Sender<Told>>,
    tenants: Tenants,
    refused: u64,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("held", &self.scheduler.held()).field("closed", &self.closed).finish()
    }
}

impl Admission {
    /// Nobody is in yet.
    pub fn new(capacity: Capacity) -> Self {
        let Capacity { running: places, requests, longest_wait, .. } = capacity;
        let state = State {
            scheduler: Scheduler::new(Rules { places, requests, longest_wait }),
            tenants: Tenants::default(),
            refused: 0,
            closed: false,
        };
        let shared = Shared {
            state: Mutex::new(state),
            capacity,
            origin: Instant::now(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            idle: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// For calls that only [`visit`](Self::visit).
    pub fn for_visits(most: usize) -> Self {
        let never = Duration::MAX / 4;
        Self::new(Capacity { running: 1, requests: most, longest_wait: Duration::ZERO, slow_reader: never })
    }

    /// Notes what the caller's tenant may take from now on.
    pub fn meet(&self, caller: &Caller) {
        if !caller.tenant.is_empty() {
            let now = self.shared.now();
            self.shared.state().tenants.meet(now, &caller.tenant, caller.limits);
        }
    }

    /// A place for a request that makes an engine work. Waits for one in the order of priority, tenants' turns and deadlines, if
    /// one is expected in time. Dropping the future gives the wait up.
    ///
    /// # Errors
    /// `DRAINING`; `TENANT_LIMIT`, `OVERLOADED` with a time to try again; `DEADLINE`, `CANCELLED` while it waits.
    pub async fn enter(&self, ctx: &RequestCtx) -> Result<Place, Failure> {
        let arrived = Instant::now();
        let pass = self.shared.pass(ctx)?;
        let mut queued = self.shared.arrive(ctx)?;
        let held = tokio::select! {
            biased;
            told = &mut queued.told => told.unwrap_or_else(|_| Err(draining()))?,
            () = ctx.cancel.cancelled() => {
                return Err(Failure::new(codes::CANCELLED, "the request was cancelled while it waited"));
            }
            () = overdue(ctx.deadline, Duration::ZERO) => {
                return Err(Failure::new(codes::DEADLINE, "the deadline passed before there was a place"));
            }
            () = tokio::time::sleep_until(arrived + self.shared.capacity.longest_wait) => {
                return Err(self.shared.waited_too_long(ctx.priority));
            }
        };
        Ok(Place::taken(ctx, held, pass, arrived.elapsed()))
    }

    /// A call that needs no place, but counts as a request; it never waits.
    ///
    /// # Errors
    /// `DRAINING`; `TENANT_LIMIT`, `OVERLOADED` with a time to try again.
    pub fn visit(&self, ctx: &RequestCtx) -> Result<Place, Failure> {
        let pass = self.shared.pass(ctx)?;
        let visited = self.shared.open()?.scheduler.visit();
        visited.map_err(|refusal| self.shared.refused(refusal))?;
        let held = Held { shared: self.shared.clone(), priority: None, since: Instant::now() };
        Ok(Place::taken(ctx, held, pass, Duration::ZERO))
    }

    /// A request of this tenant has cost so many tokens, which counts against what it may use per minute.
    pub fn charge(&self, tenant: &str, tokens: u64) {
        if !tenant.is_empty() {
            self.shared.state().tenants.charge(self.shared.now(), tenant, tokens);
        }
    }

    /// How full the node is.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.shared.state();
        let expected = |priority| state.scheduler.expected_wait(priority);
        Snapshot {
            running: state.scheduler.running(),
            waiting: state.scheduler.waiting(),
            expected_wait: [Priority::Interactive, Priority::Agent, Priority::Batch].map(expected),
            refused: state.refused,
        }
    }

    /// Requests that run, wait or visit.
    pub fn in_flight(&self) -> usize {
        self.shared.state().scheduler.held()
    }

    /// No more requests come in, and those that wait are refused.
    pub fn close(&self) {
        let mut state = self.shared.state();
        state.closed = true;
        let waiting = state.scheduler.clear();
        drop(state);
        self.shared.draining.cancel();
        for told in waiting {
            // Whoever has gone needs no answer.
            let _ = told.send(Err(draining()));
        }
        self.shared.tell_if_idle();
    }

    /// Fires when the node begins to drain.
    pub fn closed(&self) -> CancellationToken {
        self.shared.draining.clone()
    }

    /// Waits until no request is left, but no longer than `patience`; then cancels the rest and waits until they are gone.
    /// Answers how many were cut.
    pub async fn drain(&self, patience: Duration) -> usize {
        self.close();
        if tokio::time::timeout(patience, self.shared.emptied()).await.is_ok() {
            return 0;
        }
        let left = self.in_flight();
        self.shared.cut.cancel();
        // Places are freed by tasks of their own, which nothing can hold up.
        self.shared.emptied().await;
        left
    }
}

/// A request on its way in. Dropping it takes it out of the queue.
struct Queued {
    shared: Arc<Shared>,
    ticket: Ticket,
    told: oneshot::Receiver<Told>,
}

impl Drop for Queued {
    fn drop(&mut self) {
        if self.shared.state().scheduler.leave(&self.ticket) {
            self.shared.tell_if_idle();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The state, unless the node is closed.
    fn open(&self) -> Result<MutexGuard<'_, State>, Failure> {
        let state = self.state();
        if state.closed { Err(draining()) } else { Ok(state) }
    }

    /// Past the tenant's limits.
    fn pass(self: &Arc<Self>, ctx: &RequestCtx) -> Result<Pass, Failure> {
        let mut state = self.open()?;
        match state.tenants.enter(self.now(), &ctx.tenant) {
            Ok(()) => Ok(Pass { shared: self.clone(), tenant: ctx.tenant.as_str().into() }),
            Err(beyond) => {
                state.refused += 1;
                Err(tenant_limit(&ctx.tenant, beyond))
            }
        }
    }

    /// Into the queue, and out of it at once where there is a place.
    fn arrive(self: &Arc<Self>, ctx: &RequestCtx) -> Result<Queued, Failure> {
        let deadline = ctx.deadline.map(|deadline| deadline.saturating_duration_since(self.origin));
        let arrival = Arrival { tenant: ctx.tenant.as_str().into(), priority: ctx.priority, deadline };
        let (tell, told) = oneshot::channel();
        let arrived = self.open()?.scheduler.arrive(self.now(), arrival, tell);
        let (ticket, displaced) = arrived.map_err(|refusal| self.refused(refusal))?;
        let queued = Queued { shared: self.clone(), ticket, told };
        if let Some((other, refusal)) = displaced {
            // Whoever has gone needs no answer.
            let _ = other.send(Err(self.refused(refusal)));
        }
        self.settle();
        Ok(queued)
    }

    /// Gives free places to those who are next.
    fn settle(self: &Arc<Self>) {
        loop {
            let started = self.state().scheduler.start(self.now());
            let Some((priority, told)) = started else { return };
            let held = Held { shared: self.clone(), priority: Some(priority), since: Instant::now() };
            // One who has gone gives it back by not taking it.
            let _ = told.send(Ok(held));
        }
    }

    /// A place, or a visit where there is no priority, has ended.
    fn freed(self: &Arc<Self>, priority: Option<Priority>, held: Duration) {
        let mut state = self.state();
        match priority {
            Some(priority) => state.scheduler.done(priority, held),
            None => state.scheduler.visited(),
        }
        drop(state);
        self.settle();
        self.tell_if_idle();
    }

    fn tell_if_idle(&self) {
        if self.state().scheduler.held() == 0 {
            self.idle.notify_waiters();
        }
    }

    /// Resolves when no request is left.
    async fn emptied(&self) {
        loop {
            let told = self.idle.notified();
            // Listening from here on: what ends now is not missed.
            if self.state().scheduler.held() == 0 {
                return;
            }
            told.await;
        }
    }

    fn refused(&self, refusal: Refusal) -> Failure {
        self.state().refused += 1;
        let Refusal { why, expected } = refusal;
        let (reason, message) = match why {
            Why::Full => ("full", format!("{} requests are here already", self.capacity.requests)),
            Why::TooLong => (
                "wait",
                format!("a place is expected in {} ms only, which is too late", expected.as_millis()),
            ),
            Why::Displaced => {
                ("displaced", "requests of a better priority took the place in the queue".into())
            }
        };
        overloaded(reason, message, expected).with("limit", self.capacity.requests)
    }

    /// The estimate was wrong: the wait has reached its limit.
    fn waited_too_long(&self, priority: Priority) -> Failure {
        let mut state = self.state();
        state.refused += 1;
        let expected = state.scheduler.expected_wait(priority);
        let waited = self.capacity.longest_wait.as_millis();
        overloaded("wait", format!("no place was free for {waited} ms"), expected)
    }
}

fn overloaded(reason: &str, message: String, expected: Duration) -> Failure {
    let failure = Failure::new(codes::OVERLOADED, message).with("reason", reason);
    failure.with("expected_ms", expected.as_millis()).retry_after(expected.max(SHORTEST_RETRY))
}

fn draining() -> Failure {
    Failure::new(codes::DRAINING, "the node is stopping").retry_after(RETRY_SOON)
}

fn tenant_limit(tenant: &str, beyond: Beyond) -> Failure {
    // Named as in `keys.toml`.
    let (limit, may, what, retry) = match beyond {
        Beyond::Rate { per_minute, retry } => {
            ("requests_per_minute", "send", format!("{per_minute} requests per minute"), retry)
        }
        Beyond::Tokens { per_minute, retry } => {
            ("tokens_per_minute", "use", format!("{per_minute} tokens per minute"), retry)
        }
        Beyond::Concurrency { most } => {
            ("concurrency", "send", format!("{most} requests at the same time"), RETRY_SOON)
        }
    };
    let message = format!("the tenant may {may} {what}");
    let quota = Quota { subject: format!("tenant:{tenant}"), description: what };
    let failure = Failure::new(codes::TENANT_LIMIT, message).with("tenant", tenant).with("limit", limit);
    failure.beyond(quota).retry_after(retry.max(SHORTEST_RETRY))
}

#[cfg(test)]
#[path = "admission/tests.rs"]
mod tests;
