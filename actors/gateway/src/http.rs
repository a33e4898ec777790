//! Plain HTTP: is it alive, is it ready.

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::sync::watch;

use crate::health::Readiness;

/// `/healthz`: the process answers. `/readyz`: requests should be sent here; 503 says why not.
pub(crate) fn routes(readiness: watch::Receiver<Readiness>) -> Router {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(readyz)).with_state(readiness)
}

async fn readyz(State(readiness): State<watch::Receiver<Readiness>>) -> (StatusCode, String) {
    match &*readiness.borrow() {
        Readiness::Ready => (StatusCode::OK, "ready\n".into()),
        Readiness::NotReady(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}
