//! What a node serves over HTTP besides health, and how it refuses there.
//!
//! The door stands before the pages and knows no API of theirs: what it refuses in place of a page is put into words by
//! [`Pages::words`], so that there is one wording whoever refuses. Status and headers are the same for all.

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{ErrorCode, Failure, codes};

/// A refusal of what was asked at this path, which may be any text. Mostly made by [`refusal`].
pub type Words = fn(path: &str, failure: &Failure) -> Response;

/// Pages, and the words in which they refuse.
///
/// ```
/// use axum::{Router, routing::get};
/// use understudy_gateway::pages::{Pages, refusal};
///
/// let router = Router::new().route("/hello", get(async || "hello"));
/// let pages = Pages { router, words: |_, failure| refusal(failure, format!("no: {failure}")) };
/// # let _ = (pages, Pages::default());
/// ```
#[derive(Debug, Clone)]
pub struct Pages {
    /// The pages.
    pub router: Router,
    /// How they refuse.
    pub words: Words,
}

impl Default for Pages {
    /// No pages, and plain words.
    fn default() -> Self {
        Self { router: Router::new(), words: |_, failure| plain(failure) }
    }
}

/// A refusal with this body: its status, when to try again, and that a key is wanted, if one is.
pub fn refusal(failure: &Failure, body: impl IntoResponse) -> Response {
    let status = status(failure.code);
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(delay) = failure.retry_after {
        // In whole seconds, as HTTP has it, and in milliseconds, which OpenAI's clients read first.
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
        headers.insert("retry-after-ms", HeaderValue::from(ms));
    }
    response
}

/// A refusal as a line of text, as commands print it.
pub fn plain(failure: &Failure) -> Response {
    let ErrorCode { name, help, .. } = failure.code;
    refusal(failure, format!("error[{name}]: {failure}; help: {help}\n"))
}

/// The HTTP status of a refusal. It follows the code's gRPC status, but for bodies that are too large or too slow.
pub fn status(code: &ErrorCode) -> StatusCode {
    use tonic::Code;
    match code.grpc {
        _ if code == codes::MESSAGE_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        _ if code == codes::BODY_SLOW => StatusCode::REQUEST_TIMEOUT,
        // The caller has left.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Rounded up.
fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs() + u64::from(delay.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_status_that_clients_act_on() {
        for (code, expected) in [
            (codes::REQUEST_INVALID, 400),
            (codes::CONTEXT_OVERFLOW, 400),
            (codes::KEY_INVALID, 401),
            (codes::KEY_SCOPE, 403),
            (codes::ORIGIN_REFUSED, 403),
            (codes::MODEL_UNKNOWN, 404),
            (codes::BODY_SLOW, 408),
            (codes::MESSAGE_TOO_LARGE, 413),
            (codes::OVERLOADED, 429),
            (codes::CANCELLED, 499),
            (codes::INTERNAL, 500),
            (codes::MODEL_LOAD_FAILED, 500),
            (codes::DRAINING, 503),
            (codes::ENGINE_LOST, 503),
            (codes::DEADLINE, 504),
        ] {
            assert_eq!(status(code).as_u16(), expected, "{}", code.name);
        }
    }

    #[test]
    fn times_to_try_again_are_rounded_up() {
        for (ms, seconds) in [(1, 1), (500, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(ms)), seconds);
        }
    }
}
