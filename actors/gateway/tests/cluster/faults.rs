//! What becomes of answers when nodes are killed or freeze.

use std::time::Duration;

use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use understudy_agents::{Client, ClientError};
use understudy_proto::v1::{GenerateRequest, NodeStatus, generate_event::Event};

use crate::{
    SOON, ask,
    process::{Kind, Place, Process, joined_at},
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

/// The place of a node that serves something, as soon as the first one hears of it: loads are told twice a second.
async fn busy(nodes: &[Process]) -> usize {
    let begun = Instant::now();
    loop {
        let status = nodes[0].client.cluster_status(SOON).await.unwrap();
        let serving = |node: &&NodeStatus| node.models.iter().any(|model| model.active > 0);
        if let Some(node) = status.nodes.iter().find(serving) {
            return nodes.iter().position(|process| process.home.ends_with(&node.name)).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "somebody serves: {status:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A gateway without models, and so many nodes that have one.
async fn gateway_and(others: usize, folder: &std::path::Path) -> (Vec<Process>, String) {
    let name = model(folder, "m.gguf");
    let kind = Kind { tick_ms: 10, sequences: 32, models: vec![name.clone()] };
    let mut places: Vec<Place> = (0..=others).map(|_| Place::free()).collect();
    places[0].models = Some(vec![]);
    (joined_at(folder, &places, &kind).await, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_is_seen_at_once_and_its_answers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, name) = gateway_and(2, folder.path()).await;
    let client = nodes[0].client.clone();
    let answers: Vec<_> = (0..24)
        .map(|_| {
            let (client, request) = (client.clone(), request(&name, 300));
            tokio::spawn(async move { answer(&client, request).await })
        })
        .collect();
    let victim = busy(&nodes).await;
    nodes[victim].kill();
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
    let (nodes, name) = gateway_and(2, folder.path()).await;
    let client = nodes[0].client.clone();
    let answers: Vec<_> = (0..24)
        .map(|_| {
            let (client, request) = (client.clone(), request(&name, 300));
            tokio::spawn(async move { answer(&client, request).await })
        })
        .collect();
    let victim = busy(&nodes).await;
    nodes[victim].signal("STOP");
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
    nodes[victim].signal("CONT");
    nodes[0].sees(2).await;
    // Of the other two, one has a model.
    nodes[victim].sees(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_finishes_what_it_has_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, name) = gateway_and(1, folder.path()).await;
    let (client, asked) = (nodes[0].client.clone(), request(&name, 300));
    let before = tokio::spawn(async move { answer(&client, asked).await });
    busy(&nodes).await;
    nodes[1].tell("drain");
    let (text, reason, _) = before.await.unwrap();
    assert_eq!((text.len(), reason.as_str()), (300, "length"), "nobody else has the model");
    nodes[1].ends(Duration::from_secs(3)).await;
}
