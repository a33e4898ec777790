//! OpenAI's API: `/v1/*`.
//!
//! | room | what it holds |
//! |---|---|
//! | `naming`, `extension` | model names, policies, and our own fields of a request |
//! | `messages`, `tools`, `format`, `fields` | parts that requests share |
//! | `chat`, `completions`, `responses`, `embeddings`, `models` | one room per endpoint |
//! | `usage`, `logprobs`, `error`, `sse` | parts that answers share |

mod chat;
mod completions;
mod embeddings;
mod error;
mod extension;
mod fields;
mod format;
mod logprobs;
mod messages;
mod models;
mod naming;
mod responses;
mod sse;
mod tools;
mod usage;

use axum::{
    Router,
    extract::OriginalUri,
    http::{Method, StatusCode},
    routing::{get, post},
};

// What Ollama's requests and answers have in common with these.
pub(crate) use embeddings::MOST_TEXTS;
pub(crate) use extension::Extension;
pub(crate) use fields::{Texts, Unsupported, WithoutEffect};
pub(crate) use messages::role;
pub(crate) use naming::Target;
pub(crate) use responses::Store;
pub(crate) use tools::Tool;
pub(crate) use usage::finish_reason;

use crate::app::App;
use error::Refusal;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::one))
        .route("/chat/completions", post(chat::create))
        .route("/completions", post(completions::create))
        .route("/embeddings", post(embeddings::create))
        .route("/responses", post(responses::create))
        .route("/responses/{id}", get(responses::one).delete(responses::delete))
        .route("/responses/{id}/cancel", post(responses::cancel))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
}

async fn unknown(OriginalUri(uri): OriginalUri) -> Refusal {
    Refusal::without_code(StatusCode::NOT_FOUND, &format!("there is no {}", uri.path()))
}

async fn wrong_method(OriginalUri(uri): OriginalUri, method: Method) -> Refusal {
    let message = format!("{} does not take {method}", uri.path());
    Refusal::without_code(StatusCode::METHOD_NOT_ALLOWED, &message)
}
