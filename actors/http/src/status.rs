//! `/understudy/status`: what the console looks at each second; and `/understudy/log`: what the node logs.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use understudy_gateway::{ClusterService, Node, pages};
use understudy_proto::v1::NodeStatus;

use crate::{app::App, native};

/// The node, its models and its requests.
pub(crate) async fn status(State(app): State<App>) -> Json<Value> {
    let models: Vec<Value> = app.models.list().iter().map(native::model).collect();
    let (requests, totals) = (app.admission.snapshot(), app.telemetry.totals());
    let [interactive, agent, batch] = requests.waiting;
    Json(json!({
        "node": {
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_s": app.begun.elapsed().as_secs(),
            "draining": app.admission.closed().is_cancelled(),
        },
        "models": models,
        "nodes": nodes(&app),
        "requests": {
            "running": requests.running,
            "waiting": {"interactive": interactive, "agent": agent, "batch": batch},
            "refused": requests.refused,
        },
        "totals": {
            "requests": totals.requests,
            "tokens": totals.tokens,
            "teacher_tokens": totals.teacher_tokens,
            "wasted_tokens": totals.wasted_tokens,
            "bytes_read": totals.bytes_read,
            "bytes_teacher_alone": totals.bytes_teacher_alone,
        },
    }))
}

/// The nodes of the cluster, this one first; none where it is alone.
fn nodes(app: &App) -> Vec<Value> {
    let status = app.cluster.as_ref().map(ClusterService::status).unwrap_or_default();
    let node = |node: &NodeStatus| {
        json!({
            "node": node.node, "name": node.name, "state": node.state, "detail": node.detail,
            "addr": node.addresses.first(), "round_trip_us": node.round_trip_us, "device": node.device,
            "running": node.running, "waiting": node.waiting, "draining": node.draining,
            "models": node.models.iter().filter(|model| model.state == "ready").map(|model| &model.model).collect::<Vec<_>>(),
        })
    };
    status.nodes.iter().map(node).collect()
}

/// Sets what the node logs, by a filter such as `info,understudy_router=debug`; answers it as it was understood.
pub(crate) async fn set_log(filter: String) -> Response {
    match Node::set_log_filter(filter.trim()) {
        Ok(filter) => format!("{filter}\n").into_response(),
        Err(failure) => pages::plain(&failure),
    }
}
