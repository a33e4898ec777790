//! Refusals in Ollama's form: a sentence.

use serde_json::{Value, json};
use understudy_gateway::Failure;

use crate::refusal::Dialect;

/// `{"error": "..."}`.
pub(crate) struct Ollama;

/// A refusal as a response.
pub(crate) type Refusal = crate::refusal::Refusal<Ollama>;

impl Dialect for Ollama {
    fn body(failure: &Failure) -> Value {
        body(failure)
    }

    fn no_such_call(message: &str) -> Value {
        json!({"error": message})
    }
}

/// `{"error": ...}`, with our code beside it.
pub(crate) fn body(failure: &Failure) -> Value {
    json!({"error": failure.message, "code": failure.code.name})
}
