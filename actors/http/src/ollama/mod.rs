//! Ollama's API, as far as editors speak it: `/api/*`.
//!
//! | room | what it holds |
//! |---|---|
//! | `chat`, `generate`, `embed` | one room per endpoint |
//! | `models` | tags, show, version, ps |
//! | `options`, `spoken` | what requests share; what answers share |
//! | `error` | refusals |

mod chat;
mod embed;
mod error;
mod generate;
mod models;
mod options;
mod spoken;

use axum::{
    Router,
    routing::{get, post},
};

use crate::app::App;
use crate::refusal::{unknown, wrong_method};
pub(crate) use error::Ollama;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/version", get(models::version))
        .route("/tags", get(models::tags))
        .route("/ps", get(models::loaded))
        .route("/show", post(models::show))
        .route("/chat", post(chat::create))
        .route("/generate", post(generate::create))
        .route("/embed", post(embed::create))
        .method_not_allowed_fallback(wrong_method::<Ollama>)
        .fallback(unknown::<Ollama>)
}
