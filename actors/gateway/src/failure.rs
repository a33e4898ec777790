//! A refusal with everything that a caller needs to act on it.

use std::{collections::BTreeMap, time::Duration};

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};
use understudy_backend::BackendError;
use understudy_engine::{EngineError, codec::CodecError};
use understudy_proto::names::ERROR_DOMAIN;
use understudy_router::RouterError;

use crate::codes::{self, ErrorCode};

/// Texts of a status travel in HTTP/2 headers, whose sum peers bound (16 KiB is common):
/// longer ones are cut, so that a huge model name cannot turn a refusal into a broken stream.
const LONGEST_MESSAGE: usize = 1024;
const LONGEST_DETAIL: usize = 256;
const MOST_FIELDS: usize = 8;

/// When a full queue is worth another try.
pub const RETRY_SOON: Duration = Duration::from_millis(500);

/// Why a call was refused or failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind.
    pub code: &'static ErrorCode,
    /// What happened, for people.
    pub message: String,
    /// Facts for programs, such as `model` or `context`.
    pub metadata: BTreeMap<&'static str, String>,
    /// Fields of the request that are wrong: path and why.
    pub fields: Vec<(String, String)>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// The allowance that the request would go beyond.
    pub quota: Option<Box<Quota>>,
}

/// What somebody may take, as `google.rpc.QuotaFailure` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Whose it is, such as `tenant:a`.
    pub subject: String,
    /// How much, such as `60 requests per minute`.
    pub description: String,
}

impl Failure {
    /// A failure that needs no further facts.
    pub fn new(code: &'static ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message, metadata: BTreeMap::new(), fields: Vec::new(), retry_after: None, quota: None }
    }

    /// With a fact for programs.
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.insert(key, value.to_string());
        self
    }

    /// With a field of the request that is wrong.
    pub fn with_field(mut self, path: impl Into<String>, why: impl Into<String>) -> Self {
        self.fields.push((path.into(), why.into()));
        self
    }

    /// With a time after which trying again makes sense.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// With the allowance that the request would go beyond.
    pub fn beyond(mut self, quota: Quota) -> Self {
        self.quota = Some(Box::new(quota));
        self
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut details = ErrorDetails::new();
        let metadata: std::collections::HashMap<_, _> = failure
            .metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), clip(value, LONGEST_DETAIL)))
            .collect();
        if let Some(model) = metadata.get("model") {
            details.set_resource_info("model", model, "", clip(&failure.message, LONGEST_DETAIL));
        }
        details.set_error_info(failure.code.name, ERROR_DOMAIN, metadata);
        for (path, why) in failure.fields.iter().take(MOST_FIELDS) {
            details.add_bad_request_violation(clip(path, LONGEST_DETAIL), clip(why, LONGEST_DETAIL));
        }
        if let Some(Quota { subject, description }) = failure.quota.as_deref() {
            details.add_quota_failure_violation(
                clip(subject, LONGEST_DETAIL),
                clip(description, LONGEST_DETAIL),
            );
        }
        if failure.retry_after.is_some() {
            details.set_retry_info(failure.retry_after);
        }
        details.add_help_link(failure.code.help, failure.code.page());
        Status::with_error_details(failure.code.grpc, clip(&failure.message, LONGEST_MESSAGE), details)
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let message = error.to_string();
        match error {
            BackendError::Engine(error) => error.into(),
            BackendError::Cancelled => Self::new(codes::CANCELLED, message),
            BackendError::Deadline => Self::new(codes::DEADLINE, message),
            BackendError::EngineLost { model, .. } => {
                Self::new(codes::ENGINE_LOST, message).with("model", model).retry_after(RETRY_SOON)
            }
            BackendError::Unavailable { model, .. } => {
                Self::new(codes::MODEL_UNAVAILABLE, message).with("model", model).retry_after(RETRY_SOON)
            }
            BackendError::Overloaded { model, waiting } => Self::new(codes::OVERLOADED, message)
                .with("model", model)
                .with("waiting", waiting)
                .retry_after(RETRY_SOON),
            BackendError::UnknownModel { name, suggestion } => {
                let failure = Self::new(codes::MODEL_UNKNOWN, message).with("model", name);
                match suggestion {
                    Some(suggestion) => failure.with("suggestion", suggestion),
                    None => failure,
                }
            }
            BackendError::Load { model, code, .. } => {
                let known = codes::find(&code).unwrap_or(codes::MODEL_LOAD_FAILED);
                Self::new(known, message).with("model", model).with("cause", code)
            }
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::ContextOverflow { tokens, context } => {
                Self::new(codes::CONTEXT_OVERFLOW, message).with("tokens", tokens).with("context", context)
            }
            EngineError::Empty(_) => Self::new(codes::PROMPT_EMPTY, message),
            EngineError::OutOfKv(_) => Self::new(codes::OUT_OF_KV, message).retry_after(RETRY_SOON),
            EngineError::InvalidArgument(_) => Self::new(codes::REQUEST_INVALID, message),
            EngineError::DeadEnd => Self::new(codes::CONSTRAINT_DEAD_END, message),
            EngineError::NonFiniteLogits => Self::new(codes::NON_FINITE, message),
            EngineError::Device(_) => Self::new(codes::DEVICE_FAILED, message),
            EngineError::Cancelled => Self::new(codes::CANCELLED, message),
            EngineError::StaleSeq
            | EngineError::LengthMismatch { .. }
            | EngineError::TokenOutOfRange { .. }
            | EngineError::SeqBusy => Self::new(codes::INTERNAL, message),
        }
    }
}

impl From<RouterError> for Failure {
    fn from(error: RouterError) -> Self {
        let message = error.to_string();
        match error {
            RouterError::Backend(error) => error.into(),
            RouterError::Codec(error) => error.into(),
            RouterError::Invalid { field, why } => {
                let code =
                    if field == "constraint" { codes::CONSTRAINT_INVALID } else { codes::REQUEST_INVALID };
                Self::new(code, message).with_field(field, why)
            }
            RouterError::Constraint(error) => {
                Self::new(codes::CONSTRAINT_INVALID, message).with_field("constraint", error.to_string())
            }
            RouterError::TooFewTokens { needed, .. } => {
                Self::new(codes::REQUEST_INVALID, message).with_field("max_tokens", format!("needs {needed}"))
            }
            RouterError::Overloaded { .. } => Self::new(codes::OVERLOADED, message).retry_after(RETRY_SOON),
            RouterError::Internal(_) => Self::new(codes::INTERNAL, message),
            RouterError::NotRunning => Self::new(codes::ENGINE_LOST, message).retry_after(RETRY_SOON),
        }
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        let code = match error {
            CodecError::Template(_) => codes::TEMPLATE_REFUSED,
            CodecError::Tokenizer(_) => codes::INTERNAL,
        };
        Self::new(code, error.to_string())
    }
}

/// The first `most` bytes, cut between characters, marked when something is missing.
fn clip(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_become_codes() {
        let cases: Vec<(BackendError, &str)> = vec![
            (EngineError::ContextOverflow { tokens: 9, context: 4 }.into(), "CONTEXT_OVERFLOW"),
            (EngineError::Empty("prompt").into(), "PROMPT_EMPTY"),
            (EngineError::OutOfKv("all pages".into()).into(), "OUT_OF_KV"),
            (EngineError::InvalidArgument("top_p".into()).into(), "REQUEST_INVALID"),
            (EngineError::DeadEnd.into(), "CONSTRAINT_DEAD_END"),
            (EngineError::NonFiniteLogits.into(), "NON_FINITE"),
            (EngineError::Device("lost".into()).into(), "DEVICE_FAILED"),
            (EngineError::StaleSeq.into(), "INTERNAL"),
            (BackendError::Cancelled, "CANCELLED"),
            (BackendError::Deadline, "DEADLINE"),
            (BackendError::EngineLost { model: "m".into(), why: "panic".into() }, "ENGINE_LOST"),
            (BackendError::Unavailable { model: "m".into(), why: "draining".into() }, "MODEL_UNAVAILABLE"),
            (BackendError::Overloaded { model: "m".into(), waiting: 4 }, "OVERLOADED"),
            (BackendError::UnknownModel { name: "m".into(), suggestion: None }, "MODEL_UNKNOWN"),
            (load_error("HUB_DISK_FULL"), "HUB_DISK_FULL"),
            (load_error("GGUF_TRUNCATED"), "MODEL_LOAD_FAILED"),
        ];
        for (error, code) in cases {
            assert_eq!(Failure::from(error.clone()).code.name, code, "{error}");
        }
    }

    fn load_error(code: &str) -> BackendError {
        BackendError::Load { model: "m".into(), why: "broken".into(), code: code.into() }
    }

    #[test]
    fn a_status_stays_small_whatever_the_caller_sent() {
        let huge = "ü".repeat(1 << 20);
        let failure: Failure =
            BackendError::UnknownModel { name: huge.clone(), suggestion: Some(huge.clone()) }.into();
        let failure = (0..100).fold(failure, |failure, _| failure.with_field(huge.clone(), huge.clone()));
        let status = Status::from(failure);
        assert!(status.message().len() + status.details().len() < 8 << 10);
    }
}
