//! Plain HTTP: is it alive, is it ready, how is it doing.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::sync::watch;
use understudy_telemetry::Telemetry;

use crate::health::Readiness;

/// `/healthz`: the process answers. `/readyz`: requests should be sent here; 503 says why not. `/metrics`:
/// Prometheus' text format.
pub(crate) fn routes(readiness: watch::Receiver<Readiness>, telemetry: Telemetry) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(telemetry);
    let health = Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(readyz));
    health.with_state(readiness).merge(metrics)
}

async fn metrics(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry.metrics())
}

async fn readyz(State(readiness): State<watch::Receiver<Readiness>>) -> (StatusCode, String) {
    match &*readiness.borrow() {
        Readiness::Ready => (StatusCode::OK, "ready\n".into()),
        Readiness::NotReady(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}
