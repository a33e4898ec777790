//! A node's refusal, as a person or a program wants it.

use std::{collections::BTreeMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// Stable code such as `CONTEXT_OVERFLOW`; `docs/errors/CODE.md` explains it.
    pub code: String,
    /// What happened, for people.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// Fields of the request that are wrong: path and why.
    pub fields: Vec<(String, String)>,
    /// Facts behind the code, such as `model` or `context`.
    pub metadata: BTreeMap<String, String>,
    /// The status of the call.
    pub status: Code,
}

impl ClientError {
    /// The node cannot be reached at this address.
    pub(crate) fn unreachable(addr: &str, why: impl std::fmt::Display) -> Self {
        let what = format!("no node answers at {addr}: {why}");
        Self { message: what, ..Self::from(Status::unavailable(String::new())) }
    }

    /// A stream ended without its last message.
    pub(crate) fn cut_off() -> Self {
        Status::internal("the answer ended without its last event").into()
    }

    /// The node does not know a part of the protocol.
    pub(crate) fn too_old(what: &str) -> Self {
        Status::unimplemented(format!("the node {what}")).into()
    }

    /// The call took longer than its timeout allows.
    pub(crate) fn too_late(timeout: Duration) -> Self {
        Status::deadline_exceeded(format!("no answer within {} ms", timeout.as_millis())).into()
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let (fallback, fallback_help) = without_details(&status);
        let (code, metadata) = match details.error_info() {
            Some(info) => (info.reason.clone(), info.metadata.clone().into_iter().collect()),
            None => (fallback.to_owned(), BTreeMap::new()),
        };
        let help = details.help().and_then(|help| help.links.first()).map(|link| link.description.clone());
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        Self {
            code,
            message: status.message().to_owned(),
            help: help.unwrap_or_else(|| fallback_help.to_owned()),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            fields: violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect(),
            metadata,
            status: if is_cut_off(&status) { Code::Unavailable } else { status.code() },
        }
    }
}

/// A connection that broke amid an answer: tonic calls it unknown, gRPC unavailable.
fn is_cut_off(status: &Status) -> bool {
    // One that a node sent has no cause here.
    status.code() == Code::Unknown && std::error::Error::source(status).is_some()
}

/// Code and help of a status that the transport made, or a node that sends no details.
fn without_details(status: &Status) -> (&'static str, &'static str) {
    match status.code() {
        // tonic's own timers end a call so.
        Code::Cancelled if status.message() == "Timeout expired" => {
            without_details(&Status::deadline_exceeded(""))
        }
        Code::Unauthenticated => ("KEY_INVALID", "Set UNDERSTUDY_API_KEY to a key of the node."),
        Code::DeadlineExceeded => ("DEADLINE", "Allow more time, or ask for fewer tokens."),
        Code::Cancelled => ("CANCELLED", "Nothing to do: the caller or the connection ended the call."),
        Code::Unavailable | Code::Unknown => {
            ("SERVER_UNREACHABLE", "Start a node with `understudy serve`, or check the address.")
        }
        Code::OutOfRange => ("MESSAGE_TOO_LARGE", "Send a shorter prompt: a message may have 4 MiB."),
        Code::ResourceExhausted => ("OVERLOADED", "Try again in a moment."),
        Code::Unimplemented => {
            ("CALL_UNKNOWN", "The node is older than this client, or is no Understudy node.")
        }
        _ => ("INTERNAL", "Look into the node's log; this is a defect."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn details_are_decoded() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("CONTEXT_OVERFLOW", "understudy", [("context".to_owned(), "4096".to_owned())])
            .set_retry_info(Some(Duration::from_millis(250)))
            .add_bad_request_violation("prompt", "too long")
            .add_help_link("Shorten it.", "https://example.org");
        let status = Status::with_error_details(Code::InvalidArgument, "9000 tokens do not fit", details);
        let error = ClientError::from(status);
        assert_eq!((error.code.as_str(), error.help.as_str()), ("CONTEXT_OVERFLOW", "Shorten it."));
        assert_eq!(error.retry_after, Some(Duration::from_millis(250)));
        assert_eq!(error.fields, [("prompt".to_owned(), "too long".to_owned())]);
        assert_eq!(error.metadata["context"], "4096");
        assert_eq!(error.to_string(), "9000 tokens do not fit");
    }

    #[test]
    fn a_bare_status_still_gets_a_code_and_help() {
        for (status, code) in [
            (Status::deadline_exceeded("late"), "DEADLINE"),
            (Status::cancelled("Timeout expired"), "DEADLINE"),
            (Status::unavailable("gone"), "SERVER_UNREACHABLE"),
            (Status::out_of_range("decoded message length too large"), "MESSAGE_TOO_LARGE"),
            (Status::unimplemented(""), "CALL_UNKNOWN"),
            (Status::data_loss(""), "INTERNAL"),
        ] {
            let error = ClientError::from(status);
            assert_eq!(error.code, code);
            assert!(!error.help.is_empty(), "{code}");
        }
    }
}
