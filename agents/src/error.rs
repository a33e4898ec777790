//! A node's refusal, as a person or a program wants it.

use std::{collections::BTreeMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::tls::{Refusal, explained};

const UNTRUSTED: &str =
    "Ask at a name that the certificate has, and name the authority behind it: UNDERSTUDY_CA=FILE.";

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

    /// A connection to it was not made, for this reason.
    pub(crate) fn refused(addr: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let why = root_cause(error);
        match Refusal::of(error) {
            Some(Refusal::Untrusted) => Self {
                code: "SERVER_UNTRUSTED".to_owned(),
                message: format!("the certificate of {addr} is not trusted: {why}"),
                help: UNTRUSTED.to_owned(),
                ..Self::unreachable(addr, why)
            },
            Some(Refusal::Plain) => Self::unreachable(addr, "it speaks no TLS there: leave `https://` out"),
            None => Self::unreachable(addr, explained(why)),
        }
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
        let (fallback, fallback_help) = without_details(code_of(&status));
        let (code, metadata) = match details.error_info() {
            Some(info) => (info.reason.clone(), info.metadata.clone().into_iter().collect()),
            None => (fallback.to_owned(), BTreeMap::new()),
        };
        let help = details.help().and_then(|help| help.links.first()).map(|link| link.description.clone());
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        Self {
            code,
            message: told(&status),
            help: help.unwrap_or_else(|| fallback_help.to_owned()),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            fields: violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect(),
            metadata,
            status: code_of(&status),
        }
    }
}

/// What a node said, or why there is nothing from it.
fn told(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) if status.message() == "transport error" => explained(root_cause(cause)),
        Some(_) => explained(status.message().to_owned()),
        None => status.message().to_owned(),
    }
}

/// The innermost cause: "connection refused" says more than "transport error".
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => root_cause(cause),
        None => error.to_string(),
    }
}

/// The code as gRPC defines it. tonic's timers cancel a call that is late, and of a connection that broke it says unknown,
/// internal or cancelled, by where it broke; a status that a node sent has no cause here.
fn code_of(status: &Status) -> Code {
    match status.code() {
        Code::Cancelled if status.message() == "Timeout expired" => Code::DeadlineExceeded,
        Code::Unknown | Code::Internal | Code::Cancelled if std::error::Error::source(status).is_some() => {
            Code::Unavailable
        }
        code => code,
    }
}

/// Code and help of a status that the transport made, or a node that sends no details.
fn without_details(code: Code) -> (&'static str, &'static str) {
    match code {
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

    /// What the transport makes of a connection that broke.
    fn broken(code: Code) -> Status {
        let mut status = Status::new(code, "operation was canceled");
        status.set_source(std::sync::Arc::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
        status
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
            (broken(Code::Internal), "SERVER_UNREACHABLE"),
            (broken(Code::Cancelled), "SERVER_UNREACHABLE"),
            (Status::internal("a node's own"), "INTERNAL"),
            (Status::cancelled("a node's own"), "CANCELLED"),
        ] {
            let error = ClientError::from(status);
            assert_eq!(error.code, code);
            assert!(!error.help.is_empty(), "{code}");
        }
    }
}
