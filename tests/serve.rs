//! `understudy serve` as a process of its own: many callers, callers that leave, models that
//! come and go, and an orderly end.

mod common;

use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

use common::answers::{ANSWER, answered, becomes_idle, begun, direct, read_to_end, refusal, status};
use common::node::{SOON, Server};
use common::{ENDLESS, PATIENCE, SMALL, ensure_models, exit_code, tiny, tiny_twin, understudy, written};
use serde_json::Value;
use tokio_stream::StreamExt;
use understudy_agents::Client;
use understudy_proto::v1::{Constraint, GenerateRequest, constraint::Kind};

/// How soon a slot is free after its caller left.
const FREED: Duration = Duration::from_secs(2);

/// An answer that goes on for minutes unless something ends it.
fn endless() -> GenerateRequest {
    let constraint = Constraint { kind: Some(Kind::Regex(ENDLESS.to_owned())) };
    GenerateRequest { constraint: Some(constraint), ..direct(SMALL, "Tell me a story.", 2000) }
}

/// A node whose ladder is the small real model, loaded and warm.
async fn warm_server() -> (Server, Client) {
    ensure_models();
    let server = Server::with_ladder(&[SMALL]);
    let client = server.client().await;
    answered(&client, direct(SMALL, "Hi", 1)).await;
    (server, client)
}

#[tokio::test]
async fn reflection_names_every_service() {
    let server = Server::with_ladder(&[&tiny()]);
    let listed = server.client().await.reflection_list(SOON).await.expect("reflection");
    let expected = [
        "understudy.v1.Inference",
        "understudy.v1.Models",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    for service in expected {
        assert!(listed.contains(service), "{service} in {listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_streams_at_once_do_not_mix() {
    let (_server, client) = warm_server().await;
    let things = ["river", "mountain", "bread", "violin", "harbour", "garden", "winter", "copper"];
    let prompt = |n: usize| match n / 8 {
        0 => format!("Describe a {}.", things[n % 8]),
        _ => format!("Invent a story about a {}.", things[n % 8]),
    };
    let ask = |n: usize| answered(&client, direct(SMALL, &prompt(n), 28));
    let mut alone = Vec::new();
    for n in 0..16 {
        alone.push(ask(n).await.finished.text);
    }
    let distinct: BTreeSet<&String> = alone.iter().collect();
    assert_eq!(distinct.len(), 16, "answers that differ, or mixing would not show");

    let together: Vec<_> = (0..16)
        .map(|n| {
            let (client, request) = (client.clone(), direct(SMALL, &prompt(n), 28));
            tokio::spawn(async move { answered(&client, request).await })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in together {
        answers.push(answer.await.expect("an answer"));
    }
    let first_end = answers.iter().map(|answer| answer.end).min().expect("sixteen answers");
    for (n, (answer, alone)) in answers.iter().zip(&alone).enumerate() {
        assert_eq!(&answer.finished.text, alone, "{:?} is answered as when asked alone", prompt(n));
        assert!(answer.first_text < first_end, "{:?} waited until another was done", prompt(n));
    }
}

#[tokio::test]
async fn a_caller_that_leaves_frees_its_place() {
    let (_server, client) = warm_server().await;
    let (events, _) = begun(&client, endless()).await;
    assert_eq!(status(&client, SMALL).await.active, 1);
    drop(events);
    becomes_idle(&client, SMALL, FREED).await;
}

#[tokio::test]
async fn a_deadline_ends_a_long_answer_on_time() {
    let (_server, client) = warm_server().await;
    let limit = Duration::from_millis(300);
    let started = Instant::now();
    let events = client.generate(endless(), limit).await.expect("an accepted request");
    let outcome = read_to_end(events, String::new()).await;
    let took = started.elapsed();
    match outcome {
        Ok(answer) => assert_eq!(answer.finished.finish_reason, "deadline"),
        Err(error) => assert_eq!(error.code, "DEADLINE", "{error:?}"),
    }
    assert!(took < limit + Duration::from_secs(1), "{took:?}");
    becomes_idle(&client, SMALL, FREED).await;
}

#[tokio::test]
async fn killed_clients_do_not_disturb_the_others() {
    let (server, client) = warm_server().await;
    let expected = answered(&client, direct(SMALL, "Describe a harbour.", 32)).await.finished.text;
    let spawn = |flags: &[&str]| {
        let args = ["ask", "--server", &server.grpc, "--model", SMALL];
        understudy(args.iter().chain(flags)).spawn()
    };
    let mut doomed: Vec<Child> = (0..3).map(|_| spawn(&["--regex", ENDLESS, "Tell me a story."])).collect();
    let until = Instant::now() + PATIENCE;
    while status(&client, SMALL).await.active < 3 {
        assert!(Instant::now() < until, "three clients are served");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut staying = spawn(&["--max-tokens", "32", "Describe a harbour."]);
    for child in &mut doomed {
        child.kill().expect("a killed client");
        child.wait().expect("a dead client");
    }
    let code = exit_code(&mut staying, PATIENCE);
    let output = staying.wait_with_output().expect("its output");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!((code, text.trim_end()), (Some(Some(0)), expected.trim_end()));
    becomes_idle(&client, SMALL, FREED).await;
}

#[tokio::test]
async fn a_terminated_node_finishes_its_streams() {
    let (mut server, client) = warm_server().await;
    let request = direct(SMALL, "Tell me a long story about the sea.", 64);
    let expected = answered(&client, request.clone()).await.finished;
    let (events, shown) = begun(&client, request).await;
    let other = server.client().await;
    server.terminate();
    let answer = read_to_end(events, shown).await.expect("the stream is finished");
    assert_eq!(answer.finished.text, expected.text, "to its real end");
    assert_eq!(answer.finished.finish_reason, expected.finish_reason);
    assert_eq!(server.ended(SOON), Some(0));
    assert!(other.models(Duration::from_secs(1)).await.is_err(), "nothing is left to answer");
}

#[tokio::test]
async fn a_draining_node_takes_nothing_new() {
    ensure_models();
    let server =
        Server::with_config(&format!("[[ladder]]\nmodel = {SMALL:?}\n[timeouts]\ndrain_ms = 1500\n"));
    let client = server.client().await;
    let (events, shown) = begun(&client, endless()).await;
    let terminated = Instant::now();
    server.terminate();
    assert!(is_serving_soon(&client, "", false).await, "health says so");
    let error = match client.generate(direct(SMALL, "Hi", 1), SOON).await {
        Err(error) => error,
        Ok(events) => read_to_end(events, String::new()).await.err().expect("a refusal"),
    };
    assert_eq!(error.code, "DRAINING", "{error:?}");
    // What does not end in the drain time is cut, and hears why.
    match read_to_end(events, shown).await {
        Ok(answer) => assert_eq!(answer.finished.finish_reason, "cancelled"),
        Err(error) => assert_eq!(error.code, "DRAINING", "{error:?}"),
    }
    let mut server = server;
    assert_eq!(server.ended(SOON), Some(0));
    assert!(terminated.elapsed() < Duration::from_secs(5), "{:?}", terminated.elapsed());
}

#[tokio::test]
async fn a_terminated_node_refuses_who_waits_and_finishes_who_runs() {
    ensure_models();
    let limits = "[limits]\nrunning = 1\n[timeouts]\ndrain_ms = 60000\n";
    let config = format!("[[ladder]]\nmodel = {SMALL:?}\n{limits}");
    let mut server = Server::with_config(&config);
    let client = server.client().await;
    // Some seconds' worth of an answer that cannot end sooner: it runs while the others come, wait and are refused.
    let long = GenerateRequest { max_tokens: Some(300), ..endless() };
    let (events, shown) = begun(&client, long).await;
    let others: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { refusal(&client, direct(SMALL, "Hi", 1)).await })
        })
        .collect();
    let until = Instant::now() + SOON;
    while waiting(&server) < others.len() {
        assert!(Instant::now() < until, "three requests wait: {}", waiting(&server));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.terminate();
    for other in others {
        let error = other.await.expect("a refusal");
        assert_eq!(error.code, "DRAINING", "{error:?}");
        assert!(error.retry_after.is_some());
    }
    let answer = read_to_end(events, shown).await.expect("the stream is finished");
    assert_eq!(answer.finished.finish_reason, "constraint", "to its own end");
    assert_eq!(server.ended(SOON), Some(0));
}

/// How many requests wait for a place on the node, of any priority.
fn waiting(server: &Server) -> usize {
    let (_, metrics) = server.get("/metrics");
    let samples = metrics.lines().filter(|line| line.starts_with("understudy_requests_waiting{"));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

#[tokio::test]
async fn a_full_context_ends_an_answer_and_a_longer_prompt_is_refused() {
    let model = tiny();
    let small = "[engine]\ncontext_tokens = 64\nkv_tokens = 128\n";
    let server = Server::with_config(&format!("[[ladder]]\nmodel = {model:?}\n{small}"));
    let client = server.client().await;
    let full = answered(&client, direct(&model, "hi", 500)).await.finished;
    let usage = full.usage.expect("usage");
    assert_eq!(full.finish_reason, "length", "{full:?}");
    assert_eq!(usage.prompt_tokens + usage.completion_tokens, 64, "{usage:?}");
    let error = refusal(&client, direct(&model, &"word ".repeat(100), 1)).await;
    assert_eq!(error.code, "CONTEXT_OVERFLOW");
    assert_eq!(error.metadata.get("context").map(String::as_str), Some("64"), "{error:?}");
}

#[tokio::test]
async fn a_terminated_idle_node_ends_at_once() {
    let mut server = Server::with_ladder(&[&tiny()]);
    let client = server.client().await;
    answered(&client, direct(&tiny(), "hi", 4)).await;
    server.terminate();
    assert_eq!(server.ended(Duration::from_secs(2)), Some(0));
}

#[tokio::test]
async fn models_load_and_unload() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, twin) = (tiny(), tiny_twin(folder.path()));
    let server = Server::with_ladder(&[&model]);
    let client = server.client().await;
    let health = |name: &str| format!("models/{name}");

    let mut states = Vec::new();
    let mut load = client.load(&twin, ANSWER).await.expect("an accepted load");
    while let Some(status) = load.next().await {
        states.push(status.expect("a status").state);
    }
    assert_eq!(states.last().map(String::as_str), Some("ready"), "{states:?}");
    let ready = status(&client, &twin).await;
    assert!(ready.context > 0 && !ready.numerics.is_empty(), "{ready:?}");
    assert!(is_serving_soon(&client, &health(&twin), true).await);
    let before = answered(&client, direct(&twin, "hi", 8)).await.finished.text;

    let unloaded = client.unload(&twin, ANSWER).await.expect("an unloaded model");
    assert_eq!(unloaded.state, "unloaded");
    assert!(is_serving_soon(&client, &health(&twin), false).await);
    assert_eq!(client.unload("nobody", SOON).await.expect_err("a refusal").code, "MODEL_UNKNOWN");
    // Asking loads it again.
    assert_eq!(answered(&client, direct(&twin, "hi", 8)).await.finished.text, before);
    assert!(is_serving_soon(&client, &health(&twin), true).await);
    assert!(client.is_serving("", SOON).await.expect("health"));
    assert!(client.is_serving("understudy.v1.Inference", SOON).await.expect("health"));
    assert!(client.is_serving("models/nobody", SOON).await.is_err(), "an unknown name has no health");
}

/// Health follows a state within a second.
async fn is_serving_soon(client: &Client, service: &str, expected: bool) -> bool {
    for _ in 0..50 {
        if client.is_serving(service, SOON).await.is_ok_and(|serving| serving == expected) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn a_damaged_model_disturbs_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = std::fs::read(tiny()).expect("the tiny model");
    bytes.truncate(bytes.len() / 2);
    let damaged = written(folder.path(), "damaged.gguf", bytes);
    let model = tiny();
    let server = Server::with_ladder(&[&damaged, &model]);
    let client = server.client().await;
    let expected = answered(&client, direct(&model, "hi", 16)).await.finished.text;

    let mut load = client.load(&damaged, ANSWER).await.expect("an accepted load");
    let mut refusal = None;
    while let Some(status) = load.next().await {
        refusal = status.err().or(refusal);
    }
    let refusal = refusal.expect("a load that fails");
    assert_eq!((refusal.code.as_str(), refusal.message.contains("truncated")), ("MODEL_LOAD_FAILED", true));
    let broken = status(&client, &damaged).await;
    assert!(broken.state != "ready" && broken.detail.contains("truncated"), "{broken:?}");

    assert_eq!(answered(&client, direct(&model, "hi", 16)).await.finished.text, expected);
    assert_eq!(status(&client, &model).await.restarts, 0);
    assert!(client.is_serving("", SOON).await.expect("health"), "one rung is enough");
    assert_eq!(server.get("/readyz").0, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_node_can_be_looked_at() {
    let model = tiny();
    let server = Server::with_ladder(&[&model]);
    let client = server.client().await;
    answered(&client, direct(&model, "hi", 8)).await;
    assert_eq!(server.get("/healthz"), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    assert_eq!(server.get("/readyz"), ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned()));
    assert_eq!(server.get("/no-such-page").0, "HTTP/1.1 404 Not Found");

    let json = understudy(["ps", "--json", "--server", &server.grpc]).run();
    assert_eq!((json.code, json.stdout.lines().count()), (Some(0), 1), "{}", json.stderr);
    let slots: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let slots = slots.as_array().expect("an array");
    let slot = slots.iter().find(|slot| slot["model"] == model.as_str()).expect("the loaded model");
    assert_eq!((&slot["state"], &slot["active"], &slot["restarts"]), (&"ready".into(), &0.into(), &0.into()));
    assert!(slots.iter().any(|slot| slot["model"] == SMALL), "the catalogue is listed");
    let table = understudy(["ps", "--server", &server.grpc]).run();
    assert!(table.code == Some(0) && table.stdout.starts_with("MODEL"), "{}", table.stdout);
}
