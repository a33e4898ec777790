//! What models there are.

use axum::{
    Json,
    extract::{Request, State},
};
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use understudy_backend::BackendError;
use understudy_gateway::Failure;
use understudy_proto::v1::ModelStatus;

use super::{error::Refusal, options::plain};
use crate::{app::App, call::Call, openai::WithoutEffect};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowRequest {
    #[serde(alias = "name")]
    model: String,
    #[serde(default, rename = "verbose")]
    _verbose: WithoutEffect,
}

/// Our version.
pub(crate) async fn version() -> Json<Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION")}))
}

/// The models that are on disk.
pub(crate) async fn tags(State(app): State<App>) -> Json<Value> {
    let here = |status: &ModelStatus| status.state != "absent";
    listed(&app, here)
}

/// The models that are loaded.
pub(crate) async fn loaded(State(app): State<App>) -> Json<Value> {
    let loaded = |status: &ModelStatus| matches!(status.state.as_str(), "ready" | "warming" | "draining");
    listed(&app, loaded)
}

fn listed(app: &App, is_meant: impl Fn(&ModelStatus) -> bool) -> Json<Value> {
    let since = time_of(app.since);
    let entry = |status: &ModelStatus| {
        json!({
            "name": status.model, "model": status.model, "modified_at": since, "size": status.bytes,
            "digest": "", "details": details(status),
        })
    };
    let models = app.models.list();
    Json(json!({"models": models.iter().filter(|status| is_meant(status)).map(entry).collect::<Vec<_>>()}))
}

/// One model.
pub(crate) async fn show(State(app): State<App>, request: Request) -> Result<Json<Value>, Refusal> {
    let asked: ShowRequest = Call::read(request).await?.json()?;
    let name = plain(&asked.model);
    let found = app.models.list().into_iter().find(|status| status.model == name);
    let unknown = || Failure::from(BackendError::UnknownModel { name: name.to_owned(), suggestion: None });
    let status = found.ok_or_else(unknown)?;
    Ok(Json(json!({
        "modelfile": "", "parameters": "", "template": "",
        "modified_at": time_of(app.since),
        "details": details(&status),
        "model_info": {"general.basename": status.model, "general.context_length": status.context},
        "capabilities": ["completion", "tools"],
        "understudy": crate::native::model(&status),
    })))
}

fn details(status: &ModelStatus) -> Value {
    let family = status.model.split(['-', '.']).next().unwrap_or_default();
    json!({
        "parent_model": "", "format": "gguf", "family": family, "families": [family],
        "parameter_size": "", "quantization_level": "",
    })
}

fn time_of(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}
