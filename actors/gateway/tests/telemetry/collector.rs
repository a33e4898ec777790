//! A collector in this process: keeps whatever arrives, over gRPC and over HTTP.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use opentelemetry_proto::tonic::{common::v1::any_value::Value, trace::v1::Span};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait};

#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Arrived>>);

#[derive(Default)]
struct Arrived {
    spans: Vec<Span>,
    metrics: Vec<String>,
    /// Names of services.
    services: Vec<String>,
}

impl Collector {
    /// Listens; answers the address of the protocol asked for.
    pub async fn listen(protocol: &str) -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        match protocol {
            "grpc" => {
                let server = tonic::transport::Server::builder()
                    .add_service(TraceServiceServer::new(collector.clone()))
                    .add_service(MetricsServiceServer::new(collector.clone()))
                    .add_service(LogsServiceServer::new(collector.clone()));
                tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
            }
            _ => {
                let routes = Router::new()
                    .route("/v1/traces", post(traces))
                    .route("/v1/metrics", post(metrics))
                    .route("/v1/logs", post(async || ()))
                    .with_state(collector.clone());
                tokio::spawn(async move { axum::serve(listener, routes).await });
            }
        }
        (collector, address)
    }

    pub fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().spans.clone()
    }

    pub fn metrics(&self) -> Vec<String> {
        self.0.lock().unwrap().metrics.clone()
    }

    pub fn services(&self) -> Vec<String> {
        self.0.lock().unwrap().services.clone()
    }

    fn keep_spans(&self, request: ExportTraceServiceRequest) {
        let mut arrived = self.0.lock().unwrap();
        for resource in request.resource_spans {
            let named = resource.resource.iter().flat_map(|resource| &resource.attributes);
            let names = named.filter(|pair| pair.key == "service.name").filter_map(|pair| {
                match pair.value.as_ref()?.value.as_ref()? {
                    Value::StringValue(name) => Some(name.clone()),
                    _ => None,
                }
            });
            arrived.services.extend(names.collect::<Vec<_>>());
            arrived.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }

    fn keep_metrics(&self, request: ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.0.lock().unwrap().metrics.extend(names);
    }
}

async fn traces(State(collector): State<Collector>, body: Bytes) {
    collector.keep_spans(ExportTraceServiceRequest::decode(body).unwrap());
}

async fn metrics(State(collector): State<Collector>, body: Bytes) {
    collector.keep_metrics(ExportMetricsServiceRequest::decode(body).unwrap());
}

#[async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.keep_spans(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.keep_metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        _: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}
