//! The handle that a node tells everything to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::SdkTracer;
use understudy_backend::{Priority, RequestCtx};
use understudy_router::AnswerRequest;

use crate::Settings;
use crate::export::Export;
use crate::figures::{self, Figures, ModelFigures};
use crate::instruments::Instruments;
use crate::labels::Names;
use crate::logs;
use crate::observation::{Observation, Operation, word};
use crate::peers::{self, PeerFigures, Peers};
use crate::totals::{Sums, Totals};

/// A node's telemetry. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Telemetry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) instruments: Instruments,
    pub(crate) models: Arc<Names>,
    pub(crate) policies: Names,
    pub(crate) totals: Sums,
    pub(crate) tracer: SdkTracer,
    pub(crate) content: bool,
    figures: Arc<Figures>,
    peers: Arc<Peers>,
    export: Export,
}

impl Telemetry {
    /// Telemetry of one node. A collector is connected to in the background, if the settings or the environment name
    /// one; what cannot be started is logged and left out, and `/metrics` is there in any case.
    pub fn start(settings: &Settings) -> Self {
        let export = Export::start(settings);
        let meter = export.meter();
        let (figures, models) = (Arc::new(Figures::default()), Arc::new(Names::of_models()));
        figures::observe(&meter, figures.clone(), models.clone());
        let peers = Arc::new(Peers::default());
        peers::observe(&meter, &peers);
        if let Some(loggers) = export.loggers() {
            logs::send_to(loggers);
        }
        Self(Arc::new(Inner {
            instruments: Instruments::new(&meter),
            models,
            policies: Names::of_policies(),
            totals: Sums::default(),
            tracer: export.tracer(),
            content: settings.content,
            figures,
            peers,
            export,
        }))
    }

    /// From now on labels name this model; others are `other` until they have answered once. `bytes` is the size of
    /// its file, 0 where it is not known.
    pub fn know_model(&self, name: &str, bytes: u64) {
        self.0.models.know(name, bytes);
    }

    /// Where figures of models and engines come from: called when somebody collects, at most five times a second.
    pub fn read_models_from(&self, source: impl Fn() -> Vec<ModelFigures> + Send + Sync + 'static) {
        self.0.figures.come_from(Box::new(source));
    }

    /// Where figures of other nodes come from: called when somebody collects.
    pub fn read_peers_from(&self, source: impl Fn() -> Vec<PeerFigures> + Send + Sync + 'static) {
        self.0.peers.come_from(Box::new(source));
    }

    /// A request for an answer has been admitted, after it has `waited` for its turn: its times begin before that.
    pub fn answering(&self, ctx: &mut RequestCtx, request: &AnswerRequest, waited: Duration) -> Observation {
        let policy = Some(request.policy.name());
        let model = request.policy.only_model();
        let mut observation = Observation::begin(self, ctx, Operation::Chat, policy, model, waited);
        observation.asked(request);
        observation
    }

    /// A request with a single answer for `model` has come.
    pub fn calling(&self, ctx: &mut RequestCtx, operation: Operation, model: &str) -> Observation {
        Observation::begin(self, ctx, operation, None, Some(model), Duration::ZERO)
    }

    /// A request was refused with the error of this code.
    pub fn refused(&self, code: &'static str) {
        self.0.instruments.refusals.add(1, &[KeyValue::new("code", code)]);
    }

    /// A request begins to wait for its turn, until the answer is dropped.
    pub fn waiting(&self, priority: Priority) -> Waiting {
        let priority = KeyValue::new("priority", word(priority));
        self.0.instruments.waiting.add(1, std::slice::from_ref(&priority));
        Waiting { telemetry: self.clone(), priority, since: Instant::now() }
    }

    /// Sums since the start.
    pub fn totals(&self) -> Totals {
        self.0.totals.get()
    }

    /// What `/metrics` answers: Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.0.export.text()
    }

    /// Sends what waits for a collector, for three seconds at most. Nothing is exported afterwards.
    pub async fn finish(&self) {
        self.0.export.finish().await;
    }
}

/// A request that waits for its turn.
pub struct Waiting {
    telemetry: Telemetry,
    priority: KeyValue,
    since: Instant,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let instruments = &self.telemetry.0.instruments;
        let priority = std::slice::from_ref(&self.priority);
        instruments.waiting.add(-1, priority);
        instruments.queue_wait.record(self.since.elapsed().as_secs_f64(), priority);
    }
}
