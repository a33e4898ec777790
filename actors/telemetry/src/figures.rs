//! Figures of models and engines, read when somebody collects.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use crate::labels::Names;

/// States that a model may be in.
const STATES: [&str; 8] =
    ["absent", "unloaded", "fetching", "loading", "warming", "ready", "draining", "failed"];

/// Instruments of one collection share what was read for the first.
const FRESH: Duration = Duration::from_millis(200);

/// A model as its slot sees it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelFigures {
    /// Its name.
    pub model: String,
    /// `ready`, `loading`, ...
    pub state: String,
    /// Size of its file in bytes; 0 where it is not known.
    pub bytes: u64,
    /// Sequences that are open.
    pub active: u64,
    /// Requests that wait for one.
    pub waiting: u64,
    /// Tokens per second lately, all requests together.
    pub decode_tok_s: f64,
    /// How often its actor was restarted.
    pub restarts: u64,
    /// Counters of its engine, if one runs.
    pub engine: Option<EngineFigures>,
}

/// Counters of an engine since it started.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EngineFigures {
    /// Forward passes.
    pub passes: u64,
    /// Rows computed for prompts and appended tokens.
    pub prefill_rows: u64,
    /// Rows computed to decode or verify.
    pub decode_rows: u64,
    /// Rows taken over from another request with the same beginning.
    pub adopted_rows: u64,
    /// Bytes of weights and KV read.
    pub bytes_read: u64,
    /// Time in passes.
    pub compute: Duration,
    /// Bytes of KV pages in use.
    pub kv_used: u64,
    /// Bytes of all KV pages.
    pub kv_total: u64,
    /// Passes that had masks to make.
    pub mask_passes: u64,
    /// Time that passes waited for them.
    pub mask_wait: Duration,
}

/// Tells the figures of all models.
pub type Source = dyn Fn() -> Vec<ModelFigures> + Send + Sync;

/// Where figures come from, once a node has said so.
#[derive(Default)]
pub(crate) struct Figures {
    source: ArcSwapOption<Box<Source>>,
    last: Mutex<Option<(Instant, Arc<Vec<ModelFigures>>)>>,
}

impl Figures {
    pub(crate) fn come_from(&self, source: Box<Source>) {
        self.source.store(Some(Arc::new(source)));
    }

    /// Figures that are at most [`FRESH`] old.
    fn now(&self) -> Arc<Vec<ModelFigures>> {
        let Some(source) = self.source.load_full() else { return Arc::default() };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, figures)) = &*last
            && at.elapsed() < FRESH
        {
            return figures.clone();
        }
        let figures = Arc::new(source());
        *last = Some((Instant::now(), figures.clone()));
        figures
    }
}

/// What instruments observe: figures of models whose names are known.
#[derive(Clone)]
struct Observed {
    figures: Arc<Figures>,
    names: Arc<Names>,
}

impl Observed {
    fn each(&self, mut tell: impl FnMut(&ModelFigures, KeyValue)) {
        for model in self.figures.now().iter() {
            // A slot of a name that may turn out to be none has no size yet and keeps no series.
            if model.state == "ready" {
                self.names.know(&model.model, model.bytes);
            }
            if let Some(name) = self.names.known(&model.model) {
                tell(model, KeyValue::new("model", name));
            }
        }
    }

    fn engines(&self, mut tell: impl FnMut(&EngineFigures, KeyValue)) {
        self.each(|model, label| model.engine.iter().for_each(|engine| tell(engine, label.clone())));
    }

    fn of_models<T>(
        &self,
        value: impl Fn(&ModelFigures) -> T + Send + Sync + 'static,
    ) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
        let observed = self.clone();
        move |observer| observed.each(|model, label| observer.observe(value(model), &[label]))
    }

    fn of_engines<T>(
        &self,
        value: impl Fn(&EngineFigures) -> T + Send + Sync + 'static,
    ) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
        let observed = self.clone();
        move |observer| observed.engines(|engine, label| observer.observe(value(engine), &[label]))
    }
}

/// Makes the instruments; they live as long as the meter's provider.
pub(crate) fn observe(meter: &Meter, figures: Arc<Figures>, names: Arc<Names>) {
    let observed = Observed { figures, names };
    of_models(meter, &observed);
    of_engines(meter, &observed);
}

fn of_models(meter: &Meter, observed: &Observed) {
    let states = observed.clone();
    meter
        .u64_observable_gauge("understudy.model.state")
        .with_description("1 for the state that a model is in, 0 for the others.")
        .with_callback(move |observer| {
            states.each(|model, label| {
                for state in STATES {
                    let is = u64::from(model.state == state);
                    observer.observe(is, &[label.clone(), KeyValue::new("state", state)]);
                }
            });
        })
        .build();
    let gauge = |name: &'static str, unit: &'static str, about: &'static str| {
        meter.u64_observable_gauge(name).with_unit(unit).with_description(about)
    };
    gauge("understudy.model.active", "{sequence}", "Sequences that are open.")
        .with_callback(observed.of_models(|model| model.active))
        .build();
    gauge("understudy.model.waiting", "{request}", "Requests that wait for a sequence.")
        .with_callback(observed.of_models(|model| model.waiting))
        .build();
    gauge("understudy.model.file", "By", "Size of a model's file; 0 where it is not known.")
        .with_callback(observed.of_models(|model| model.bytes))
        .build();
    meter
        .f64_observable_gauge("understudy.model.decode_tokens_per_second")
        .with_description("Tokens per second lately, all requests together.")
        .with_callback(observed.of_models(|model| model.decode_tok_s))
        .build();
    meter
        .u64_observable_counter("understudy.model.restarts")
        .with_unit("{restart}")
        .with_description("Restarts of a model's actor.")
        .with_callback(observed.of_models(|model| model.restarts))
        .build();
}

fn of_engines(meter: &Meter, observed: &Observed) {
    let counter = |name: &'static str, unit: &'static str, about: &'static str| {
        meter.u64_observable_counter(name).with_unit(unit).with_description(about)
    };
    let seconds = |name: &'static str, about: &'static str| {
        meter.f64_observable_counter(name).with_unit("s").with_description(about)
    };
    counter("understudy.engine.passes", "{pass}", "Forward passes.")
        .with_callback(observed.of_engines(|engine| engine.passes))
        .build();
    counter("understudy.engine.read", "By", "Bytes of weights and KV read.")
        .with_callback(observed.of_engines(|engine| engine.bytes_read))
        .build();
    counter("understudy.engine.mask_passes", "{pass}", "Passes that had masks to make.")
        .with_callback(observed.of_engines(|engine| engine.mask_passes))
        .build();
    seconds("understudy.engine.compute", "Time in passes.")
        .with_callback(observed.of_engines(|engine| engine.compute.as_secs_f64()))
        .build();
    seconds("understudy.engine.mask_wait", "Time that passes waited for masks.")
        .with_callback(observed.of_engines(|engine| engine.mask_wait.as_secs_f64()))
        .build();
    let rows = observed.clone();
    counter("understudy.engine.rows", "{row}", "Rows, by what they were computed for.")
        .with_callback(move |observer| {
            rows.engines(|engine, label| {
                for (kind, count) in [
                    ("prefill", engine.prefill_rows),
                    ("decode", engine.decode_rows),
                    ("adopted", engine.adopted_rows),
                ] {
                    observer.observe(count, &[label.clone(), KeyValue::new("kind", kind)]);
                }
            });
        })
        .build();
    let kv = observed.clone();
    meter
        .u64_observable_gauge("understudy.kv")
        .with_unit("By")
        .with_description("Bytes of KV pages: in use, by requests or the prefix cache, and in all.")
        .with_callback(move |observer| {
            kv.engines(|engine, label| {
                for (kind, bytes) in [("used", engine.kv_used), ("total", engine.kv_total)] {
                    observer.observe(bytes, &[label.clone(), KeyValue::new("kind", kind)]);
                }
            });
        })
        .build();
}
