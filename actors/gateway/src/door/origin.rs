//! Web pages of others.
//!
//! A browser lets any page send requests to this machine. Two headers that a page cannot choose tell: `Origin` names
//! the page that sends, `Host` the name that the browser looked up. A page whose own name was pointed at us (DNS
//! rebinding) is of "our" origin, but its name is in `Host`.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    response::{IntoResponse as _, Response},
};

use crate::{Failure, codes, config::Listen};

/// What pages of allowed origins may send and read, and for how many seconds a browser remembers.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-api-key, x-request-id, traceparent, x-grpc-web");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-request-id, retry-after, traceparent, grpc-status, grpc-message");
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// Which pages may call.
#[derive(Debug)]
pub(super) struct Origins {
    allowed: Vec<String>,
    hosts: Vec<String>,
}

/// Where a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// No page of another origin: a program, or our own page.
    Ours,
    /// A page of an origin that the settings name.
    Allowed(HeaderValue),
}

/// Whether a browser asks what it may send.
pub(super) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && request.headers().contains_key(header::ORIGIN)
}

impl Origins {
    pub(super) fn new(listen: &Listen) -> Self {
        let lower = |texts: &[String]| texts.iter().map(|text| text.to_ascii_lowercase()).collect();
        Self { allowed: lower(&listen.cors), hosts: lower(&listen.hosts) }
    }

    /// Where a request comes from. `open`: nobody needs a key, so the host must be ours too; a page that was pointed
    /// at us has no key.
    ///
    /// # Errors
    /// `HOST_REFUSED`, `ORIGIN_REFUSED`.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap, open: bool) -> Result<Origin, Failure> {
        let host = match uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default()),
        };
        if open && let Some(host) = host {
            self.check_host(host)?;
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(Origin::Ours) };
        let text = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        let authority = text.split_once("://").map(|(_, authority)| authority);
        if authority.is_some() && authority == host.map(str::to_ascii_lowercase).as_deref() {
            return Ok(Origin::Ours);
        }
        match self.allowed.contains(&text) {
            true => Ok(Origin::Allowed(origin.clone())),
            false => Err(Failure::new(codes::ORIGIN_REFUSED, "pages of this origin may not call this node")),
        }
    }

    fn check_host(&self, host: &str) -> Result<(), Failure> {
        let known = host.parse::<Authority>().is_ok_and(|authority| {
            let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
            let bare = name.trim_start_matches('[').trim_end_matches(']');
            name == "localhost" || bare.parse::<IpAddr>().is_ok() || self.hosts.contains(&name)
        });
        match known {
            true => Ok(()),
            false => Err(Failure::new(codes::HOST_REFUSED, "this node does not go by the name in `Host`")),
        }
    }
}

impl Origin {
    /// The answer to a browser that asks what it may send. Our own page never asks.
    pub(super) fn preflight(&self) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        self.allow(headers);
        if matches!(self, Self::Allowed(_)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
        }
        response
    }

    /// Tells the browser that the page may read the answer.
    pub(super) fn allow(&self, headers: &mut HeaderMap) {
        if let Self::Allowed(origin) = self {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins() {
        let listen = Listen {
            cors: vec!["https://app.example".into()],
            hosts: vec!["node.example".into()],
            ..Listen::default()
        };
        let origins = Origins::new(&listen);
        let check = |host: &str, origin: &str, open: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if !origin.is_empty() {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            origins.check(&Uri::from_static("/"), &headers, open).map_err(|failure| failure.code.name)
        };
        let allowed = Origin::Allowed(HeaderValue::from_static("https://app.example"));
        for (host, origin, expected) in [
            ("127.0.0.1:7862", "", Ok(Origin::Ours)),
            ("localhost", "", Ok(Origin::Ours)),
            ("LOCALHOST.:1", "", Ok(Origin::Ours)),
            ("[::1]:7862", "", Ok(Origin::Ours)),
            ("node.example:7862", "", Ok(Origin::Ours)),
            ("evil.example:7862", "", Err("HOST_REFUSED")),
            ("127.0.0.1.evil.example", "", Err("HOST_REFUSED")),
            ("localhost.evil.example", "http://localhost", Err("HOST_REFUSED")),
            ("evil.example", "http://evil.example", Err("HOST_REFUSED")),
            ("user@localhost@evil.example", "", Err("HOST_REFUSED")),
            ("", "", Err("HOST_REFUSED")),
            ("127.0.0.1:7862", "http://127.0.0.1:7862", Ok(Origin::Ours)),
            ("127.0.0.1:7862", "http://127.0.0.1:80", Err("ORIGIN_REFUSED")),
            ("127.0.0.1:7862", "http://evil.example", Err("ORIGIN_REFUSED")),
            ("127.0.0.1:7862", "null", Err("ORIGIN_REFUSED")),
            ("127.0.0.1:7862", "https://app.example", Ok(allowed.clone())),
            ("127.0.0.1:7862", "https://app.example.evil.example", Err("ORIGIN_REFUSED")),
            ("127.0.0.1:7862", "http://app.example", Err("ORIGIN_REFUSED")),
        ] {
            assert_eq!(check(host, origin, true), expected, "{host} {origin}");
        }
        // Whoever needs a key may come by any name.
        assert_eq!(check("other.example", "", false), Ok(Origin::Ours));
        assert_eq!(check("other.example", "https://other.example", false), Ok(Origin::Ours));
        assert_eq!(check("other.example", "https://evil.example", false), Err("ORIGIN_REFUSED"));
    }
}
