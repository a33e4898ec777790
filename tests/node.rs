//! A real node in a process of its own, real weights, the project's own client.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Server, ensure_models, tiny_model, understudy};
use tokio_stream::StreamExt;
use understudy_agents::Client;
use understudy_proto::v1::{Finished, GenerateRequest, generate_event::Event};

const SMALL: &str = "smollm2-135m";
const SOON: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(120);

fn request(prompt: &str, model: &str, max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.to_owned(),
        model: model.to_owned(),
        max_tokens: Some(max_tokens),
        ..GenerateRequest::default()
    }
}

/// When the first text came, when the end came, and the end.
async fn answer(client: &Client, request: GenerateRequest) -> (Instant, Instant, Finished) {
    let mut events = client.generate(request, LONG).await.unwrap();
    let (mut first, mut shown) = (None, String::new());
    while let Some(event) = events.next().await {
        match event.unwrap().event {
            Some(Event::Delta(delta)) => {
                first.get_or_insert_with(Instant::now);
                shown.push_str(&delta.text);
            }
            Some(Event::Finished(finished)) => {
                assert_eq!(shown, finished.text, "the deltas are the text");
                return (first.expect("some text"), Instant::now(), finished);
            }
            _ => {}
        }
    }
    panic!("no last event")
}

#[test]
fn the_first_command_answers_and_its_json_is_the_contracts() {
    ensure_models(&[SMALL, "qwen2.5-coder-0.5b"]);
    let ladder = ["--ladder", "smollm2-135m,qwen2.5-coder-0.5b"];
    let said = understudy(&[&["ask", "What is the capital of France?"], &ladder[..]].concat());
    assert!(said.code == 0 && said.out.contains("Paris"), "{} {}", said.out, said.err);
    let said = understudy(&[&["ask", "--explain", "What is the capital of France?"], &ladder[..]].concat());
    assert!(said.out.contains("decisions") && said.out.contains("confidence"), "{}", said.out);

    let said =
        understudy(&[&["ask", "--json", "--policy", "cascade", "Name a colour."], &ladder[..]].concat());
    let object: Value = serde_json::from_str(&said.out).unwrap();
    for field in ["text", "finish_reason", "model", "policy", "usage", "timing", "numerics", "ledger"] {
        assert!(!object[field].is_null(), "{field}");
    }
    let text = object["text"].as_str().unwrap();
    let mut at = 0;
    for span in object["ledger"]["spans"].as_array().unwrap() {
        assert_eq!(span["start"], at);
        at = span["end"].as_u64().unwrap();
    }
    assert_eq!(at as usize, text.len(), "spans cover the text exactly once");
    let kept: u64 = object["ledger"]["rungs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|rung| rung["tokens_kept"].as_u64())
        .sum();
    assert_eq!(object["usage"]["completion_tokens"], kept);
    assert!(!object["ledger"]["decisions"].as_array().unwrap().is_empty());
}

#[test]
fn same_seed_same_text_and_choices_hold() {
    let tiny = tiny_model().display().to_string();
    let ask = |seed: &str| {
        let args =
            ["ask", "--model", &tiny, "--temperature", "0.9", "--max-tokens", "24", "--seed", seed, "Hello"];
        understudy(&args).out
    };
    assert_eq!(ask("7"), ask("7"));
    assert_ne!(ask("7"), ask("8"));
    let said = understudy(&["ask", "--model", &tiny, "--choice", "red,green", "Which colour?"]);
    assert!(["red", "green"].contains(&said.out.trim()), "{} {}", said.out, said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_streams_share_an_engine_without_cross_talk() {
    ensure_models(&[SMALL]);
    let server = Server::start("");
    let client = Client::connect(&server.grpc, SOON).await.unwrap();
    let names = ["river", "mountain", "bread", "violin", "harbour", "garden", "winter", "copper"];
    let prompts: Vec<String> =
        (0..16).map(|n| format!("Write {} sentences about a {}.", 3 + n / 8, names[n % 8])).collect();
    let mut alone = Vec::new();
    for prompt in &prompts {
        alone.push(answer(&client, request(prompt, SMALL, 40)).await.2.text);
    }
    let together = prompts.iter().map(|prompt| {
        let (client, request) = (client.clone(), request(prompt, SMALL, 40));
        tokio::spawn(async move { answer(&client, request).await })
    });
    let together: Vec<_> = together.collect();
    let mut answers = Vec::new();
    for task in together {
        answers.push(task.await.unwrap());
    }
    let first_end = answers.iter().map(|(_, end, _)| *end).min().unwrap();
    for ((first, _, finished), alone) in answers.iter().zip(&alone) {
        assert_eq!(&finished.text, alone, "the answer is the same as alone");
        assert!(*first < first_end, "every stream starts before the first one ends");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_what_it_offers_and_how_it_is() {
    let server = Server::start("");
    let client = Client::connect(&server.grpc, SOON).await.unwrap();
    let services = client.reflection_list(SOON).await.unwrap();
    for expected in [
        "understudy.v1.Inference",
        "understudy.v1.Models",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(services.iter().any(|service| service == expected), "{expected} in {services:?}");
    }
    assert!(client.is_serving("understudy.v1.Inference", SOON).await.unwrap());
    let ps = understudy(&["ps", "--json", "--server", &server.grpc]);
    let slots: Value = serde_json::from_str(&ps.out).unwrap();
    assert!(slots.as_array().unwrap().iter().any(|slot| slot["model"] == SMALL));
    assert!(get(&server.http, "/healthz").starts_with("HTTP/1.1 200"));
}

fn get(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_or_runs_out_of_time_frees_the_engine() {
    ensure_models(&[SMALL]);
    let server = Server::start("");
    let client = Client::connect(&server.grpc, SOON).await.unwrap();
    answer(&client, request("Hi", SMALL, 4)).await;

    let mut events = client.generate(request("Count from 1 to 500.", SMALL, 1000), LONG).await.unwrap();
    while !matches!(events.next().await.unwrap().unwrap().event, Some(Event::Delta(_))) {}
    drop(events);
    let left = Instant::now();
    while client.models(SOON).await.unwrap().iter().any(|slot| slot.active > 0) {
        assert!(left.elapsed() < Duration::from_secs(2), "the slot is still busy");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let started = Instant::now();
    let limit = Duration::from_millis(400);
    let mut events = client.generate(request("Count from 1 to 500.", SMALL, 1000), limit).await.unwrap();
    let mut reason = String::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if let Some(Event::Finished(finished)) = event.event {
                    reason = finished.finish_reason;
                }
            }
            Err(error) => reason = error.code,
        }
    }
    assert!(reason.eq_ignore_ascii_case("deadline"), "{reason}");
    assert!(started.elapsed() < limit + Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_node_finishes_what_it_began() {
    ensure_models(&[SMALL]);
    let mut server = Server::start("");
    let client = Client::connect(&server.grpc, SOON).await.unwrap();
    let mut events = client.generate(request("Write about the sea.", SMALL, 40), LONG).await.unwrap();
    let mut finished = None;
    while let Some(event) = events.next().await {
        match event.unwrap().event {
            Some(Event::Delta(_)) if finished.is_none() => {
                server.terminate();
                finished = Some(false);
            }
            Some(Event::Finished(end)) => finished = Some(!end.text.is_empty()),
            _ => {}
        }
    }
    assert_eq!(finished, Some(true), "the answer came to its end");
    assert_eq!(server.exit_code(Duration::from_secs(12)), Some(0));
}
