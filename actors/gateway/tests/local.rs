//! A whole node of this machine: hub folder, supervision tree, engine threads, sockets.
//! Only the engine itself is scripted.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{SOON, ask, read, refusal};
use tokio_stream::StreamExt as _;
use understudy_actors::scripted::{Fault, Script, ScriptedModels};
use understudy_agents::Client;
use understudy_gateway::{Node, NodeConfig, codes};
use understudy_proto::{names, v1::GenerateRequest};

struct Local {
    node: Node,
    client: Client,
    script: Script,
    model: String,
    _home: tempfile::TempDir,
}

/// A node with one model, by path, as its ladder.
async fn start() -> Local {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("own.gguf");
    std::fs::write(&path, b"GGUF").unwrap();
    let model = path.to_str().unwrap().to_owned();
    let settings = format!("home = {:?}\n[[ladder]]\nmodel = {model:?}\n", home.path());
    let mut config = NodeConfig::parse(&settings, "test").unwrap();
    config.listen.grpc.set_port(0);
    config.listen.http.set_port(0);
    config.timeouts.drain_ms = 2000;
    let script = Script::new(model.clone());
    let node = Node::start(config, Arc::new(ScriptedModels::new([script.clone()]))).await.unwrap();
    let addresses = node.serve(Default::default()).await.unwrap();
    let client = Client::connect(&addresses.grpc.to_string(), SOON).await.unwrap();
    Local { node, client, script, model, _home: home }
}

fn short(prompt: &str) -> GenerateRequest {
    GenerateRequest { max_tokens: Some(5), ..ask(prompt) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_loads_on_demand_is_watched_and_unloads() {
    let local = start().await;
    let state = async || {
        let listed = local.client.models(SOON).await.unwrap();
        listed.into_iter().find(|status| status.model == local.model).map(|status| status.state)
    };
    assert_eq!(state().await, None, "a path is no model before it is used");
    assert!(local.client.is_serving("", SOON).await.unwrap(), "it loads on demand");
    let mut changes = local.client.watch(SOON).await.unwrap();

    let (text, end) = read(local.client.generate(short("hi"), SOON).await.unwrap()).await;
    assert_eq!((text.len(), end.unwrap().finish_reason.as_str()), (5, "length"));
    assert_eq!(state().await.as_deref(), Some("ready"));
    let ready = async {
        while let Some(change) = changes.next().await {
            let change = change.unwrap();
            if change.model == local.model && change.state == "ready" {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, ready).await.expect("the watcher never saw it ready");
    assert!(local.client.is_serving(&names::model_health(&local.model), SOON).await.unwrap());

    assert_eq!(local.client.unload(&local.model, SOON).await.unwrap().state, "unloaded");
    let unknown = refusal(&local.client, GenerateRequest { model: "smollm2-135n".into(), ..ask("x") }).await;
    assert_eq!(
        (unknown.code.as_str(), unknown.metadata["suggestion"].as_str()),
        ("MODEL_UNKNOWN", "smollm2-135m")
    );
    local.node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_and_a_damaged_one_are_told_apart() {
    let local = start().await;
    let missing =
        refusal(&local.client, GenerateRequest { model: "./no/such.gguf".into(), ..ask("x") }).await;
    assert_eq!(missing.code, codes::HUB_NOT_A_MODEL_FILE.name);
    local.script.refuse_loading(true);
    let damaged = refusal(&local.client, ask("x")).await;
    assert_eq!(
        (damaged.code.as_str(), damaged.metadata["cause"].as_str()),
        ("MODEL_LOAD_FAILED", "GGUF_TRUNCATED")
    );
    local.node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_engine_is_replaced_under_an_answer() {
    let local = start().await;
    local.script.break_at(2, Fault::Panic("boom".into()));
    let (text, end) = read(local.client.generate(short("hi"), Duration::from_secs(20)).await.unwrap()).await;
    assert_eq!((end.unwrap().text, text.len()), (text, 5), "the answer goes on where it was");
    assert_eq!(local.script.starts(), 2);
    local.node.drain().await;
}
