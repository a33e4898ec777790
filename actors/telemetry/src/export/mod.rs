//! What leaves the node: to whoever scrapes it, and to a collector over OTLP.
//!
//! | module | what it holds |
//! |---|---|
//! | `pipes` | the three pipelines to a collector, and what is lost on the way |
//! | `bounded` | the queue before each of them, and the limit of each export |
//! | `http` | OTLP over HTTP |
//!
//! Pushing goes on on threads of its own. A collector that is away, slow or wrong costs a node nothing but what it
//! would have told: queues have a bound, what does not fit is dropped and counted, and each export has a limit.

mod bounded;
mod http;
mod pipes;

use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use crate::Settings;
use bounded::Losses;
use pipes::Pipes;

/// How long a stopping node waits for its last exports.
const LAST_EXPORTS: Duration = Duration::from_secs(3);

/// Name of the scope of all that this crate records.
const SCOPE: &str = "understudy";

/// The providers of one node.
pub(crate) struct Export {
    registry: prometheus::Registry,
    meters: SdkMeterProvider,
    tracers: SdkTracerProvider,
    loggers: Option<SdkLoggerProvider>,
}

impl Export {
    /// Starts what the settings ask for. What cannot be started is logged and left out.
    pub(crate) fn start(settings: &Settings) -> Self {
        let resource = resource(settings);
        let losses = Losses::default();
        let pipes = settings.target(|name| std::env::var(name).ok()).and_then(|target| {
            let pipes = Pipes::open(&target, &losses);
            pipes.inspect_err(|error| tracing::warn!(%error, "nothing is exported to a collector")).ok()
        });

        let registry = prometheus::Registry::new();
        let mut meters = SdkMeterProvider::builder().with_resource(resource.clone());
        let scraped = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build();
        match scraped {
            Ok(reader) => meters = meters.with_reader(reader),
            Err(error) => tracing::error!(%error, "/metrics is empty"),
        }
        let mut tracers = SdkTracerProvider::builder().with_resource(resource.clone());
        if pipes.is_none() {
            // Ids are made all the same: for logs, and to pass on what callers sampled.
            tracers = tracers.with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
        } else if let Some(share) = settings.sample {
            let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
            tracers = tracers.with_sampler(sampler);
        }
        let mut loggers = None;
        if let Some(Pipes { metrics, spans, logs }) = pipes {
            meters = meters.with_reader(metrics);
            tracers = tracers.with_span_processor(spans);
            loggers =
                Some(SdkLoggerProvider::builder().with_resource(resource).with_log_processor(logs).build());
        }
        let meters = meters.build();
        losses.count_with(&meters.meter(SCOPE));
        Self { registry, meters, tracers: tracers.build(), loggers }
    }

    pub(crate) fn meter(&self) -> opentelemetry::metrics::Meter {
        self.meters.meter(SCOPE)
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.tracers.tracer(SCOPE)
    }

    pub(crate) fn loggers(&self) -> Option<&SdkLoggerProvider> {
        self.loggers.as_ref()
    }

    /// All metrics in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let families = self.registry.gather();
        prometheus::TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::warn!(%error, "metrics cannot be written");
            String::new()
        })
    }

    /// Sends what waits, as far as there is time.
    pub(crate) async fn finish(&self) {
        let Some(loggers) = self.loggers.clone() else { return };
        crate::logs::send_nowhere();
        let (meters, tracers) = (self.meters.clone(), self.tracers.clone());
        // Each waits for its thread.
        let last = tokio::task::spawn_blocking(move || {
            let ends = [
                tracers.shutdown_with_timeout(LAST_EXPORTS),
                loggers.shutdown_with_timeout(LAST_EXPORTS),
                meters.shutdown_with_timeout(LAST_EXPORTS),
            ];
            ends.into_iter().all(|end| end.is_ok())
        });
        if !matches!(tokio::time::timeout(LAST_EXPORTS, last).await, Ok(Ok(true))) {
            tracing::warn!("the last spans, metrics and logs may be missing at the collector");
        }
    }
}

fn resource(settings: &Settings) -> Resource {
    let named = std::env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty());
    let resource = Resource::builder();
    let resource = match &settings.service_name {
        Some(name) => resource.with_service_name(name.clone()),
        None if named => resource,
        None => resource.with_service_name("understudy"),
    };
    resource
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(opentelemetry::KeyValue::new("process.pid", i64::from(std::process::id())))
        .build()
}
