//! `/v1/models`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};
use understudy_gateway::{Failure, codes};
use understudy_proto::v1::ModelStatus;
use understudy_router::policies::REGISTRY;

use super::{error::Refusal, naming::OURS};
use crate::app::App;

/// Every model of the node, and the names that mean a policy.
pub(crate) async fn list(State(app): State<App>) -> Json<Value> {
    Json(json!({"object": "list", "data": all(&app)}))
}

/// One of them.
pub(crate) async fn one(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let found = all(&app).into_iter().find(|model| model["id"] == id.as_str());
    let unknown = || {
        let message = format!("unknown model {id:?}");
        Failure::new(codes::MODEL_UNKNOWN, message).with("model", &id).with_field("model", "is not known")
    };
    Ok(Json(found.ok_or_else(unknown)?))
}

fn all(app: &App) -> Vec<Value> {
    let model = |status: &ModelStatus| {
        let mut entry = entry(app, &status.model);
        entry["understudy"] = json!({
            "state": status.state, "context": status.context, "bytes": status.bytes, "numerics": status.numerics,
        });
        entry
    };
    let policies = ["auto"].into_iter().chain(REGISTRY.iter().map(|definition| definition.name));
    let policies = policies.map(|policy| entry(app, &format!("{OURS}{policy}")));
    app.models.list().iter().map(model).chain(policies).collect()
}

fn entry(app: &App, id: &str) -> Value {
    json!({"id": id, "object": "model", "created": app.since, "owned_by": "understudy"})
}
