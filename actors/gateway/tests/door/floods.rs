//! HTTP/2 as a weapon.

use axum::http::Request;
use h2::client::SendRequest;
use tokio::net::TcpStream;

use crate::{
    common::SOON,
    town::{Town, eventually},
};

async fn client(
    town: &Town,
) -> (SendRequest<axum::body::Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(town.grpc()).await.unwrap();
    let (mut calls, connection) =
        h2::client::Builder::new().initial_max_send_streams(100_000).handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    // With the first answer the node's settings are here.
    let (first, _) =
        calls.send_request(Request::get("http://localhost/nowhere").body(()).unwrap(), true).unwrap();
    first.await.unwrap();
    (calls, connection)
}

fn call() -> axum::http::request::Builder {
    Request::post("http://localhost/understudy.v1.Inference/Generate")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

#[tokio::test]
async fn streams_that_are_reset_as_fast_as_they_open_end_the_connection() {
    let town = Town::open("").await;
    let (mut calls, connection) = client(&town).await;
    let mut sent = 0;
    while sent < 100_000 {
        let Ok(ready) = calls.clone().ready().await else { break };
        calls = ready;
        let Ok((_, mut body)) = calls.send_request(call().body(()).unwrap(), false) else { break };
        body.send_reset(h2::Reason::CANCEL);
        sent += 1;
        if sent % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let ended =
        tokio::time::timeout(SOON, connection).await.expect("the node goes on listening to it").unwrap();
    // The node says why and closes; what we were about to write may break the line before we read it.
    let error = ended.expect_err("the connection ended in peace");
    assert!(error.is_io() || error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM), "{error}");
    assert!(sent < 100_000, "nothing stopped it");
    town.goes_on().await;
}

#[tokio::test]
async fn a_head_over_http2_has_a_largest_size() {
    let town = Town::open("").await;
    let (mut calls, connection) = client(&town).await;
    let bomb = (0..40).fold(call(), |call, i| call.header(format!("x-{i}"), "x".repeat(4000)));
    let (response, _body) = calls.send_request(bomb.body(()).unwrap(), false).unwrap();
    match tokio::time::timeout(SOON, response).await.unwrap() {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(error) => assert!(error.reason().is_some(), "{error}"),
    }
    connection.abort();
    town.goes_on().await;
}

#[tokio::test]
async fn streams_beyond_the_limit_wait_in_the_client() {
    let town = Town::open("[limits]\nstreams_per_connection = 4").await;
    let (mut calls, connection) = client(&town).await;
    assert_eq!(calls.current_max_send_streams(), 4);
    let held: Vec<_> =
        (0..50).map_while(|_| calls.send_request(call().body(()).unwrap(), false).ok()).collect();
    assert!(!held.is_empty());
    connection.abort();
    eventually("the connection's places are free", async || town.node.node.connections().await.open == 0)
        .await;
    town.goes_on().await;
}
