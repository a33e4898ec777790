//! `/api/generate`: one prompt, one text.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;
use understudy_gateway::Failure;
use understudy_proto::v1::{GenerateRequest, Message};

use super::{
    error::Refusal,
    options::{self, Options},
    spoken::{self, Form},
};
use crate::{
    app::App,
    call::Call,
    openai::{Unsupported, WithoutEffect},
    telling::{CallTold, Telling},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptRequest {
    model: String,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    format: Option<Value>,
    #[serde(default)]
    options: Option<Options>,
    #[serde(default, rename = "keep_alive")]
    _keep_alive: WithoutEffect,
    // Clients send these empty.
    #[serde(default)]
    suffix: Option<String>,
    #[serde(default)]
    template: Option<String>,
    #[serde(default, rename = "raw")]
    _raw: Unsupported,
    #[serde(default, rename = "context")]
    _context: Unsupported,
    #[serde(default, rename = "images")]
    _images: Unsupported,
    #[serde(default, rename = "think")]
    _think: Unsupported,
    #[serde(default, rename = "logprobs")]
    _logprobs: Unsupported,
    #[serde(default, rename = "top_logprobs")]
    _top_logprobs: Unsupported,
}

/// A text. Without a prompt the model is loaded.
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let call = Call::read(request).await?;
    let asked: PromptRequest = call.json()?;
    let (streams, model) = (asked.stream.unwrap_or(true), asked.model.clone());
    let ctx = call.context(&app.inference, 0, None)?;
    if asked.prompt.as_ref().is_none_or(String::is_empty) {
        let mut statuses = app.models.load(ctx, options::plain(&model).to_owned())?;
        while let Some(status) = statuses.next().await {
            status?;
        }
        let loaded = json!({"response": "", "done": true, "done_reason": "load"});
        return Ok(Json(spoken::stamped(loaded, &model)).into_response());
    }
    let telling = Telling::begin(&app.inference, ctx, asked.request()?, false, &call.trace).await?;
    Ok(spoken::respond(telling, model, Plain, streams).await?)
}

impl PromptRequest {
    fn request(self) -> Result<GenerateRequest, Failure> {
        for (name, text) in [("suffix", &self.suffix), ("template", &self.template)] {
            if text.as_ref().is_some_and(|text| !text.is_empty()) {
                return Err(crate::strict::invalid(name, "is not supported"));
            }
        }
        let turn = |role: &str, content| Message { role: role.into(), content, ..Message::default() };
        let system = self.system.filter(|text| !text.is_empty()).map(|text| turn("system", text));
        let user = turn("user", self.prompt.unwrap_or_default());
        let mut request = GenerateRequest {
            messages: system.into_iter().chain([user]).collect(),
            constraint: options::constraint(self.format)?,
            ..GenerateRequest::default()
        };
        self.options.unwrap_or_default().apply(&mut request)?;
        options::target(&self.model, &mut request)?;
        Ok(request)
    }
}

/// Says things as texts.
struct Plain;

impl Form for Plain {
    fn text(&self, text: &str) -> Value {
        json!({"response": text})
    }

    /// There are no tools here.
    fn calls(&self, _calls: &[CallTold]) -> Value {
        json!({})
    }
}
