//! A refusal in the words of whoever asked, and a line of it in the log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tonic::Status;

use crate::{Failure, codes, listener::Peer};

/// At most one line of refusals in this time: whoever knocks must not fill the disk.
const QUIET: Duration = Duration::from_secs(1);

/// How a caller expects to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A status in trailers.
    Grpc,
    /// The same, for a browser.
    GrpcWeb,
    /// `{"error": {"message", "type", "param", "code"}}`.
    OpenAi,
    /// `{"error": "message"}`.
    Ollama,
    /// A line of text.
    Plain,
}

impl Dialect {
    pub(super) fn of(request: &Request) -> Self {
        let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let path = request.uri().path();
        match () {
            () if kind.is_some_and(|kind| kind.starts_with(b"application/grpc-web")) => Self::GrpcWeb,
            () if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) => Self::Grpc,
            () if path.starts_with("/v1/") => Self::OpenAi,
            () if path.starts_with("/api/") => Self::Ollama,
            () => Self::Plain,
        }
    }

    /// Whether it is gRPC in either form: messages that a handler reads one by one.
    pub(super) fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb)
    }

    pub(super) fn refuse(self, failure: &Failure) -> Response {
        let (status, kind) = match failure.code {
            code if code == codes::KEY_INVALID => (StatusCode::UNAUTHORIZED, "authentication_error"),
            code if [codes::KEY_SCOPE, codes::ORIGIN_REFUSED, codes::HOST_REFUSED].contains(&code) => {
                (StatusCode::FORBIDDEN, "permission_error")
            }
            code if code == codes::MESSAGE_TOO_LARGE => {
                (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error")
            }
            code if code == codes::BODY_SLOW => (StatusCode::REQUEST_TIMEOUT, "invalid_request_error"),
            code if code == codes::INTERNAL => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            _ => (StatusCode::BAD_REQUEST, "invalid_request_error"),
        };
        let (message, help) = (&failure.message, failure.code.help);
        let code = failure.code.name;
        let mut response = match self {
            Self::Grpc => return Status::from(failure.clone()).into_http(),
            Self::GrpcWeb => {
                let mut response: Response = Status::from(failure.clone()).into_http();
                let kind = HeaderValue::from_static("application/grpc-web+proto");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                return response;
            }
            Self::OpenAi => {
                let message = format!("{message}. {help}");
                let error = json!({"message": message, "type": kind, "param": null, "code": code});
                json_response(status, &json!({"error": error}))
            }
            Self::Ollama => json_response(status, &json!({"error": format!("{message} ({code})")})),
            Self::Plain => (status, format!("error[{code}]: {message}; help: {help}\n")).into_response(),
        };
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Remembers when something was logged last.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    last: Mutex<Option<(Instant, u64)>>,
}

impl Refusals {
    /// A line, or one more that the next line counts. Of a key it tells six digits of its digest; of the path the
    /// part that says which interface was meant, since the rest is the caller's own words.
    pub(super) fn note(&self, failure: &Failure, peer: Peer, path: &str) {
        let skipped = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *last {
                Some((when, skipped)) if when.elapsed() < QUIET => {
                    *skipped += 1;
                    return;
                }
                _ => last.replace((Instant::now(), 0)).map_or(0, |(_, skipped)| skipped),
            }
        };
        let interface: String =
            path.chars().skip(1).take_while(|c| c.is_ascii_alphanumeric() || *c == '.').take(40).collect();
        let key = failure.metadata.get("key").map(String::as_str);
        tracing::warn!(peer = %peer.addr.ip(), code = failure.code.name, interface, key, skipped, "request refused");
    }
}
