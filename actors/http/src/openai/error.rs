//! Refusals in OpenAI's form.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use understudy_gateway::{Failure, codes};

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
        let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": "unknown_url"});
        Self { status, body: json!({"error": error}), failure: None }
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

/// `{"error": ...}`, with our own code and what to do about it beside OpenAI's.
pub(crate) fn body(failure: &Failure) -> Value {
    json!({"error": {
        "message": failure.message,
        "type": kind(failure),
        "param": failure.fields.first().map(|(path, _)| path),
        "code": code(failure),
        "understudy": {
            "code": failure.code.name,
            "help": failure.code.help,
            "page": failure.code.page(),
            "facts": failure.metadata,
        },
    }})
}

/// OpenAI's code where it has one for the same thing, else ours.
pub(crate) fn code(failure: &Failure) -> &'static str {
    match failure.code {
        code if code == codes::MODEL_UNKNOWN => "model_not_found",
        code if code == codes::CONTEXT_OVERFLOW => "context_length_exceeded",
        code => code.name,
    }
}

fn kind(failure: &Failure) -> &'static str {
    match statuses::status(failure.code).as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        _ => "server_error",
    }
}
