//! What everyone but the thread itself holds of an engine.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use understudy_backend::{BackendError, RequestCtx, RunStream, SeqId, backend::RUN_CHANNEL_CAPACITY};
use understudy_engine::{
    EngineError,
    pace::Pace,
    tick::{EngineStats, Pulse},
    verbs::{Cost, JobId, Outcome, SeqKey, Verb},
};

use super::inbox::{Command, Inbox, Interest, Order};
use super::replies::{Replies, Reply};
use super::watchdog::{self, StallDetector};
use super::worker::Worker;
use super::{EngineConfig, EngineExit};
use crate::source::{LoadError, MakeEngine};

type OnExit = Box<dyn FnOnce(u64, EngineExit) + Send>;

/// One incarnation of an engine: the thread, its inbox, and everyone who waits for it.
pub struct EngineHandle {
    pub(super) config: EngineConfig,
    pub(super) inbox: Inbox,
    pub(super) replies: Replies,
    pub(super) meters: Meters,
    /// As of the last pass.
    pace: Mutex<Pace>,
    /// Likewise.
    stats: Mutex<EngineStats>,
    pub(super) loop_pulse: Pulse,
    engine_pulse: Pulse,
    boot: u64,
    jobs: AtomicU64,
    admitting: AtomicBool,
    /// Freed when the engine has closed the sequence.
    permits: Arc<Semaphore>,
    /// Requests waiting for a permit; at most `queue_capacity`.
    waiting: AtomicUsize,
    life: AtomicU8,
    on_exit: Mutex<Option<OnExit>>,
}

const ALIVE: u8 = 0;
const ABANDONED: u8 = 1;
const ENDED: u8 = 2;

/// Boot generations grow over engines, and over starts of the process.
static NEXT_BOOT: LazyLock<AtomicU64> = LazyLock::new(|| {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    AtomicU64::new(since_epoch.as_secs() << 16)
});

impl EngineHandle {
    /// Starts the thread, which makes its engine first; the receiver says how that went.
    /// `on_exit` is called once with the boot, from any thread, when the engine has ended or was
    /// abandoned; its requests have their answers by then. Must be called inside a tokio
    /// runtime, which runs the watchdog.
    pub fn start(
        config: EngineConfig,
        make_engine: MakeEngine,
        on_exit: impl FnOnce(u64, EngineExit) + Send + 'static,
    ) -> (Arc<Self>, oneshot::Receiver<Result<(), LoadError>>) {
        let handle = Arc::new(Self {
            inbox: Inbox::new(),
            replies: Replies::default(),
            meters: Meters::default(),
            pace: Mutex::default(),
            stats: Mutex::default(),
            loop_pulse: Pulse::default(),
            engine_pulse: Pulse::default(),
            boot: NEXT_BOOT.fetch_add(1, Ordering::Relaxed),
            jobs: AtomicU64::new(1),
            admitting: AtomicBool::new(true),
            permits: Arc::new(Semaphore::new(config.max_sequences)),
            waiting: AtomicUsize::new(0),
            life: AtomicU8::new(ALIVE),
            on_exit: Mutex::new(Some(Box::new(on_exit))),
            config,
        });
        let (made, ready) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let owner = handle.clone();
        let spawned = std::thread::Builder::new()
            .name(format!("engine {}", handle.config.model))
            .spawn(move || owner.live(make_engine, made, &runtime));
        if let Err(error) = spawned {
            handle.life.store(ENDED, Ordering::SeqCst);
            handle.end(EngineExit::Panicked(format!("its thread could not start: {error}")));
        }
        (handle, ready)
    }

    /// The thread's life: make, serve, report.
    fn live(
        self: Arc<Self>,
        make_engine: MakeEngine,
        made: oneshot::Sender<Result<(), LoadError>>,
        runtime: &tokio::runtime::Handle,
    ) {
        let engine = match catch_unwind(AssertUnwindSafe(|| make_engine(self.engine_pulse.clone()))) {
            Ok(Ok(engine)) => engine,
            Ok(Err(error)) => return self.stillborn(made, error),
            Err(panic) => {
                let why = format!("the engine panicked while loading: {}", panic_message(panic));
                return self.stillborn(made, LoadError::failed("ENGINE_PANIC", why));
            }
        };
        runtime.spawn(watchdog::watch(self.clone(), StallDetector::new(self.config.stall_limit, self.now())));
        // A slot that stopped waiting also told the inbox.
        let _ = made.send(Ok(()));
        let mut worker = Worker::new(self.clone(), engine);
        let exit = match catch_unwind(AssertUnwindSafe(|| worker.serve())) {
            Ok(()) => EngineExit::Stopped,
            Err(panic) => EngineExit::Panicked(panic_message(panic)),
        };
        // Everyone hears of it before the engine is dropped: a broken engine may hang there.
        self.end(exit);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(worker))) {
            tracing::error!(
                model = self.config.model,
                why = panic_message(panic),
                "engine panicked while it was dropped"
            );
        }
        if self.life.swap(ENDED, Ordering::SeqCst) == ABANDONED {
            tracing::info!(model = self.config.model, "abandoned engine thread ended");
            self.config.health.zombie_gone();
        }
    }

    fn stillborn(&self, made: oneshot::Sender<Result<(), LoadError>>, error: LoadError) {
        self.life.store(ENDED, Ordering::SeqCst);
        self.on_exit.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.end(EngineExit::Stopped);
        let _ = made.send(Err(error));
    }

    /// Answers everyone who waits and reports, once.
    fn end(&self, exit: EngineExit) {
        self.admitting.store(false, Ordering::SeqCst);
        self.inbox.order(Order::Leave);
        self.replies.fail_all(self.lost(exit.to_string()));
        self.permits.close();
        if let Some(on_exit) = self.on_exit.lock().unwrap_or_else(PoisonError::into_inner).take() {
            on_exit(self.boot, exit);
        }
    }

    /// Gives the thread up: its requests end now, the thread becomes a zombie until it
    /// returns by itself.
    pub(crate) fn abandon(&self, silence: Duration) {
        if self.life.compare_exchange(ALIVE, ABANDONED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            tracing::error!(
                model = self.config.model,
                ?silence,
                "engine makes no progress, abandoning its thread"
            );
            self.config.health.zombie_born();
            self.end(EngineExit::Stalled(silence));
        }
    }

    /// Ends at the next tick; whoever waits is told now why.
    pub fn stop_now(&self, why: &str) {
        self.replies.fail_all(self.lost(why));
        self.admitting.store(false, Ordering::SeqCst);
        self.permits.close();
        self.inbox.order(Order::Leave);
    }

    /// Cancels all requests, lets their last events out, then ends.
    pub fn finish(&self) {
        self.stop_admitting();
        self.inbox.order(Order::Finish);
    }

    /// From now on `open` fails with `Unavailable`, also for those who wait.
    pub fn stop_admitting(&self) {
        self.admitting.store(false, Ordering::SeqCst);
        self.permits.close();
    }

    /// The same, but only when nothing is open and nobody waits; whether that was so.
    pub(crate) fn stop_admitting_if_idle(&self) -> bool {
        let all = u32::try_from(self.config.max_sequences).unwrap_or(u32::MAX);
        // Holding all permits, nobody can come in between.
        let Ok(_all) = self.permits.try_acquire_many(all) else { return false };
        self.stop_admitting();
        true
    }

    /// Which start of an engine this is.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// It admits requests: it neither ended nor was told to.
    pub(crate) fn is_serving(&self) -> bool {
        self.admitting.load(Ordering::SeqCst)
    }

    /// Sequences that hold a permit.
    pub fn active(&self) -> usize {
        self.config.max_sequences.saturating_sub(self.permits.available_permits())
    }

    /// Requests waiting for a permit.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Tokens per second while decoding, all runs together, lately.
    pub fn decode_tok_s(&self) -> f64 {
        self.meters.decode_tok_s()
    }

    /// What passes took lately, by the rows of a single request.
    pub fn pace(&self) -> Pace {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's counters as of the last pass.
    pub fn stats(&self) -> EngineStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_stats(&self, stats: EngineStats) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    pub(super) fn set_pace(&self, pace: Pace) {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = pace;
    }

    /// The thread is gone.
    pub fn has_ended(&self) -> bool {
        self.life.load(Ordering::SeqCst) == ENDED
    }

    /// Signs of life so far: layers computed and turns of the loop.
    pub(crate) fn beats(&self) -> u64 {
        self.engine_pulse.count().wrapping_add(self.loop_pulse.count())
    }

    /// Somebody waits, or the thread should be ending.
    pub(crate) fn has_work(&self) -> bool {
        !self.replies.is_empty() || self.inbox.has_commands() || self.inbox.is_ending()
    }

    pub(crate) fn now(&self) -> Duration {
        self.config.clock.now()
    }

    pub(super) fn next_job(&self) -> JobId {
        JobId(self.jobs.fetch_add(1, Ordering::Relaxed))
    }

    /// The handle under which this node's callers know a sequence.
    pub(crate) fn seq_id(&self, key: SeqKey) -> SeqId {
        SeqId { node: self.config.node, boot: self.boot, key }
    }

    /// The key, if the sequence is of this incarnation.
    pub(crate) fn key_of(&self, seq: SeqId) -> Result<SeqKey, BackendError> {
        let ours = seq.boot == self.boot && seq.node == self.config.node;
        if ours { Ok(seq.key) } else { Err(EngineError::StaleSeq.into()) }
    }

    /// A permit of the slot, within the request's deadline.
    pub(crate) async fn permit(&self, ctx: &RequestCtx) -> Result<OwnedSemaphorePermit, BackendError> {
        if !self.admitting.load(Ordering::SeqCst) {
            return Err(self.unavailable());
        }
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.config.queue_capacity)
            .map_err(|waiting| BackendError::Overloaded { model: self.config.model.clone(), waiting })?;
        ctx.bound(async { self.permits.clone().acquire_owned().await.map_err(|_| self.unavailable()) }).await
    }

    /// Submits a verb and waits for its answer, within the request's deadline.
    pub(crate) async fn call(
        &self,
        ctx: &RequestCtx,
        verb: Verb,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(Outcome, Cost), BackendError> {
        let (sender, answer) = oneshot::channel();
        self.submit(ctx, verb, Reply::Once(sender), permit)?;
        ctx.bound(async { answer.await.unwrap_or_else(|_| Err(self.lost("it ended without an answer"))) })
            .await
    }

    /// Submits a run; its events come through the stream.
    pub(crate) fn run(&self, ctx: &RequestCtx, verb: Verb) -> Result<RunStream, BackendError> {
        let (sender, events) = mpsc::channel(RUN_CHANNEL_CAPACITY);
        self.submit(ctx, verb, Reply::Run(sender), None)?;
        Ok(RunStream::new(self.config.model.clone(), events))
    }

    /// Gives a sequence back; never waits.
    pub(crate) fn close(&self, seq: SeqId) {
        if let Ok(key) = self.key_of(seq) {
            self.inbox.close(key);
        }
    }

    fn submit(
        &self,
        ctx: &RequestCtx,
        verb: Verb,
        reply: Reply,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), BackendError> {
        if ctx.cancel.is_cancelled() {
            return Err(BackendError::Cancelled);
        }
        let remaining = ctx.remaining();
        if remaining == Some(Duration::ZERO) {
            return Err(BackendError::Deadline);
        }
        let interest =
            Interest { cancel: ctx.cancel.clone(), deadline: remaining.map(|left| self.now() + left) };
        let job = self.next_job();
        self.replies.register(job, reply)?;
        if !self.inbox.push(Command { job, verb, interest, permit }) {
            self.replies.forget(job);
            let (model, waiting) = (self.config.model.clone(), super::INBOX_CAPACITY);
            return Err(if self.inbox.is_ending() {
                self.unavailable()
            } else {
                BackendError::Overloaded { model, waiting }
            });
        }
        Ok(())
    }

    fn lost(&self, why: impl Into<String>) -> BackendError {
        BackendError::EngineLost { model: self.config.model.clone(), why: why.into() }
    }

    fn unavailable(&self) -> BackendError {
        BackendError::Unavailable { model: self.config.model.clone(), why: "its engine is stopping".into() }
    }
}

impl Interest {
    pub(super) fn eternal() -> Self {
        Self { cancel: tokio_util::sync::CancellationToken::new(), deadline: None }
    }
}

/// A place in the queue for permits; given back on drop.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, capacity: usize) -> Result<Self, usize> {
        waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < capacity).then_some(count + 1)
            })
            .map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A moving average of decode speed; written by the engine thread alone.
#[derive(Default)]
pub(super) struct Meters {
    tok_s_bits: AtomicU64,
}

impl Meters {
    /// A tick that yielded this many tokens took this long.
    pub(super) fn note(&self, tokens: u32, took: Duration) {
        if tokens == 0 || took.is_zero() {
            return;
        }
        let now = f64::from(tokens) / took.as_secs_f64();
        let before = self.decode_tok_s();
        let average = if before == 0.0 { now } else { before + 0.1 * (now - before) };
        self.tok_s_bits.store(average.to_bits(), Ordering::Relaxed);
    }

    fn decode_tok_s(&self) -> f64 {
        f64::from_bits(self.tok_s_bits.load(Ordering::Relaxed))
    }
}

fn panic_message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => {
            panic.downcast_ref::<&str>().map_or_else(|| "unknown panic".into(), |text| (*text).into())
        }
    }
}
