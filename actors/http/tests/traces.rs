//! The header `traceparent` of answers.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use axum::http::Request;
use common::{Said, api, said};
use serde_json::{Value, json};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn own(said: &Said) -> Option<&str> {
    said.headers.get("traceparent").map(|header| header.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn answers_name_their_span_in_the_callers_trace() {
    let api = api(&[]).await;
    let turns = json!([{"role": "user", "content": "2+2?"}]);
    let with = |more: Value| {
        let mut body = json!({"model": "small"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (path, more, status) in [
        ("/v1/chat/completions", json!({"messages": turns}), 200),
        ("/v1/chat/completions", json!({"messages": turns, "n": 3}), 200),
        ("/v1/chat/completions", json!({"messages": turns, "stream": true}), 200),
        ("/v1/completions", json!({"prompt": "2+2?"}), 200),
        ("/v1/responses", json!({"input": "2+2?"}), 200),
        ("/v1/responses", json!({"input": "2+2?", "stream": true}), 200),
        ("/v1/embeddings", json!({"input": ["a", "b"]}), 200),
        ("/v1/embeddings", json!({"input": "a", "model": "nobody"}), 404),
        ("/api/chat", json!({"messages": turns}), 200),
        ("/api/chat", json!({"messages": turns, "stream": false}), 200),
        ("/api/generate", json!({"prompt": "2+2?"}), 200),
        ("/api/embed", json!({"input": "a"}), 200),
    ] {
        let body = with(more).to_string();
        let ask = |traceparent: &str| {
            let request = Request::post(path).header("traceparent", traceparent);
            api.send(request.body(body.clone().into()).unwrap())
        };
        let traced = said(ask(CALLER).await).await;
        assert_eq!(traced.status, status, "{path} {body}: {}", traced.body);
        let found = own(&traced).unwrap_or_else(|| panic!("{path} {body}: no traceparent"));
        assert_eq!((found.len(), &found[..36], &found[52..]), (55, &CALLER[..36], "-01"), "{path} {body}");
        assert_ne!(&found[36..52], &CALLER[36..52], "{path} {body}: a span of its own");

        let elsewhere = said(ask("nonsense").await).await;
        let found = own(&elsewhere).unwrap_or_else(|| panic!("{path} {body}: no traceparent"));
        assert!(found.len() == 55 && found[3..35] != CALLER[3..35], "{path} {body}: {found}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_span_names_none() {
    let api = api(&[]).await;
    for path in ["/v1/models", "/api/tags", "/v1/nowhere"] {
        let request = Request::get(path).header("traceparent", CALLER).body(String::new().into()).unwrap();
        assert_eq!(own(&said(api.send(request).await).await), None, "{path}");
    }
}
