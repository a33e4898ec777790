//! The pipelines to a collector.

use opentelemetry_otlp::Protocol::HttpBinary;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig, tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::logs::{BatchConfigBuilder as LogBatches, BatchLogProcessor};
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{BatchConfigBuilder as SpanBatches, BatchSpanProcessor};
use tokio::runtime::Handle;

use super::bounded::{GatedLogs, GatedSpans, LIMIT, Limited, Losses, QUEUE};
use super::http::Http;
use crate::settings::{Protocol, Target};

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub(super) enum PipeError {
    #[error("the exporter cannot be made: {0}")]
    Build(#[from] ExporterBuildError),
    #[error("there is no tokio runtime")]
    NoRuntime,
}

/// One per signal.
pub(super) struct Pipes {
    pub(super) metrics: PeriodicReader<Limited<MetricExporter>>,
    pub(super) spans: GatedSpans,
    pub(super) logs: GatedLogs,
}

impl Pipes {
    /// Opens all three. Nothing is connected yet.
    pub(super) fn open(target: &Target, losses: &Losses) -> Result<Self, PipeError> {
        let runtime = Handle::try_current().map_err(|_| PipeError::NoRuntime)?;
        let Exporters { spans, metrics, logs } = Exporters::build(target)?;
        let metrics = Limited::new(metrics, losses.of("metrics", runtime.clone()));
        let signal = losses.of("traces", runtime.clone());
        let spans = BatchSpanProcessor::builder(Limited::new(spans, signal.clone()))
            .with_batch_config(SpanBatches::default().with_max_queue_size(QUEUE).build())
            .build();
        let spans = GatedSpans::new(spans, signal);
        let signal = losses.of("logs", runtime);
        let logs = BatchLogProcessor::builder(Limited::new(logs, signal.clone()))
            .with_batch_config(LogBatches::default().with_max_queue_size(QUEUE).build())
            .build();
        Ok(Self {
            metrics: PeriodicReader::builder(metrics).build(),
            spans,
            logs: GatedLogs::new(logs, signal),
        })
    }
}

struct Exporters {
    spans: SpanExporter,
    metrics: MetricExporter,
    logs: LogExporter,
}

impl Exporters {
    fn build(target: &Target) -> Result<Self, ExporterBuildError> {
        match target.protocol {
            Protocol::Grpc => Self::grpc(target.endpoint.as_deref()),
            Protocol::Http => Self::http(target.endpoint.as_deref()),
        }
    }

    fn grpc(endpoint: Option<&str>) -> Result<Self, ExporterBuildError> {
        let endpoint = endpoint.map(str::to_owned);
        Ok(Self {
            spans: at(grpc(SpanExporter::builder().with_tonic()), endpoint.clone()).build()?,
            metrics: at(grpc(MetricExporter::builder().with_tonic()), endpoint.clone()).build()?,
            logs: at(grpc(LogExporter::builder().with_tonic()), endpoint).build()?,
        })
    }

    fn http(endpoint: Option<&str>) -> Result<Self, ExporterBuildError> {
        let path = |path: &str| endpoint.map(|at| format!("{}{path}", at.trim_end_matches('/')));
        Ok(Self {
            spans: at(http(SpanExporter::builder().with_http()), path("/v1/traces")).build()?,
            metrics: at(http(MetricExporter::builder().with_http()), path("/v1/metrics")).build()?,
            logs: at(http(LogExporter::builder().with_http()), path("/v1/logs")).build()?,
        })
    }
}

/// Without an endpoint the builder takes the environment's.
fn at<B: WithExportConfig>(builder: B, endpoint: Option<String>) -> B {
    match endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint),
        None => builder,
    }
}

/// With roots to trust, for addresses of `https`: the exporter itself has none.
fn grpc<B: WithTonicConfig>(builder: B) -> B {
    builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
}

fn http<B: WithExportConfig + WithHttpConfig>(builder: B) -> B {
    builder.with_protocol(HttpBinary).with_http_client(Http::new(LIMIT))
}
