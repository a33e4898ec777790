//! What every request passes before anything else looks at it, over both sockets.
//!
//! | module | what it holds |
//! |---|---|
//! | [`paths`] | which path needs what, and paths that nobody sends in good faith |
//! | [`origin`] | web pages of others: hosts, origins, preflights |
//! | [`who`] | from a key, or a certificate, to a [`Caller`] |
//! | [`body`] | how long and how slow a body may be |
//! | [`refusal`] | a refusal in the words of whoever asked, and a line of it in the log |
//!
//! **Invariants.** A request that reaches a handler has a [`Caller`] that may do what its path does, no key, and over
//! HTTP/1 style interfaces its whole body and a name, which the response repeats, a refusal too. Nothing that is refused is logged with a key, a path beyond its first part,
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
    http::{HeaderName, HeaderValue, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use understudy_proto::names;

use crate::{Caller, Failure, Telemetry, config::Listen, keys::Keyring, listener::Peer, pages::Words};
use origin::{Origin, Origins};
use refusal::{Interface, Refusals};

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

/// Names a request over HTTP, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static(names::REQUEST_ID_METADATA);

/// The door of a node.
pub(crate) struct Door {
    keys: Keyring,
    origins: Origins,
    body_limit: Duration,
    /// How the pages behind it refuse.
    words: Words,
    refusals: Refusals,
    telemetry: Telemetry,
}

impl Door {
    pub(crate) fn new(listen: &Listen, keys: Keyring, telemetry: Telemetry, words: Words) -> Self {
        let (origins, refusals) = (Origins::new(listen), Refusals::default());
        Self { keys, origins, body_limit: listen.body(), words, refusals, telemetry }
    }

    /// The same pages behind this door. Its limit of bodies takes the place of axum's, which is lower.
    pub(crate) fn before(self: Arc<Self>, pages: Router) -> Router {
        pages.layer(DefaultBodyLimit::disable()).layer(from_fn_with_state(self, pass))
    }

    /// Turns a request away: noted, counted, and told in the words of whoever asked.
    fn refuse(&self, failure: &Failure, interface: Interface, peer: &Peer, path: &str) -> Response {
        self.refusals.note(failure, peer, path);
        self.telemetry.refused(failure.code.name);
        interface.refuse(self.words, path, failure)
    }

    /// Everything that can be said of a request without its body.
    fn check(&self, request: &mut Request, peer: &Peer) -> Result<(Origin, Option<Caller>), Failure> {
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

    /// The answer to a request, from behind the door or from the door.
    async fn answer(&self, mut request: Request, interface: Interface, next: Next) -> Response {
        let uri = request.uri().clone();
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            let failure = Failure::new(crate::codes::INTERNAL, "a request without a connection");
            return interface.refuse(self.words, uri.path(), &failure);
        };
        let (origin, caller) = match self.check(&mut request, &peer) {
            Ok((origin, Some(caller))) => (origin, caller),
            Ok((origin, None)) => return origin.preflight(),
            Err(failure) => return self.refuse(&failure, interface, &peer, uri.path()),
        };
        request.extensions_mut().insert(caller);
        let request = match interface.is_grpc() {
            true => Ok(body::timed(request, self.body_limit)),
            false => body::whole(request, self.body_limit).await,
        };
        let mut response = match request {
            Ok(request) => next.run(request).await,
            Err(failure) => self.refuse(&failure, interface, &peer, uri.path()),
        };
        origin.allow(response.headers_mut());
        response
    }
}

async fn pass(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let interface = Interface::of(&request);
    if interface.is_grpc() {
        return door.answer(request, interface, next).await;
    }
    let id = named(&mut request);
    let mut response = door.answer(request, interface, next).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    for (name, value) in ADVICE {
        headers.entry(name).or_insert(value);
    }
    response
}

/// The request's name: as the caller gave it, or as we do.
fn named(request: &mut Request) -> HeaderValue {
    let ours = || HeaderValue::try_from(format!("req_{:032x}", fastrand::u128(..)));
    let headers = request.headers_mut();
    let Some(id) = headers.get(REQUEST_ID).cloned().or_else(|| ours().ok()) else {
        return HeaderValue::from_static("");
    };
    headers.insert(REQUEST_ID, id.clone());
    id
}
