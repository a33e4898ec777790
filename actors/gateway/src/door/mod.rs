//! What every request passes before anything else looks at it, over both sockets.
//!
//! | module | what it holds |
//! |---|---|
//! | [`paths`] | which path needs what, and paths that nobody sends in good faith |
//! | [`origin`] | web pages of others: hosts, origins, preflights |
//! | [`who`] | from a key to a [`Caller`] |
//! | [`body`] | how long and how slow a body may be |
//! | [`refusal`] | a refusal in the words of whoever asked |
//!
//! **Invariants.** A request that reaches a handler has a [`Caller`] that may do what its path does, no key, and over
//! HTTP/1 style interfaces its whole body. Nothing that is refused is logged with a key, a path beyond its first part,
//! or a body.

mod body;
mod origin;
mod paths;
mod refusal;
mod who;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use crate::{Caller, Failure, Telemetry, config::Listen, keys::Keyring, listener::Peer};
use origin::{Origin, Origins};
use refusal::{Dialect, Refusals};

/// What browsers should not do with our answers. The console is one page with its own scripts and styles.
const ADVICE: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The door of a node.
pub(crate) struct Door {
    keys: Keyring,
    origins: Origins,
    body_limit: Duration,
    refusals: Refusals,
    telemetry: Telemetry,
}

impl Door {
    pub(crate) fn new(listen: &Listen, keys: Keyring, telemetry: Telemetry) -> Self {
        let (origins, refusals) = (Origins::new(listen), Refusals::default());
        Self { keys, origins, body_limit: listen.body(), refusals, telemetry }
    }

    /// The same pages behind this door. Its limit of bodies takes the place of axum's, which is lower.
    pub(crate) fn before(self: Arc<Self>, pages: Router) -> Router {
        pages.layer(DefaultBodyLimit::disable()).layer(from_fn_with_state(self, pass))
    }

    /// Turns a request away: noted, counted, and told in the words of whoever asked.
    fn refuse(&self, failure: &Failure, dialect: Dialect, peer: Peer, path: &str) -> Response {
        self.refusals.note(failure, peer, path);
        self.telemetry.refused(failure.code.name);
        dialect.refuse(failure)
    }

    /// Everything that can be said of a request without its body.
    fn check(&self, request: &mut Request, peer: Peer) -> Result<(Origin, Option<Caller>), Failure> {
        let path = request.uri().path();
        paths::check(path)?;
        let need = paths::need(request.method(), path);
        let origin = self.origins.check(request.uri(), request.headers(), self.keys.is_open())?;
        if origin::is_preflight(request) {
            // Browsers ask without a key whether they may come with one.
            return Ok((origin, None));
        }
        let caller = who::caller(&self.keys, need, request.headers(), peer)?;
        for header in who::KEY_HEADERS {
            request.headers_mut().remove(header);
        }
        Ok((origin, Some(caller)))
    }
}

async fn pass(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let dialect = Dialect::of(&request);
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return dialect.refuse(&Failure::new(crate::codes::INTERNAL, "a request without a connection"));
    };
    let (origin, caller) = match door.check(&mut request, peer) {
        Ok((origin, Some(caller))) => (origin, caller),
        Ok((origin, None)) => return origin.preflight(),
        Err(failure) => {
            return advise(dialect, door.refuse(&failure, dialect, peer, request.uri().path()));
        }
    };
    request.extensions_mut().insert(caller);
    let request = match dialect.is_grpc() {
        true => Ok(body::timed(request, door.body_limit)),
        false => body::whole(request, door.body_limit).await,
    };
    let mut response = match request {
        Ok(request) => next.run(request).await,
        Err(failure) => door.refuse(&failure, dialect, peer, ""),
    };
    origin.allow(response.headers_mut());
    advise(dialect, response)
}

fn advise(dialect: Dialect, mut response: Response) -> Response {
    if !dialect.is_grpc() {
        let headers: &mut HeaderMap = response.headers_mut();
        for (name, value) in ADVICE {
            headers.entry(name).or_insert(value);
        }
    }
    response
}
