//! The console at `/`: one page of plain files in the binary, a client of the public API like any other.
//!
//! Pages of a node show what models write, which is hostile text. So the page makes text nodes only, and the headers hold
//! it to that: no script or style but these files, no other origin, nothing that takes HTML from a string, no frame around.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
#[derive(Debug, Clone, Copy)]
struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal: $kind:literal),* $(,)?) => {
        &[$(File {
            path: concat!("/console/", $name),
            kind: concat!($kind, "; charset=utf-8"),
            text: include_str!(concat!("console/", $name)),
        }),*]
    };
}

const PAGE: File =
    File { path: "/", kind: "text/html; charset=utf-8", text: include_str!("console/index.html") };

const FILES: &[File] = files! {
    "icon.svg": "image/svg+xml",
    "theme.css": "text/css",
    "page.css": "text/css",
    "panel.css": "text/css",
    "answer.css": "text/css",
    "account.css": "text/css",
    "theme.js": "text/javascript",
    "account.mjs": "text/javascript",
    "announcer.mjs": "text/javascript",
    "answer.mjs": "text/javascript",
    "api.mjs": "text/javascript",
    "app.mjs": "text/javascript",
    "authors.mjs": "text/javascript",
    "cost.mjs": "text/javascript",
    "dom.mjs": "text/javascript",
    "examples.mjs": "text/javascript",
    "format.mjs": "text/javascript",
    "node.mjs": "text/javascript",
    "origins.mjs": "text/javascript",
    "picture.mjs": "text/javascript",
    "prose.mjs": "text/javascript",
    "settings.mjs": "text/javascript",
    "sse.mjs": "text/javascript",
    "timeline.mjs": "text/javascript",
    "transcript.mjs": "text/javascript",
};

/// The page and its files. It calls `/v1/models`, `/v1/chat/completions` and `/understudy/status` where it is served from.
pub fn routes() -> Router {
    FILES.iter().chain([&PAGE]).fold(Router::new(), |router, file| {
        let file = *file;
        router.route(file.path, get(async move || file.response()))
    })
}

impl File {
    fn response(self) -> impl IntoResponse {
        let headers = [
            (CONTENT_TYPE, self.kind),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            // A node that was updated shows its own page at once.
            (CACHE_CONTROL, "no-cache"),
        ];
        (headers, self.text)
    }
}
