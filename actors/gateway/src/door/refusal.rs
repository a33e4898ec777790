//! A refusal in the words of whoever asked, and a line of it in the log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::Request,
    http::{HeaderValue, header},
    response::Response,
};
use tonic::Status;

use crate::{Failure, listener::Peer, pages::Words};

/// At most one line of refusals in this time: whoever knocks must not fill the disk.
const QUIET: Duration = Duration::from_secs(1);

/// Which interface a request is for, and so how it expects to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    /// A status in trailers.
    Grpc,
    /// The same, for a browser.
    GrpcWeb,
    /// In the words of the pages.
    Http,
}

impl Interface {
    pub(super) fn of(request: &Request) -> Self {
        match request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) {
            Some(kind) if kind.starts_with(b"application/grpc-web") => Self::GrpcWeb,
            Some(kind) if kind.starts_with(b"application/grpc") => Self::Grpc,
            _ => Self::Http,
        }
    }

    /// Whether it is gRPC in either form: messages that a handler reads one by one.
    pub(super) fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb)
    }

    pub(super) fn refuse(self, words: Words, path: &str, failure: &Failure) -> Response {
        match self {
            Self::Http => words(path, failure),
            Self::Grpc => Status::from(failure.clone()).into_http(),
            Self::GrpcWeb => {
                let mut response: Response = Status::from(failure.clone()).into_http();
                let kind = HeaderValue::from_static("application/grpc-web+proto");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
        }
    }
}

/// Remembers when something was logged last.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    last: Mutex<Option<(Instant, u64)>>,
}

impl Refusals {
    /// A line, or one more that the next line counts. Of a key it tells six digits of its digest; of the path the
    /// part that says which interface was meant, since the rest is the caller's own words.
    pub(super) fn note(&self, failure: &Failure, peer: &Peer, path: &str) {
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
