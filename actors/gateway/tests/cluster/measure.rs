//! What a cluster carries. On a quiet machine:
//! `cargo test --release -p understudy-gateway --test cluster -- --ignored --nocapture --test-threads 1 measure`

use std::time::Duration;

use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use understudy_agents::Client;
use understudy_proto::v1::{GenerateRequest, generate_event::Event};

use understudy_cluster::{
    identity::{NodeKey, SystemClock},
    join,
};

use crate::{
    SOON, ask,
    process::{Kind, Process},
    town::model,
};

const SEQUENCES: usize = 32;
const TOKENS: u32 = 130;

/// Answers of each stream, one after another.
const ANSWERS: u32 = 3;

/// Tokens per second of `streams` callers at once, who ask again when they are answered.
async fn rate(client: &Client, model: &str, streams: usize) -> f64 {
    let begun = Instant::now();
    let answers: Vec<_> = (0..streams)
        .map(|_| {
            let client = client.clone();
            let request =
                GenerateRequest { model: model.into(), max_tokens: Some(TOKENS), ..ask("the alphabet") };
            tokio::spawn(async move {
                let mut events = client.generate(request, 6 * SOON).await.unwrap();
                let mut tokens = 0;
                while let Some(event) = events.next().await {
                    if let Some(Event::Delta(delta)) = event.unwrap().event {
                        tokens += delta.tokens;
                    }
                }
                tokens
            })
        })
        .collect();
    let mut tokens = 0;
    for answer in answers {
        tokens += answer.await.unwrap();
    }
    assert_eq!(tokens, TOKENS * streams as u32);
    f64::from(tokens) / begun.elapsed().as_secs_f64()
}

/// Lets a node in, and waits until its model is known to be ready with that of so many others.
async fn admit(gateway: &Process, node: &Process, model: &str, able: usize) {
    let begun = Instant::now();
    let invited = loop {
        match gateway.client.invite(false, SOON).await {
            Ok(invited) => break invited,
            Err(error) => assert!(begun.elapsed() < SOON, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let key = NodeKey::generate().unwrap();
    let welcome = join(&gateway.cluster, &invited.code.parse().unwrap(), &key, "able").await.unwrap();
    node.files().join(key, *welcome, &SystemClock).unwrap();
    loop {
        let status = gateway.client.cluster_status(SOON).await.unwrap();
        let ready =
            status.nodes.iter().filter(|node| node.state == "alive").filter(|node| {
                node.models.iter().any(|found| found.model == model && found.state == "ready")
            });
        if ready.count() == able {
            return;
        }
        assert!(begun.elapsed() < 2 * SOON, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Processor seconds that a process has used.
fn processor(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15 of the line, in ticks of 10 ms.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a quiet machine"]
async fn measure_what_two_nodes_carry() {
    let folder = tempfile::tempdir().unwrap();
    let name = model(folder.path(), "m.gguf");
    let able = Kind { tick_ms: 40, sequences: SEQUENCES, models: vec![name.clone()] };
    let router = Kind { models: Vec::new(), ..able.clone() };
    let gateway = Process::start(&folder.path().join("gateway"), &router).await;
    gateway.files().init("measured", &SystemClock).unwrap();
    let one = Process::start(&folder.path().join("one"), &able).await;
    admit(&gateway, &one, &name, 1).await;
    rate(&gateway.client, &name, SEQUENCES).await;
    let alone = rate(&gateway.client, &name, SEQUENCES).await;
    let two = Process::start(&folder.path().join("two"), &able).await;
    admit(&gateway, &two, &name, 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = processor(gateway.pid());
    let both = rate(&gateway.client, &name, 2 * SEQUENCES).await;
    let used = processor(gateway.pid()) - before;
    let tokens = f64::from(TOKENS) * 2.0 * SEQUENCES as f64;
    println!("one node {alone:.0} tokens/s, two nodes {both:.0} tokens/s: {:.2} times", both / alone);
    println!(
        "the gateway: {:.1} us of processor per token, {:.0} tokens/s per core",
        used / tokens * 1e6,
        tokens / used
    );
}
