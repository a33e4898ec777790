//! The node's door in front of these pages, over real sockets: whoever refuses, the words are the API's.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName};
use common::{Said, api_behind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use understudy_gateway::{
    Keyring,
    caller::Scope,
    keys::{ApiKey, KeyFile, KeyRecord, Level},
};

/// A node with one key, which may ask.
async fn keyed() -> (SocketAddr, String, impl Sized) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keys.toml");
    let key = ApiKey::generate().unwrap();
    let record = KeyRecord {
        name: "editor".into(),
        sha256: key.digest(),
        scopes: vec![Scope::Inference],
        priority: Level::Agent,
        requests_per_minute: None,
        burst: None,
        tokens_per_minute: None,
        concurrency: None,
        created: 0,
    };
    KeyFile::change(&path, |file| {
        file.keys.push(record);
        Ok(())
    })
    .unwrap();
    let api = api_behind(Keyring::load(&path).unwrap()).await;
    let address = api.node.serve(understudy_http::routes(&api.node)).await.unwrap().http;
    (address, key.reveal().to_owned(), (api, home))
}

/// One request over a connection of its own. Each header ends with CRLF.
async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Said {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: HeaderMap = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        })
        .collect();
    Said { status, headers, body: body.to_owned() }
}

#[tokio::test]
async fn refusals_of_the_door_are_worded_as_those_of_the_pages() {
    let (node, key, _held) = keyed().await;
    let bearer = format!("Authorization: Bearer {key}\r\n");
    let foreign = format!("{bearer}Origin: https://evil.example\r\n");
    let huge = " ".repeat(5 << 20);
    let of_huge = format!("{bearer}Content-Length: {}\r\n", huge.len());
    for (method, path, headers, status, kind, code) in [
        ("GET", "/v1/models", "", 401, "authentication_error", "KEY_INVALID"),
        ("GET", "/v1/models", &*foreign, 403, "permission_error", "ORIGIN_REFUSED"),
        ("POST", "/v1/chat/completions", &of_huge, 413, "invalid_request_error", "MESSAGE_TOO_LARGE"),
        ("GET", "/v1/%2e%2e/metrics", &bearer, 400, "invalid_request_error", "REQUEST_INVALID"),
    ] {
        let body = if status == 413 { &*huge } else { "" };
        let said = ask(node, method, path, headers, body).await;
        assert_eq!(said.status, status, "{path}: {}", said.body);
        let error = said.json()["error"].take();
        assert_eq!((&error["type"], &error["code"]), (&json!(kind), &json!(code)), "{path}");
        let ours = &error["understudy"];
        assert_eq!(ours["code"], code, "{path}: {error}");
        for field in ["help", "page"] {
            assert!(ours[field].as_str().is_some_and(|text| !text.is_empty()), "{path}: {error}");
        }
        assert!(said.headers["x-request-id"].to_str().unwrap().starts_with("req_"), "{path}");
        assert_eq!(said.headers.contains_key("www-authenticate"), status == 401, "{path}");
        assert_eq!(said.headers["content-type"], "application/json");

        let said = ask(node, method, &path.replace("/v1/", "/api/"), headers, body).await;
        let body: Value = said.json();
        assert_eq!((said.status, &body["code"]), (status, &json!(code)), "{body}");
        assert!(body["error"].is_string() && said.headers.contains_key("x-request-id"), "{body}");
    }
    let plain = ask(node, "GET", "/understudy/status", "", "").await;
    assert!(plain.body.starts_with("error[KEY_INVALID]: "), "{}", plain.body);
}

#[tokio::test]
async fn every_response_has_its_requests_name() {
    let (node, key, _held) = keyed().await;
    let bearer = format!("Authorization: Bearer {key}\r\n");
    let body = json!({
        "model": "small", "messages": [{"role": "user", "content": "2+2?"}],
        "stream": true, "understudy": {"explain": true},
    })
    .to_string();
    let asking = format!("{bearer}Content-Length: {}\r\n", body.len());
    let named = format!("{asking}X-Request-Id: my-id\r\n");
    let said = ask(node, "POST", "/v1/chat/completions", &named, &body).await;
    assert_eq!((said.status, said.headers["x-request-id"].to_str().unwrap()), (200, "my-id"));
    let unnamed = ask(node, "POST", "/v1/chat/completions", &asking, &body).await;
    let ours = unnamed.headers["x-request-id"].to_str().unwrap().to_owned();
    let told = format!("\"request_id\":\"{ours}\"");
    assert!(ours.starts_with("req_") && unnamed.body.contains(&told), "{ours}: {}", unnamed.body);
    for (path, headers, status) in [
        ("/v1/models", &*bearer, 200),
        ("/v1/nowhere", &bearer, 404),
        ("/v1/models", "", 401),
        ("/api/tags", "", 401),
        ("/metrics", &bearer, 403),
        ("/healthz", "", 200),
    ] {
        let said = ask(node, "GET", path, &format!("{headers}X-Request-Id: another\r\n"), "").await;
        assert_eq!(
            (said.status, &said.headers["x-request-id"]),
            (status, &"another".parse().unwrap()),
            "{path}"
        );
    }
}
