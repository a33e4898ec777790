//! `/api/embed`.

use std::time::Instant;

use axum::{
    Json,
    extract::{Request, State},
};
use serde::Deserialize;
use serde_json::{Value, json};
use understudy_proto::v1::EmbedRequest;

use super::{error::Refusal, options::plain};
use crate::{
    app::App,
    call::Call,
    openai::{MOST_TEXTS, Texts, Unsupported, WithoutEffect},
    strict::invalid,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbedTexts {
    model: String,
    input: Texts,
    #[serde(default, rename = "keep_alive")]
    _keep_alive: WithoutEffect,
    /// A text beyond the context is refused either way.
    #[serde(default, rename = "truncate")]
    _truncate: WithoutEffect,
    #[serde(default, rename = "options")]
    _options: Unsupported,
    #[serde(default, rename = "dimensions")]
    _dimensions: Unsupported,
}

/// Texts as vectors.
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Json<Value>, Refusal> {
    let begun = Instant::now();
    let call = Call::read(request).await?;
    let asked: EmbedTexts = call.json()?;
    if !(1..=MOST_TEXTS).contains(&asked.input.0.len()) {
        return Err(invalid("input", format!("must be 1 to {MOST_TEXTS} texts")).into());
    }
    let (mut vectors, mut tokens) = (Vec::new(), 0);
    for (at, text) in asked.input.0.into_iter().enumerate() {
        let text = EmbedRequest { model: plain(&asked.model).to_owned(), text };
        let embedded = call.embed(&app.inference, at, text).await?;
        tokens += embedded.tokens;
        vectors.push(embedded.values);
    }
    Ok(Json(json!({
        "model": asked.model,
        "embeddings": vectors,
        "total_duration": begun.elapsed().as_nanos() as u64,
        "load_duration": 0,
        "prompt_eval_count": tokens,
    })))
}
