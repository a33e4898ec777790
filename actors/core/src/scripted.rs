//! A real [`TickEngine`](understudy_engine::tick::TickEngine) without a model: it can panic, hang and be slow where told.
//!
//! For the fault tests here and end to end. Token `n` of any sequence is the letter
//! `a + n % 26`; vocabulary and codec are [`ByteCodec`]'s.
//!
//! ```
//! use understudy_actors::scripted::{Fault, Script};
//! let script = Script::new("m");
//! script.break_at(3, Fault::Panic("boom".into()));
//! assert_eq!(script.ticks(), 0);
//! ```

mod engine;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use understudy_backend::fake::ByteCodec;
use understudy_backend::{LoadEvent, ModelCard};
use understudy_engine::codec::Codec;

use crate::source::{EngineFactory, LoadError, LoadedModel, ModelSource};
pub use engine::ScriptedEngine;

/// What happens when an engine is about to generate its n-th token of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The thread panics with this message.
    Panic(String),
    /// The thread blocks until [`Script::release`].
    Hang,
}

/// The remote control of every engine of one model. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Script {
    model: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    plan: Mutex<Plan>,
    released: Condvar,
    ticks: AtomicU64,
    tokens: AtomicU64,
    starts: AtomicU64,
    open: AtomicUsize,
    refuse_loading: AtomicBool,
}

#[derive(Default)]
struct Plan {
    /// (token of a run, what, how often still)
    faults: Vec<(usize, Fault, u32)>,
    releases: u64,
    tick_time: Duration,
    fetch_time: Duration,
    memory: u64,
}

impl Script {
    /// An engine without faults.
    pub fn new(model: impl Into<String>) -> Self {
        Self { model: model.into(), shared: Arc::default() }
    }

    /// The next run that reaches its token `n` breaks so, once.
    pub fn break_at(&self, n: usize, fault: Fault) {
        self.break_times(n, fault, 1);
    }

    /// As [`break_at`](Self::break_at), the next `times` times.
    pub fn break_times(&self, n: usize, fault: Fault, times: u32) {
        self.plan().faults.push((n, fault, times));
    }

    /// Ends every present hang.
    pub fn release(&self) {
        self.plan().releases += 1;
        self.shared.released.notify_all();
    }

    /// Time that each tick with work takes.
    pub fn tick_time(&self, time: Duration) {
        self.plan().tick_time = time;
    }

    /// Time that fetching takes.
    pub fn fetch_time(&self, time: Duration) {
        self.plan().fetch_time = time;
    }

    /// Bytes that the model says it takes.
    pub fn memory(&self, bytes: u64) {
        self.plan().memory = bytes;
    }

    /// From now on the file is damaged (or whole again).
    pub fn refuse_loading(&self, refuse: bool) {
        self.shared.refuse_loading.store(refuse, Ordering::SeqCst);
    }

    /// Ticks with work so far.
    pub fn ticks(&self) -> u64 {
        self.shared.ticks.load(Ordering::SeqCst)
    }

    /// Tokens generated so far.
    pub fn tokens(&self) -> u64 {
        self.shared.tokens.load(Ordering::SeqCst)
    }

    /// Engines started so far.
    pub fn starts(&self) -> u64 {
        self.shared.starts.load(Ordering::SeqCst)
    }

    /// Sequences open in the engine that runs now.
    pub fn open_sequences(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks here if the plan says so.
    fn pass(&self, n: usize) {
        let mut plan = self.plan();
        let due = plan.faults.iter_mut().find(|(at, _, left)| *at == n && *left > 0);
        let Some((_, fault, left)) = due else { return };
        *left -= 1;
        match fault.clone() {
            Fault::Panic(why) => {
                drop(plan);
                std::panic::resume_unwind(Box::new(why));
            }
            Fault::Hang => {
                let before = plan.releases;
                let released = self.shared.released.wait_while(plan, |plan| plan.releases == before);
                drop(released.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    fn loaded(&self) -> LoadedModel {
        let script = self.clone();
        LoadedModel {
            card: ModelCard {
                name: self.model.clone(),
                architecture: "scripted".into(),
                generates: true,
                context: ScriptedEngine::CONTEXT,
                bytes_per_token: 1,
                numerics: "scripted".into(),
                gates: Vec::new(),
                codec_digest: ByteCodec.digest().into(),
                digest: self.model.bytes().map(|byte| format!("{byte:02x}")).collect(),
            },
            memory: self.plan().memory,
            codec: Arc::new(ByteCodec),
            make_engine: Arc::new(move |pulse| Ok(Box::new(ScriptedEngine::new(script.clone(), pulse)))),
        }
    }
}

/// A [`ModelSource`] and [`EngineFactory`] over scripts; other names are unknown.
#[derive(Clone, Default)]
pub struct ScriptedModels(Arc<Vec<Script>>);

impl ScriptedModels {
    /// These models.
    pub fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self(Arc::new(scripts.into_iter().collect()))
    }

    fn find(&self, model: &str) -> Result<&Script, LoadError> {
        let suggestion = || {
            self.0
                .iter()
                .map(|script| script.model.clone())
                .find(|name| name.starts_with(&model[..model.len().min(1)]))
        };
        self.0
            .iter()
            .find(|script| script.model == model)
            .ok_or_else(|| LoadError::Unknown { suggestion: suggestion() })
    }
}

impl ModelSource for ScriptedModels {
    fn fetch(
        &self,
        model: &str,
        progress: &(dyn Fn(LoadEvent) + Send + Sync),
        cancel: &AtomicBool,
    ) -> Result<PathBuf, LoadError> {
        let time = self.find(model)?.plan().fetch_time;
        let step = time / 10;
        for done in 1..=10 {
            if cancel.load(Ordering::SeqCst) {
                return Err(LoadError::failed("HUB_CANCELLED", "fetching was cancelled"));
            }
            if !step.is_zero() {
                std::thread::sleep(step);
                let source = "script".to_string();
                progress(LoadEvent::Fetching { model: model.into(), source, done, total: 10 });
            }
        }
        Ok(PathBuf::from(model))
    }
}

impl EngineFactory for ScriptedModels {
    fn load(&self, _path: &Path, model: &str) -> Result<LoadedModel, LoadError> {
        let script = self.find(model)?;
        if script.shared.refuse_loading.load(Ordering::SeqCst) {
            return Err(LoadError::failed("GGUF_TRUNCATED", "the file is shorter than its header says"));
        }
        Ok(script.loaded())
    }

    fn codec(&self, head: Vec<u8>) -> Result<Arc<dyn Codec>, LoadError> {
        match head == ByteCodec::NAME.as_bytes() {
            true => Ok(Arc::new(ByteCodec)),
            false => Err(LoadError::failed("GGUF_NOT_GGUF", "it is not the codec of scripted engines")),
        }
    }
}
