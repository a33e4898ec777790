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
    extract::OriginalUri,
    http::{Method, StatusCode},
    routing::{get, post},
};

use crate::app::App;
use error::Refusal;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/version", get(models::version))
        .route("/tags", get(models::tags))
        .route("/ps", get(models::loaded))
        .route("/show", post(models::show))
        .route("/chat", post(chat::create))
        .route("/generate", post(generate::create))
        .route("/embed", post(embed::create))
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
