//! The cluster by its commands, and the script that shows one.

mod common;

use std::{path::Path, process::Command, time::Duration};

use common::{SMALL, ensure_models, node::Server, understudy, written};
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use understudy_agents::Client;
use understudy_cluster::identity::ClusterFiles;
use understudy_proto::v1::{Constraint, GenerateRequest, constraint::Kind, generate_event::Event};

/// Long enough for anything that computes little.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn commands_say_what_a_node_is_in() {
    let home = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let ended = understudy(args).env("UNDERSTUDY_HOME", home.path()).run();
        (ended.code, ended.stdout + &ended.stderr)
    };
    let refused = |args: &[&str], exit: i32, code: &str| {
        let (status, said) = run(args);
        assert!(
            status == Some(exit) && said.contains(&format!("error[{code}]")),
            "{args:?}: {status:?} {said}"
        );
    };
    refused(&["cluster", "leave"], 3, "CLUSTER_NONE");
    refused(&["cluster", "join", "no code", "--peer", "127.0.0.1:1"], 2, "REQUEST_INVALID");
    refused(&["cluster", "join", "K7QF2-M9XTB", "--peer", "127.0.0.1:1"], 3, "CLUSTER_UNREACHABLE");
    refused(&["cluster", "status", "--server", "127.0.0.1:1"], 3, "SERVER_UNREACHABLE");
    let (status, said) = run(&["cluster", "init", "--name", "lab"]);
    assert!(status == Some(0) && said.contains("\"lab\""), "{said}");
    refused(&["cluster", "init"], 2, "CLUSTER_MEMBER");
    refused(&["cluster", "join", "K7QF2-M9XTB"], 2, "CLUSTER_MEMBER");
    let own = ClusterFiles::at(home.path().join("cluster")).open().expect("a member").key.fingerprint();
    refused(&["cluster", "revoke", &own.to_string()], 2, "REQUEST_INVALID");
    let (status, said) = run(&["cluster", "revoke", &"0".repeat(64), "--reason", "lost"]);
    assert!(status == Some(0) && said.contains("0000000000000000"), "{said}");
    let (status, said) = run(&["cluster", "leave"]);
    assert!(status == Some(0) && said.contains("left"), "{said}");
    refused(&["cluster", "leave"], 3, "CLUSTER_NONE");
}

/// Two commands on each node join them, and one without the model answers.
#[cfg(unix)]
#[test]
fn the_demo_shows_three_nodes() {
    let begun = std::time::Instant::now();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo-cluster");
    let mut demo = Command::new(script);
    let output = demo.env("UNDERSTUDY", env!("CARGO_BIN_EXE_understudy")).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches(" alive ").count(), 2, "{said}");
    let answer = said.rsplit("answers all the same").next().unwrap_or_default();
    assert!(answer.split_whitespace().count() > 10, "{said}");
    assert!(begun.elapsed().as_secs() < 60);
}

/// Where the small model's file is, by which nodes with other homes know it.
fn small_model() -> String {
    ensure_models();
    let listed = understudy(["models", "--json"]).run();
    let models: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let is_small = |model: &&serde_json::Value| model["name"] == SMALL;
    let found = models.as_array().expect("a list").iter().find(is_small).expect("it is listed");
    found["path"].as_str().expect("it is on disk").to_owned()
}

/// A node of this build with these models; its settings, for commands.
fn node(folder: &Path, name: &str, model: Option<&str>) -> (Server, String) {
    let home = folder.join(name);
    let ladder = model.map(|model| format!("[[ladder]]\nmodel = {model:?}\n")).unwrap_or_default();
    let cluster = format!("name = {name:?}\nlisten = \"127.0.0.1:0\"\ndiscovery = false");
    // One that is given no model loads none of its own ladder beside the test.
    let preload = model.is_some();
    let settings = format!(
        "home = {home:?}\nledger.enabled = false\nengine.preload = {preload}\n{ladder}[cluster]\n{cluster}\n"
    );
    let config = written(folder, &format!("{name}.toml"), settings);
    (Server::spawned(understudy(["serve", "--config", &config])), config)
}

/// Waits until a node hears so many others that have their model ready.
async fn hears(client: &Client, count: usize) {
    let begun = Instant::now();
    loop {
        let status = client.cluster_status(SOON).await.expect("a status");
        let is_able = |node: &&understudy_proto::v1::NodeStatus| {
            node.state == "alive" && node.models.iter().any(|model| model.state == "ready")
        };
        if status.nodes.iter().filter(is_able).count() == count {
            return;
        }
        assert!(begun.elapsed() < SOON, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Half of an answer under a constraint is written on one node and the rest on another, by a real model: no character is
/// missing, and none is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_a_constraint_goes_on_where_its_node_was_killed() {
    let (model, folder) = (small_model(), tempfile::tempdir().expect("a folder"));
    let (first, settings) = node(folder.path(), "first", Some(&model));
    let (second, others) = node(folder.path(), "second", Some(&model));
    let (gateway, own) = node(folder.path(), "gateway", None);
    for joiner in [&others, &own] {
        let invite = ["cluster", "invite", "--json", "--server", &first.grpc, "--config", &settings];
        let invited = understudy(invite).run();
        let shown: serde_json::Value = serde_json::from_str(&invited.stdout).expect(&invited.stderr);
        let (code, peer) = (shown["code"].as_str(), shown["addresses"][0].as_str());
        let join = ["cluster", "join", code.expect("a code"), "--peer", peer.expect("an address")];
        let joined = understudy(join.into_iter().chain(["--config", joiner])).run();
        assert_eq!(joined.code, Some(0), "{}", joined.stderr);
    }
    let client = gateway.client().await;
    hears(&client, 2).await;

    let constraint = Constraint { kind: Some(Kind::Regex("([a-z]{2,9} ){160}[a-z]{5}!".into())) };
    let asked = GenerateRequest {
        prompt: "Tell me a long story about a lighthouse.".into(),
        model,
        max_tokens: Some(1200),
        constraint: Some(constraint),
        ..GenerateRequest::default()
    };
    let mut events = client.generate(asked, 3 * SOON).await.expect("an answer");
    let (mut text, mut nodes, mut end) = (String::new(), vec![("first", first), ("second", second)], None);
    while let Some(event) = events.next().await {
        match event.expect("it goes on").event {
            Some(Event::Delta(delta)) => {
                text.push_str(&delta.text);
                if text.len() > 120 && nodes.len() == 2 {
                    let status = client.cluster_status(SOON).await.expect("a status");
                    let is_busy = |node: &&understudy_proto::v1::NodeStatus| {
                        node.state == "alive" && node.models.iter().any(|model| model.active > 0)
                    };
                    // Nodes tell of their loads twice a second; until then the answer just goes on.
                    let Some(busy) = status.nodes.iter().find(is_busy) else { continue };
                    // Dropping it kills it.
                    nodes.retain(|(name, _)| *name != busy.name);
                    assert_eq!(nodes.len(), 1, "{busy:?}");
                }
            }
            Some(Event::Retracted(_)) => panic!("nothing is withdrawn"),
            Some(Event::Finished(finished)) => end = Some(finished),
            _ => {}
        }
    }
    assert_eq!(nodes.len(), 1, "it ended before anybody was known to be busy");
    let end = end.expect("an end");
    assert_eq!((end.finish_reason.as_str(), &end.text), ("constraint", &text));
    let words: Vec<&str> = text.strip_suffix('!').expect("its last letter").split(' ').collect();
    assert_eq!(words.len(), 161, "{text}");
    let is_word =
        |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase()) && (2..=9).contains(&word.len());
    assert!(words.iter().all(is_word) && words[160].len() == 5, "{text}");
}
