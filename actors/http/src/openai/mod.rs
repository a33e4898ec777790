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
use crate::refusal::{unknown, wrong_method};
pub(crate) use error::OpenAi;

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
        .method_not_allowed_fallback(wrong_method::<OpenAi>)
        .fallback(unknown::<OpenAi>)
}
