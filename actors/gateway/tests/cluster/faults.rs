//! What becomes of answers when nodes are killed or freeze.

use std::time::Duration;

use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use understudy_agents::{Client, ClientError};
use understudy_proto::v1::{GenerateRequest, generate_event::Event};

use crate::{
    SOON, ask,
    process::{Kind, Place, Process, joined, joined_at},
    town::model,
};

/// What a scripted engine writes: token `n` of a sequence is `a + n % 26`, so a repeated or lost token shows.
pub fn is_unbroken(text: &str) -> bool {
    text.as_bytes().windows(2).all(|pair| (pair[1] - b'a') == (pair[0] - b'a' + 1) % 26)
}

/// One answer, read to its end: its text and finish reason, and the longest pause between two pieces.
pub async fn tried(
    client: &Client,
    request: GenerateRequest,
) -> Result<(String, String, Duration), ClientError> {
    let mut events = client.generate(request, 3 * SOON).await?;
    let (mut text, mut reason, mut longest) = (String::new(), String::new(), Duration::ZERO);
    let mut last = Instant::now();
    while let Some(event) = events.next().await {
        match event?.event {
            Some(Event::Delta(delta)) => {
                text.push_str(&delta.text);
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            Some(Event::Retracted(_)) => panic!("nothing is withdrawn"),
            Some(Event::Finished(finished)) => reason = finished.finish_reason,
            _ => {}
        }
    }
    Ok((text, reason, longest))
}

/// The same of one that must not fail.
pub async fn answer(client: &Client, request: GenerateRequest) -> (String, String, Duration) {
    tried(client, request).await.unwrap()
}

pub fn request(model: &str, tokens: u32) -> GenerateRequest {
    GenerateRequest { model: model.into(), max_tokens: Some(tokens), ..ask("tell me the alphabet") }
}

/// The node, of those beside the first, that serves something now.
async fn busy(first: &Process) -> Option<String> {
    let status = first.client.cluster_status(SOON).await.unwrap();
    let serving = |node: &&understudy_proto::v1::NodeStatus| {
        node.state == "alive" && node.models.iter().any(|model| model.active > 0)
    };
    status.nodes.iter().find(serving).map(|node| node.name.clone())
}

/// A gateway without models, and two nodes that have one.
async fn three(folder: &std::path::Path, tick_ms: u64) -> (Vec<Process>, String) {
    let name = model(folder, "m.gguf");
    let kind = Kind { tick_ms, sequences: 32, models: vec![name.clone()] };
    let nodes = joined(folder, 3, &kind).await;
    (nodes, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_is_seen_at_once_and_its_answers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, name) = three(folder.path(), 10).await;
    let client = nodes[0].client.clone();
    let answers: Vec<_> = (0..24)
        .map(|_| {
            let (client, request) = (client.clone(), request(&name, 300));
            tokio::spawn(async move { answer(&client, request).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(busy(&nodes[0]).await.is_some(), "others serve too");
    nodes[1].kill();
    let killed = Instant::now();
    while nodes[0].count("dead").await == 0 {
        assert!(killed.elapsed() < Duration::from_secs(1));
    }
    println!("kill -9 seen after {:?}", killed.elapsed());
    for answer in answers {
        let (text, reason, longest) = answer.await.unwrap();
        assert_eq!((text.len(), reason.as_str()), (300, "length"));
        assert!(is_unbroken(&text), "{text}");
        assert!(longest < Duration::from_secs(1), "{longest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_node_is_given_up_and_comes_back_when_it_thaws() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, name) = three(folder.path(), 10).await;
    let client = nodes[0].client.clone();
    let answers: Vec<_> = (0..24)
        .map(|_| {
            let (client, request) = (client.clone(), request(&name, 300));
            tokio::spawn(async move { answer(&client, request).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(800)).await;
    nodes[2].signal("STOP");
    let frozen = Instant::now();
    while nodes[0].count("dead").await == 0 {
        assert!(frozen.elapsed() < Duration::from_millis(3_500));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("a frozen peer is dead after {:?}", frozen.elapsed());
    for answer in answers {
        let (text, reason, longest) = answer.await.unwrap();
        assert_eq!((text.len(), reason.as_str()), (300, "length"));
        assert!(is_unbroken(&text), "{text}");
        assert!(longest < Duration::from_millis(4_500), "3.5 s for the verdict, and one: {longest:?}");
    }
    nodes[2].signal("CONT");
    nodes[0].sees(2).await;
    nodes[2].sees(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_finishes_what_it_has_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let name = model(folder.path(), "m.gguf");
    let kind = Kind { tick_ms: 10, sequences: 32, models: vec![name.clone()] };
    let mut places = [Place::free(), Place::free()];
    places[0].models = Some(vec![]);
    let mut nodes = joined_at(folder.path(), &places, &kind).await;
    let (client, asked) = (nodes[0].client.clone(), request(&name, 300));
    let before = tokio::spawn(async move { answer(&client, asked).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    nodes[1].tell("drain");
    let (text, reason, _) = before.await.unwrap();
    assert_eq!((text.len(), reason.as_str()), (300, "length"), "nobody else has the model");
    nodes[1].ends(Duration::from_secs(3)).await;
}
