//! From a key, or a certificate, to a caller.

use axum::http::{HeaderMap, HeaderName, header};

use super::paths::Need;
use crate::{
    Caller, Failure,
    caller::{Scope, Scopes},
    codes,
    keys::{Digest, Keyring},
    listener::Peer,
};

/// Where a key may be. Handlers see neither.
pub(super) const KEY_HEADERS: [HeaderName; 2] = [header::AUTHORIZATION, HeaderName::from_static("x-api-key")];

/// What proxies add: whoever is named there is not on this machine, though the connection is.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Whoever sent these headers, if they may do what the path needs.
///
/// # Errors
/// `KEY_INVALID`, `KEY_SCOPE`.
pub(super) fn caller(
    keys: &Keyring,
    need: Need,
    headers: &HeaderMap,
    peer: &Peer,
) -> Result<Caller, Failure> {
    let local = peer.is_local() && !FORWARDED.iter().any(|name| headers.contains_key(*name));
    let caller = match presented(headers) {
        _ if need == Need::Nothing => return Ok(stranger()),
        _ if keys.is_open() && local => Caller::default(),
        _ if keys.is_open() => stranger(),
        Some(key) => keys.holder(key).ok_or_else(|| {
            Failure::new(codes::KEY_INVALID, "this node does not know the key")
                .with("key", Digest::of(key).brief())
        })?,
        None if need == Need::AdminOrLocal && local => Caller::default(),
        None => {
            let certified = peer.name.as_ref().and_then(|name| keys.named(name));
            certified.ok_or_else(|| Failure::new(codes::KEY_INVALID, "this node wants a key"))?
        }
    };
    let scope = match need {
        Need::Nothing => return Ok(caller),
        Need::Scope(scope) => scope,
        Need::AdminOrLocal => Scope::Admin,
    };
    if caller.scopes.has(scope) {
        return Ok(caller);
    }
    let what = if caller.tenant.is_empty() { "a caller from elsewhere" } else { "the key" };
    let message = format!("{what} has no scope {}", scope.as_str());
    Err(Failure::new(codes::KEY_SCOPE, message).with("scope", scope.as_str()).with("tenant", caller.tenant))
}

/// Without keys (`listen.insecure`) callers from elsewhere may use a node, not run it.
fn stranger() -> Caller {
    Caller { scopes: Scopes::from_iter([Scope::Inference, Scope::Models]), ..Caller::default() }
}

/// The key, wherever it is; what is no text is as good as a wrong one.
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let bearer = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        return Some(bearer.map_or("", |(_, key)| key.trim()));
    }
    headers.get(&KEY_HEADERS[1]).map(|value| value.to_str().unwrap_or_default().trim())
}
