//! Requests that are too long, too slow, or have too much of a head.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    common::{SOON, ask_small, refusal},
    town::{PROMPT, Town, answer},
};

const LARGEST: usize = understudy_gateway::server::LARGEST_REQUEST_BYTES;

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn a_body_has_a_largest_size() {
    let town = Town::open("").await;
    for (path, length, status) in [
        ("/v1/length", LARGEST, 200),
        ("/v1/length", LARGEST + 1, 413),
        ("/api/length", 2 * LARGEST, 413),
        ("/nowhere", 2 * LARGEST, 413),
    ] {
        let body = vec![b' '; length];
        let declared = town.ask(&post(path, &format!("Content-Length: {length}\r\n")), &body).await;
        let pieces = [format!("{length:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        let in_pieces = town.ask(&post(path, "Transfer-Encoding: chunked\r\n"), &pieces).await;
        for answer in [declared, in_pieces] {
            assert_eq!(answer.status, status, "{path} {length}: {}", answer.head);
            match status {
                200 => assert_eq!(answer.body, length.to_string()),
                _ => assert!(answer.body.contains("MESSAGE_TOO_LARGE"), "{}", answer.body),
            }
        }
    }
    // Announced, not sent, and far beyond anything: refused at once.
    let begun = Instant::now();
    let mut peer = TcpStream::connect(town.http()).await.unwrap();
    peer.write_all(post("/v1/length", "Content-Length: 99999999999\r\n").as_bytes()).await.unwrap();
    peer.shutdown().await.unwrap();
    answer(&mut peer).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    let error = refusal(&town.node.client().await, ask_small(&"x".repeat(LARGEST))).await;
    assert_eq!(error.code, "MESSAGE_TOO_LARGE");
    town.goes_on().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let town = Town::open("[listen]\nbody_ms = 300").await;
    let mut peer = TcpStream::connect(town.http()).await.unwrap();
    peer.write_all(post("/v1/length", "Content-Length: 100\r\n").as_bytes()).await.unwrap();
    let (mut reading, mut writing) = peer.into_split();
    let trickle = tokio::spawn(async move {
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let begun = Instant::now();
    let answer = answer(&mut reading).await;
    assert!(answer.status == 408 && answer.body.contains("BODY_SLOW"), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    trickle.abort();
    town.goes_on().await;
}

#[tokio::test]
async fn a_message_that_trickles_over_grpc_is_given_up() {
    let town = Town::open("[listen]\nbody_ms = 300").await;
    let (mut calls, connection) =
        h2::client::handshake(TcpStream::connect(town.grpc()).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let request = axum::http::Request::post("http://localhost/understudy.v1.Inference/Generate")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut body) = calls.send_request(request, false).unwrap();
    // A message of 100 bytes begins and never ends.
    body.send_data(vec![0, 0, 0, 0, 100, 1].into(), false).unwrap();
    let response = tokio::time::timeout(SOON, response).await.unwrap().unwrap();
    let status = response.headers().get("grpc-status").unwrap().to_str().unwrap();
    assert_eq!(status, (tonic::Code::DeadlineExceeded as i32).to_string(), "{response:?}");
    town.goes_on().await;
}

#[tokio::test]
async fn a_head_has_a_largest_size() {
    let town = Town::open("").await;
    let get = |headers: &str| {
        format!("GET /v1/who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
    };
    let many = |count: usize| (0..count).map(|i| format!("X-{i}: {PROMPT}\r\n")).collect::<String>();
    for (what, head, status) in [
        ("one long header", get(&format!("X-Bomb: {}\r\n", "x".repeat(100 << 10))), 431),
        ("many headers", get(&many(2000)), 431),
        ("a few more than allowed", get(&many(120)), 431),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(100 << 10)), 414),
        ("some headers", get(&many(50)), 200),
    ] {
        let answer = town.ask(&head, b"").await;
        // hyper answers 431 for any head that does not fit its buffer, and may close before the client has read it.
        let refused = [431, 414, 0].contains(&answer.status);
        assert!(answer.status == status || (status != 200 && refused), "{what}: {answer:?}");
    }
    town.goes_on().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let town = Town::open("[listen]\nheader_ms = 300").await;
    for opening in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n", "PRI * HTTP/2"] {
        let mut slow = TcpStream::connect(town.http()).await.unwrap();
        slow.write_all(opening.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = slow.into_split();
        let keeps_writing = !opening.is_empty() && !opening.starts_with("PRI");
        let trickle = tokio::spawn(async move {
            while keeps_writing && writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Held open: the node must not wait for us to close.
            tokio::time::sleep(SOON).await;
        });
        let begun = Instant::now();
        let mut heard = Vec::new();
        // However it ends: a refusal and a reset are both fine.
        let ended = tokio::time::timeout(SOON, reading.read_to_end(&mut heard)).await;
        assert!(
            ended.is_ok() && begun.elapsed() < Duration::from_secs(2),
            "{opening:?}: {:?}",
            begun.elapsed()
        );
        trickle.abort();
    }
    town.goes_on().await;
}

#[tokio::test]
async fn a_connection_may_be_used_again_and_not_idle_for_ever() {
    let town = Town::open("[listen]\nheader_ms = 300").await;
    let mut peer = TcpStream::connect(town.http()).await.unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        peer.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut first = [0; 15];
        peer.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        let mut rest = [0; 4096];
        let _ = peer.read(&mut rest).await.unwrap();
    }
    let _ = answer(&mut peer).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    town.goes_on().await;
}
