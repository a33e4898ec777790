//! Error codes as HTTP has them.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use axum::response::Response;
use understudy_gateway::{ErrorCode, Failure, codes};

/// The status of a refusal. It follows the code's gRPC status, but for a request that is too large.
pub(crate) fn status(code: &ErrorCode) -> StatusCode {
    // A number, since gRPC's codes are another crate's.
    match code.grpc as i32 {
        // Cancelled: the caller has left.
        1 => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        // InvalidArgument, OutOfRange.
        3 => StatusCode::BAD_REQUEST,
        11 if code == codes::MESSAGE_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        11 => StatusCode::BAD_REQUEST,
        // DeadlineExceeded.
        4 => StatusCode::GATEWAY_TIMEOUT,
        // NotFound.
        5 => StatusCode::NOT_FOUND,
        // PermissionDenied.
        7 => StatusCode::FORBIDDEN,
        // ResourceExhausted.
        8 => StatusCode::TOO_MANY_REQUESTS,
        // Unavailable.
        14 => StatusCode::SERVICE_UNAVAILABLE,
        // Unauthenticated.
        16 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Says when to try again: in whole seconds, rounded up, as HTTP has it, and in milliseconds, which OpenAI's clients
/// read first.
pub(crate) fn hint_retry(response: &mut Response, failure: &Failure) {
    let Some(delay) = failure.retry_after else { return };
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    headers.insert("retry-after-ms", HeaderValue::from(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)));
}

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
            (codes::MODEL_UNKNOWN, 404),
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
