//! A small pool of compute threads for data-parallel loops.
//!
//! A decode step makes some two hundred short calls, so a call costs a few microseconds: waiting
//! threads spin briefly before they sleep, a call that a sleeping thread misses does not wait for
//! it, and nothing is allocated.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread polls before it sleeps. Longer than the serial work between two matrix
/// products of a decode step, far shorter than the pause between two requests.
const SPIN: Duration = Duration::from_micros(60);

/// The parallelism that this process may use: processors, less what affinity and cgroup quotas
/// take away. At least 1.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads that run the parts of a loop together with the caller. Share it by `Arc`.
///
/// One call uses the pool's threads at a time. A call made meanwhile, from another thread or from
/// inside a part, runs all its parts inline: it never waits, so calls cannot deadlock.
pub struct ComputePool {
    shared: Arc<Shared>,
    turn: Mutex<()>, // held by the caller that uses the threads
    workers: Vec<JoinHandle<()>>,
}

impl ComputePool {
    /// A pool of `threads` threads including the caller of [`run`](Self::run), so `threads - 1`
    /// are started (fewer when the system refuses, and at most 32,767). Zero counts as one.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let workers = (1..threads).take(MOST_WORKERS).map_while(|i| {
            let shared = Arc::clone(&shared);
            let name = format!("compute-{i}");
            std::thread::Builder::new().name(name).spawn(move || shared.work()).ok()
        });
        Self { workers: workers.collect(), turn: Mutex::new(()), shared }
    }

    /// Threads that a call can use, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f(0)` to `f(parts - 1)`, each once, on any of the threads, and returns when all
    /// have ended.
    ///
    /// # Panics
    ///
    /// When a part panics: the first panic is raised again on the caller, after all other parts
    /// have run. The pool stays usable.
    pub fn run(&self, parts: usize, f: &(dyn Fn(usize) + Sync)) {
        let job = Job { f, parts, next: AtomicUsize::new(0), panics: Mutex::default() };
        let alone = parts < 2 || self.workers.is_empty() || IN_PART.get();
        let turn = if alone { None } else { self.turn.try_lock().ok() };
        match turn {
            Some(_turn) => self.shared.run(&job),
            None => job.run_parts(),
        }
        let panics = job.panics.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = panics.into_iter().next() {
            resume_unwind(first);
        }
    }
}

impl Drop for ComputePool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake_sleepers();
        for worker in self.workers.drain(..) {
            let _ = worker.join(); // a worker catches its parts' panics, so it has none
        }
    }
}

impl std::fmt::Debug for ComputePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComputePool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

thread_local! {
    /// Whether this thread is inside a part: a nested call runs inline.
    static IN_PART: Cell<bool> = const { Cell::new(false) };
}

/// One call of [`ComputePool::run`], on its caller's stack.
struct Job<'a> {
    f: &'a (dyn Fn(usize) + Sync),
    parts: usize,
    next: AtomicUsize,
    /// Kept until all parts have ended: dropping one may panic again, and a thread that unwound
    /// from here would leave the others with a job that is gone.
    panics: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Job<'_> {
    /// Runs parts until none is left to start. Never unwinds.
    fn run_parts(&self) {
        let outer = IN_PART.replace(true);
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= self.parts {
                break;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.f)(part))) {
                lock(&self.panics).push(panic);
            }
        }
        IN_PART.set(outer);
    }
}

/// `Shared::state`: whether the published job may be joined, how many workers are in it, and
/// above those a number that differs from job to job.
const OPEN: usize = 1;
const WORKER: usize = 2;
const WORKERS: usize = 0xfffe;
const GENERATION: usize = 0x1_0000;
/// More would be counted into the generation.
const MOST_WORKERS: usize = WORKERS / WORKER;

fn joinable(state: usize, done: usize) -> bool {
    state & OPEN != 0 && state / GENERATION != done
}

#[derive(Default)]
struct Shared {
    state: AtomicUsize,
    job: Published,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    caller_waits: AtomicBool,
    sleep: Mutex<()>,
    wake: Condvar,
    finished: Condvar,
}

/// The job that workers may join. Written only by the caller that holds the turn, while the
/// state is closed and counts no workers; read only by a worker that the state counts.
struct Published(UnsafeCell<*const Job<'static>>);

impl Default for Published {
    fn default() -> Self {
        Self(UnsafeCell::new(std::ptr::null()))
    }
}

// SAFETY: the rule on the type makes every write exclusive and ordered, by the state's release
// and acquire, before the reads; `Job` itself is `Sync`.
unsafe impl Sync for Published {}
// SAFETY: it is a pointer; only the rule above says when it may be followed.
unsafe impl Send for Published {}

impl Shared {
    /// The caller's side. Returns when every part has ended and no worker holds the job.
    fn run(&self, job: &Job<'_>) {
        // SAFETY: this thread holds the turn, and the previous holder left the state closed
        // without workers, so nobody reads the cell now.
        unsafe { *self.job.0.get() = std::ptr::from_ref(job).cast() };
        let generation = (self.state.load(Ordering::Relaxed) / GENERATION).wrapping_add(1);
        self.state.store(generation.wrapping_mul(GENERATION) | OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.wake_sleepers();
        }
        job.run_parts();
        self.state.fetch_and(!OPEN, Ordering::SeqCst);
        self.wait_for_workers();
    }

    fn wait_for_workers(&self) {
        let busy = || self.state.load(Ordering::SeqCst) & WORKERS != 0;
        if !spin_while(busy) {
            return;
        }
        let mut sleep = lock(&self.sleep);
        self.caller_waits.store(true, Ordering::SeqCst);
        while busy() {
            sleep = self.finished.wait(sleep).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_waits.store(false, Ordering::SeqCst);
    }

    /// A worker's life.
    fn work(&self) {
        let mut done = 0; // the generation of the last job joined
        while let Some(state) = self.next_job(done) {
            if !joinable(state, done) {
                continue;
            }
            let joined =
                self.state.compare_exchange_weak(state, state + WORKER, Ordering::SeqCst, Ordering::Relaxed);
            if joined.is_err() {
                continue;
            }
            done = state / GENERATION;
            // SAFETY: the state counts this worker and was open, so the cell holds the job of
            // this generation, and its caller does not return before the worker leaves: neither
            // of them unwinds on the way.
            unsafe { &**self.job.0.get() }.run_parts();
            let left = self.state.fetch_sub(WORKER, Ordering::SeqCst) - WORKER;
            if left & (WORKERS | OPEN) == 0 && self.caller_waits.load(Ordering::SeqCst) {
                drop(lock(&self.sleep)); // the caller is inside `wait`, not before it
                self.finished.notify_one();
            }
        }
    }

    /// Waits for an open job newer than `done` and returns the state, which by then may be
    /// closed again; `None` to stop.
    fn next_job(&self, done: usize) -> Option<usize> {
        let idle = || !joinable(self.state.load(Ordering::SeqCst), done) && !self.stop.load(Ordering::SeqCst);
        if spin_while(idle) {
            let mut sleep = lock(&self.sleep);
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            while idle() {
                sleep = self.wake.wait(sleep).unwrap_or_else(PoisonError::into_inner);
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
        (!self.stop.load(Ordering::SeqCst)).then(|| self.state.load(Ordering::SeqCst))
    }

    fn wake_sleepers(&self) {
        drop(lock(&self.sleep)); // a worker about to sleep is inside `wait`, not before it
        self.wake.notify_all();
    }
}

/// Polls for at most [`SPIN`]; whether the condition still holds.
fn spin_while(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..32 {
            if !condition() {
                return false;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > SPIN {
            return condition();
        }
    }
}

/// Locks; a panic elsewhere leaves nothing half-written under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
