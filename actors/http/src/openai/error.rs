//! Refusals in OpenAI's form.

use serde_json::{Value, json};
use understudy_gateway::{Failure, codes, pages};

use crate::refusal::Dialect;

/// `{"error": {"message", "type", "param", "code"}}`.
pub(crate) struct OpenAi;

/// A refusal as a response.
pub(crate) type Refusal = crate::refusal::Refusal<OpenAi>;

impl Dialect for OpenAi {
    fn body(failure: &Failure) -> Value {
        body(failure)
    }

    fn no_such_call(message: &str) -> Value {
        let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": "unknown_url"});
        json!({"error": error})
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
    match pages::status(failure.code).as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        _ => "server_error",
    }
}
