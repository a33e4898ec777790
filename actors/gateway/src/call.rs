//! From a call's metadata to the context that travels with its request.

use std::time::Duration;

use axum::http::HeaderMap;
use tokio::time::Instant;
use tonic::Request;
use understudy_backend::RequestCtx;
use understudy_proto::{PROTOCOL_VERSION, names};

use crate::{Admission, Caller, Failure, codes};

/// Our deadline is this much before the caller's: the transport cuts a call at its deadline
/// with a bare status, and ours, with details or the text so far, should arrive before it.
const HEAD_START: Duration = Duration::from_millis(20);

const LONGEST_REQUEST_ID: usize = 128;

/// The context of a gRPC call, as [`context`] makes it. Admission gets to know the caller.
pub(crate) fn of<T>(
    admission: &Admission,
    request: &Request<T>,
    named: &str,
    longest: Duration,
) -> Result<RequestCtx, Failure> {
    let caller = request.extensions().get().cloned().unwrap_or_default();
    admission.meet(&caller);
    context(request.metadata().as_ref(), &caller, named, longest)
}

/// The context of a call, from its headers (over gRPC: its metadata). `longest` bounds its deadline; `named` is the id
/// in the message.
///
/// # Errors
/// `REQUEST_INVALID` for a malformed id or deadline, `PROTOCOL_TOO_NEW`.
pub(crate) fn context(
    metadata: &HeaderMap,
    caller: &Caller,
    named: &str,
    longest: Duration,
) -> Result<RequestCtx, Failure> {
    check_protocol(metadata)?;
    let text = |key| metadata.get(key).and_then(|value| value.to_str().ok());
    let mut ctx = RequestCtx::new(request_id(named, text(names::REQUEST_ID_METADATA))?);
    let timeout = text("grpc-timeout").map(parse_timeout).transpose()?;
    let timeout = timeout.map(|timeout| timeout - HEAD_START.min(timeout / 10));
    ctx.deadline = Some(Instant::now() + timeout.unwrap_or(longest).min(longest));
    (ctx.tenant, ctx.priority) = (caller.tenant.clone(), caller.priority);
    ctx.traceparent = text(names::TRACEPARENT_METADATA).map(str::to_owned);
    Ok(ctx)
}

fn check_protocol(metadata: &HeaderMap) -> Result<(), Failure> {
    let spoken =
        metadata.get(names::PROTOCOL_METADATA).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    match spoken {
        Some(theirs) if theirs > PROTOCOL_VERSION => {
            let message = format!("the client speaks protocol {theirs}, this node {PROTOCOL_VERSION}");
            Err(Failure::new(codes::PROTOCOL_TOO_NEW, message).with("protocol", PROTOCOL_VERSION))
        }
        _ => Ok(()),
    }
}

/// The id in the message, else the one in the metadata, else a new one.
fn request_id(named: &str, metadata: Option<&str>) -> Result<String, Failure> {
    match metadata.filter(|_| named.is_empty()).unwrap_or(named) {
        "" => Ok(format!("r{:016x}", unguessable())),
        id if id.len() <= LONGEST_REQUEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(id.to_owned())
        }
        _ => {
            let why =
                format!("must be at most {LONGEST_REQUEST_ID} printable ASCII characters without spaces");
            Err(Failure::new(codes::REQUEST_INVALID, format!("request_id {why}"))
                .with_field("request_id", why))
        }
    }
}

/// Other nodes of a cluster make ids too; and whoever knows one may ask for what became of its request.
fn unguessable() -> u64 {
    // A system without random numbers makes ids all the same.
    getrandom::u64().unwrap_or_else(|_| fastrand::u64(..))
}

/// `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(text: &str) -> Result<Duration, Failure> {
    let malformed = || {
        let why = "must be at most 8 digits and one of H, M, S, m, u, n";
        Failure::new(codes::REQUEST_INVALID, format!("grpc-timeout {why}")).with_field("grpc-timeout", why)
    };
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(malformed)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let count: u64 = digits.parse().map_err(|_| malformed())?;
    match unit {
        "H" => Ok(Duration::from_secs(count * 3600)),
        "M" => Ok(Duration::from_secs(count * 60)),
        "S" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_millis(count)),
        "u" => Ok(Duration::from_micros(count)),
        "n" => Ok(Duration::from_nanos(count)),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn metadata(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (key, value) in pairs {
            map.insert(*key, value.parse().unwrap());
        }
        map
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_the_callers_within_the_nodes() {
        for (header, expected_ms) in [
            (None, 3_600_000),
            (Some("5S"), 4_980),
            (Some("100m"), 90),
            (Some("9H"), 3_600_000),
            (Some("0m"), 0),
        ] {
            let pairs: Vec<_> = header.into_iter().map(|value| ("grpc-timeout", value)).collect();
            let ctx = context(&metadata(&pairs), &Caller::default(), "", HOUR).unwrap();
            assert_eq!(ctx.remaining(), Some(Duration::from_millis(expected_ms)), "{header:?}");
        }
        for header in ["", "S", "5", "5s", "123456789S", "-5S", "5ü", "+5S"] {
            let mut map = HeaderMap::new();
            let value = axum::http::HeaderValue::try_from(header.as_bytes()).unwrap();
            map.insert("grpc-timeout", value);
            let outcome = context(&map, &Caller::default(), "", HOUR);
            // A header that is no ASCII text is as good as none.
            assert!(outcome.is_err() || header == "5ü", "{header:?}");
        }
    }

    #[tokio::test]
    async fn the_message_names_the_request_before_the_metadata() {
        let map = metadata(&[("x-request-id", "from-metadata"), ("traceparent", "00-1-2-01")]);
        let named = context(&map, &Caller::default(), "from-message", HOUR).unwrap();
        assert_eq!(named.request_id.0, "from-message");
        assert_eq!(named.traceparent.as_deref(), Some("00-1-2-01"));
        assert_eq!(context(&map, &Caller::default(), "", HOUR).unwrap().request_id.0, "from-metadata");
        let generated: Vec<_> = (0..2)
            .map(|_| context(&metadata(&[]), &Caller::default(), "", HOUR).unwrap().request_id.0)
            .collect();
        assert_ne!(generated[0], generated[1]);
        for bad in ["two words", "ü", "line\nbreak", &"x".repeat(129)] {
            assert_eq!(
                context(&metadata(&[]), &Caller::default(), bad, HOUR).unwrap_err().code,
                codes::REQUEST_INVALID
            );
        }
    }

    #[tokio::test]
    async fn a_newer_client_is_refused() {
        let newer = (PROTOCOL_VERSION + 1).to_string();
        let error = context(&metadata(&[(names::PROTOCOL_METADATA, &newer)]), &Caller::default(), "", HOUR)
            .unwrap_err();
        assert_eq!(error.code, codes::PROTOCOL_TOO_NEW);
        let same = PROTOCOL_VERSION.to_string();
        assert!(
            context(&metadata(&[(names::PROTOCOL_METADATA, &same)]), &Caller::default(), "", HOUR).is_ok()
        );
    }
}
