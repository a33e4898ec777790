//! Web pages of others, and paths in disguise.

use crate::town::Town;

fn preflight(path: &str, origin: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n"
    )
}

#[tokio::test]
async fn paths_in_disguise_lead_nowhere() {
    let town = Town::with_keys("", &[("editor", &[understudy_gateway::caller::Scope::Inference])]).await;
    let key = format!("Authorization: Bearer {}\r\n", town.key("editor"));
    for path in [
        "/v1/../metrics",
        "/v1/%2e%2e/metrics",
        "/v1/..%2fmetrics",
        "/v1/%2e%2e%5cmetrics",
        "/v1/./../metrics",
        "//metrics",
        "/v1//who",
        "/v1/who%00",
    ] {
        let answer = town.get(path, &key).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(answer.body.contains("REQUEST_INVALID"), "{path}: {answer:?}");
    }
    for path in ["/v1/who/", "/V1/WHO", "/v1/who;x", "/v1/%77ho", "/metrics/", "/%6detrics"] {
        let answer = town.get(path, &key).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    town.goes_on().await;
}

#[tokio::test]
async fn pages_of_others_are_refused_unless_named() {
    let town = Town::open("[listen]\ncors = [\"https://app.example\"]").await;
    for origin in ["http://evil.example", "null", "https://app.example.evil.example", "http://localhost:1"] {
        let answer = town.ask(&preflight("/v1/length", origin), b"").await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None), "{origin}");
        let answer = town.get("/v1/who", &format!("Origin: {origin}\r\n")).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None), "{origin}");
    }
    let answer = town.ask(&preflight("/v1/length", "https://app.example"), b"").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    let answer = town.get("/v1/who", "Origin: https://app.example\r\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.header("vary"), Some("origin"));
    let own = format!("Origin: http://{}\r\n", town.http());
    let head = format!("GET /v1/who HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{own}\r\n", town.http());
    assert_eq!(town.ask(&head, b"").await.status, 200, "our own page");
    town.goes_on().await;
}

#[tokio::test]
async fn a_browser_that_was_named_may_ask_before_it_has_a_key() {
    let holder: (&str, &[_]) = ("editor", &[understudy_gateway::caller::Scope::Inference]);
    let town = Town::with_keys("[listen]\ncors = [\"https://app.example\"]", &[holder]).await;
    assert_eq!(town.ask(&preflight("/v1/length", "https://app.example"), b"").await.status, 204);
    assert_eq!(town.ask(&preflight("/v1/length", "https://evil.example"), b"").await.status, 403);
    assert_eq!(town.get("/v1/who", "Origin: https://app.example\r\n").await.status, 401);
    town.goes_on().await;
}

#[tokio::test]
async fn a_name_pointed_at_us_is_not_ours() {
    let town = Town::open("[listen]\nhosts = [\"node.example\"]").await;
    for (host, status) in [
        ("rebound.example", 403),
        ("rebound.example:7862", 403),
        ("127.0.0.1.rebound.example", 403),
        ("localhost.rebound.example", 403),
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]:7862", 200),
        ("node.example:7862", 200),
    ] {
        let head = format!(
            "GET /v1/who HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nOrigin: http://{host}\r\n\r\n"
        );
        let answer = town.ask(&head, b"").await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
    town.goes_on().await;
}

#[tokio::test]
async fn browsers_are_told_what_not_to_do() {
    let town = Town::open("").await;
    let answer = town.get("/", "").await;
    assert!(answer.header("content-security-policy").unwrap().contains("default-src 'self'"));
    assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    town.goes_on().await;
}
