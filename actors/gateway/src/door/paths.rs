//! Which path needs what.

use axum::http::Method;

use crate::{Failure, caller::Scope, codes};

/// What a caller must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: probes, and the files of a page, which show nothing by themselves.
    Nothing,
    /// A key with this scope, where keys exist.
    Scope(Scope),
    /// The same with `admin`; a caller on this machine needs no key for it.
    AdminOrLocal,
}

/// What this path needs. Whoever adds a path with state behind it puts it under a prefix of this table; what is not in
/// it and does something needs the most.
pub(super) fn need(method: &Method, path: &str) -> Need {
    let under = |prefix: &str| path.starts_with(prefix);
    match path {
        "/healthz" | "/readyz" => Need::Nothing,
        "/metrics" => Need::AdminOrLocal,
        "/understudy/status" | "/understudy.v1.Models/List" | "/understudy.v1.Models/Watch" => {
            Need::Scope(Scope::Inference)
        }
        _ if under("/v1/") || under("/api/") => Need::Scope(Scope::Inference),
        _ if under("/understudy.v1.Inference/") || under("/grpc.reflection.") => {
            Need::Scope(Scope::Inference)
        }
        _ if under("/understudy.v1.Models/") => Need::Scope(Scope::Models),
        _ if under("/grpc.health.") => Need::Nothing,
        _ if under("/understudy") => Need::Scope(Scope::Admin),
        _ if matches!(*method, Method::GET | Method::HEAD) => Need::Nothing,
        _ => Need::Scope(Scope::Admin),
    }
}

/// Routes are matched byte by byte, so a path that means another one after decoding leads nowhere; it is refused all
/// the same, before a handler with a wildcard sees it.
///
/// # Errors
/// `REQUEST_INVALID`.
pub(super) fn check(path: &str) -> Result<(), Failure> {
    let decoded = decode(path);
    let climbs = decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| matches!(part, b"." | b".."));
    let odd = decoded.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\');
    match climbs || odd || path.contains("//") {
        true => Err(Failure::new(codes::REQUEST_INVALID, "the path is not in its plain form")
            .with_field("path", "must have no empty or dotted parts")),
        false => Ok(()),
    }
}

/// `%2e` and the like as the bytes they mean; what is no escape stays as it is.
fn decode(path: &str) -> Vec<u8> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let byte = escaped.and_then(|digits| {
            let value = |digit: u8| (digit as char).to_digit(16);
            u8::try_from(value(digits[0])? * 16 + value(digits[1])?).ok()
        });
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_needs() {
        use Need::{AdminOrLocal, Nothing};
        let scope = Need::Scope;
        for (method, path, expected) in [
            ("GET", "/", Nothing),
            ("GET", "/console/app.js", Nothing),
            ("GET", "/healthz", Nothing),
            ("POST", "/grpc.health.v1.Health/Check", Nothing),
            ("GET", "/metrics", AdminOrLocal),
            ("GET", "/v1/models", scope(Scope::Inference)),
            ("POST", "/v1/chat/completions", scope(Scope::Inference)),
            ("GET", "/api/tags", scope(Scope::Inference)),
            ("GET", "/understudy/status", scope(Scope::Inference)),
            ("PUT", "/understudy/log", scope(Scope::Admin)),
            ("GET", "/understudy/log", scope(Scope::Admin)),
            ("POST", "/understudy.v1.Inference/Generate", scope(Scope::Inference)),
            ("POST", "/understudy.v1.Models/List", scope(Scope::Inference)),
            ("POST", "/understudy.v1.Models/Load", scope(Scope::Models)),
            ("POST", "/understudy.v1.Models/LoadAdapter", scope(Scope::Models)),
            ("POST", "/understudy.v1.Cluster/Status", scope(Scope::Admin)),
            ("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", scope(Scope::Inference)),
            ("POST", "/anything", scope(Scope::Admin)),
            ("DELETE", "/", scope(Scope::Admin)),
        ] {
            assert_eq!(need(&method.parse().unwrap(), path), expected, "{method} {path}");
        }
    }

    #[test]
    fn disguised_paths_are_refused() {
        for path in [
            "/v1/../metrics",
            "/v1/%2e%2e/metrics",
            "/v1/%2E%2e/metrics",
            "/v1/.%2e/metrics",
            "/v1/./models",
            "//metrics",
            "/v1//models",
            "/v1/..%2fmetrics",
            "/v1/..%5cmetrics",
            "/v1\\..\\metrics",
            "/v1/models%00.json",
            "/..",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
        for path in [
            "/",
            "/v1/models",
            "/v1/models/understudy%2Fauto",
            "/v1/models/a.b..c",
            "/v1/responses/resp_1",
            "/%",
            "/%2",
        ] {
            assert!(check(path).is_ok(), "{path}");
        }
    }
}
