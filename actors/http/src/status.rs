//! `/understudy/status`: what the console looks at each second.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::{app::App, native};

/// The node, its models and its requests. What is not known yet is 0.
pub(crate) async fn status(State(app): State<App>) -> Json<Value> {
    let models: Vec<Value> = app.models.list().iter().map(native::model).collect();
    Json(json!({
        "node": {
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_s": app.begun.elapsed().as_secs(),
            "draining": app.inference.is_draining(),
        },
        "models": models,
        "requests": {
            "running": app.inference.in_flight(),
            "waiting": {"interactive": 0, "agent": 0, "batch": 0},
        },
        "totals": {
            "requests": 0, "tokens": 0, "teacher_tokens": 0, "wasted_tokens": 0,
            "bytes_read": 0, "bytes_teacher_alone": 0,
        },
    }))
}
