//! A node as a thing that starts, is watched, is attacked and stops.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::time::{Duration, Instant};

use common::{SOON, ask_small, event_of, read, refusal, start};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_stream::StreamExt as _;
use understudy_gateway::{Node, NodeConfig, Parts, codes};
use understudy_proto::{names, v1::generate_event::Event};

#[tokio::test]
async fn reflection_lists_the_services() {
    let harness = start("").await;
    let services = harness.client().await.reflection_list(SOON).await.unwrap();
    for service in [
        names::INFERENCE_SERVICE,
        names::MODELS_SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(services.iter().any(|listed| listed == service), "{service} is not in {services:?}");
    }
}

#[tokio::test]
async fn health_follows_the_models() {
    let harness = start("").await;
    let client = harness.client().await;
    let small = names::model_health("small");
    assert!(client.is_serving("", SOON).await.unwrap());
    assert!(client.is_serving(&small, SOON).await.unwrap());
    assert!(!client.is_serving(&names::model_health("large"), SOON).await.unwrap());
    let unknown = client.is_serving("models/none", SOON).await.unwrap_err();
    assert_eq!(unknown.status, tonic::Code::NotFound);
    assert_eq!(http(&harness, "/readyz").await.0, 200);

    harness.control.set("small", "failed");
    harness.control.set("large", "failed");
    eventually(async || !client.is_serving(names::INFERENCE_SERVICE, SOON).await.unwrap()).await;
    assert!(!client.is_serving(&small, SOON).await.unwrap());
    let (status, body) = http(&harness, "/readyz").await;
    assert!(status == 503 && body.contains("small is failed"), "{status} {body}");
    assert_eq!(http(&harness, "/healthz").await.0, 200);
}

#[tokio::test]
async fn models_are_listed_loaded_watched_and_unloaded() {
    let harness = start("").await;
    let client = harness.client().await;
    let listed = client.models(SOON).await.unwrap();
    assert_eq!(listed.iter().map(|m| m.model.as_str()).collect::<Vec<_>>(), ["small", "large"]);
    let mut changes = client.watch(SOON).await.unwrap();
    for model in ["small", "large"] {
        assert_eq!(changes.next().await.unwrap().unwrap().model, model);
    }
    let mut statuses = client.load("small", SOON).await.unwrap();
    let mut last = None;
    while let Some(status) = statuses.next().await {
        last = Some(status.unwrap().state);
    }
    assert_eq!(last.as_deref(), Some("ready"));
    assert_eq!(client.unload("small", SOON).await.unwrap().state, "unloaded");
    let change = changes.next().await.unwrap().unwrap();
    assert_eq!((change.model.as_str(), change.state.as_str()), ("small", "unloaded"));
    assert_eq!(client.unload("none", SOON).await.unwrap_err().code, "MODEL_UNKNOWN");
    let mut statuses = client.load("smal", SOON).await.unwrap();
    assert_eq!(statuses.next().await.unwrap().unwrap_err().code, "MODEL_UNKNOWN");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let harness = start("").await;
    let mut config = NodeConfig { listen: harness.node.config().listen.clone(), ..NodeConfig::default() };
    config.listen.grpc = harness.addresses.grpc;
    let parts = Parts {
        router: harness.node.router().clone(),
        slots: harness.node.slots().clone(),
        control: harness.control.clone(),
    };
    let error = Node::assemble(config, parts).serve(Default::default()).await.unwrap_err();
    assert_eq!(error.code, codes::ADDR_IN_USE);
    let addr = harness.addresses.grpc.to_string();
    assert!(error.message.contains(&addr) && error.message.contains("listen.grpc"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = understudy_agents::Client::connect(&free.to_string(), SOON).await.unwrap_err();
    assert_eq!(error.code, "SERVER_UNREACHABLE");
    assert!(error.message.contains(&free.to_string()) && error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn draining_finishes_what_runs_and_refuses_the_rest() {
    let harness = start("[timeouts]\ndrain_ms = 8000").await;
    let client = harness.client().await;
    let request = understudy_proto::v1::GenerateRequest { max_tokens: Some(8), ..ask_small("slow") };
    let mut events = client.generate(request, SOON).await.unwrap();
    while !matches!(event_of(events.next().await.unwrap().unwrap()), Event::Delta(_)) {}
    let node = harness.node.clone();
    let draining = tokio::spawn(async move { node.drain().await });
    eventually(async || !client.is_serving("", SOON).await.unwrap()).await;
    let error = refusal(&client, ask_small("2+2")).await;
    assert_eq!((error.code.as_str(), error.status), ("DRAINING", tonic::Code::Unavailable));
    let (_, end) = read(events).await;
    assert_eq!(end.unwrap().finish_reason, "length");
    assert_eq!(draining.await.unwrap(), 0);
    assert!(TcpStream::connect(harness.addresses.grpc).await.is_err(), "the port is still open");
}

#[tokio::test]
async fn a_drain_ends_in_time_whatever_runs() {
    let harness = start("[timeouts]\ndrain_ms = 200").await;
    let client = harness.client().await;
    let mut events = client.generate(ask_small("slow"), SOON).await.unwrap();
    let _watch = client.watch(SOON).await.unwrap();
    let _half_open = TcpStream::connect(harness.addresses.grpc).await.unwrap();
    while !matches!(event_of(events.next().await.unwrap().unwrap()), Event::Delta(_)) {}
    let begun = Instant::now();
    assert_eq!(harness.node.drain().await, 1);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    match read(events).await.1 {
        Ok(end) => assert_eq!(end.finish_reason, "cancelled"),
        Err(error) => assert!(["DRAINING", "CANCELLED"].contains(&error.code.as_str()), "{error:?}"),
    }
    assert_eq!(harness.small.open_sequences(), 0);
}

#[tokio::test]
async fn garbage_and_silence_harm_nobody() {
    let harness = start("").await;
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(TcpStream::connect(harness.addresses.grpc).await.unwrap());
        silent.push(TcpStream::connect(harness.addresses.http).await.unwrap());
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let noise: Vec<u8> = (0_u32..4096).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for garbage in
        [b"GET / HTTP/1.1\r\n\r\n".to_vec(), noise.clone(), [preface, noise].concat(), vec![0xff; 70_000]]
    {
        for addr in [harness.addresses.grpc, harness.addresses.http] {
            let mut peer = TcpStream::connect(addr).await.unwrap();
            // The node may hang up while we write.
            let _ = peer.write_all(&garbage).await;
        }
    }
    let begun = Instant::now();
    let client = harness.client().await;
    assert_eq!(read(client.generate(ask_small("2+2"), SOON).await.unwrap()).await.0, "4");
    assert_eq!(http(&harness, "/healthz").await.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(silent);
}

/// Status and body of a GET.
async fn http(harness: &common::Harness, path: &str) -> (u16, String) {
    let mut peer = TcpStream::connect(harness.addresses.http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    peer.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

async fn eventually(mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < SOON, "it never happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
