//! Refusals in Ollama's form: a sentence.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use understudy_gateway::Failure;

use crate::statuses;

/// A refusal as a response.
pub(crate) struct Refusal {
    status: StatusCode,
    body: Value,
    failure: Option<Failure>,
}

impl Refusal {
    /// About the HTTP request itself.
    pub(crate) fn without_code(status: StatusCode, message: &str) -> Self {
        Self { status, body: json!({"error": message}), failure: None }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { status: statuses::status(failure.code), body: body(&failure), failure: Some(failure) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(failure) = &self.failure {
            statuses::hint_retry(&mut response, failure);
        }
        response
    }
}

/// `{"error": ...}`, with our code beside it.
pub(crate) fn body(failure: &Failure) -> Value {
    json!({"error": failure.message, "code": failure.code.name})
}
