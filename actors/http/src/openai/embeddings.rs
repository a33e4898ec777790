//! `/v1/embeddings`.

use axum::{
    Json,
    extract::{Request, State},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use understudy_gateway::Failure;
use understudy_proto::v1::EmbedRequest;

use super::{
    error::Refusal,
    fields::{Texts, WithoutEffect},
    naming::OURS,
};
use crate::{app::App, call::Call, strict::invalid};

/// Most texts of a call. They are computed one after the other, so that a long list takes one place of the node.
pub(crate) const MOST_TEXTS: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbeddingsRequest {
    model: String,
    input: Texts,
    #[serde(default)]
    encoding_format: Encoding,
    #[serde(default)]
    dimensions: Option<usize>,
    #[serde(default, rename = "user")]
    _user: WithoutEffect,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    #[default]
    Float,
    /// Of 32-bit floats, least byte first.
    Base64,
}

/// Texts as vectors.
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Json<Value>, Refusal> {
    let call = Call::read(request).await?;
    Ok(Json(embed(&app, &call, call.json()?).await?))
}

async fn embed(app: &App, call: &Call, request: EmbeddingsRequest) -> Result<Value, Failure> {
    if request.model.starts_with(OURS) {
        return Err(invalid("model", "is a policy: name a model to embed with"));
    }
    if !(1..=MOST_TEXTS).contains(&request.input.0.len()) {
        return Err(invalid("input", format!("must be 1 to {MOST_TEXTS} texts")));
    }
    let (mut data, mut tokens) = (Vec::new(), 0);
    for (at, text) in request.input.0.into_iter().enumerate() {
        let asked = EmbedRequest { model: request.model.clone(), text };
        let embedded = call.embed(&app.inference, at, asked).await?;
        tokens += embedded.tokens;
        if request.dimensions.is_some_and(|wanted| wanted != embedded.values.len()) {
            let why = format!("must be {}: this model's vectors are not cut", embedded.values.len());
            return Err(invalid("dimensions", why));
        }
        let vector = request.encoding_format.write(&embedded.values);
        data.push(json!({"object": "embedding", "index": at, "embedding": vector}));
    }
    Ok(json!({
        "object": "list", "data": data, "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }))
}

impl Encoding {
    fn write(self, values: &[f32]) -> Value {
        match self {
            Self::Float => values.into(),
            Self::Base64 => STANDARD
                .encode(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
                .into(),
        }
    }
}
