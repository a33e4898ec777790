//! What a cluster carries. On a quiet machine:
//! `cargo test --release -p understudy-gateway --test cluster -- --ignored --nocapture --test-threads 1 measure`

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};
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
/// Until callers that began together are spread out, and for how long is counted then.
const WARM: Duration = Duration::from_secs(8);
const COUNTED: Duration = Duration::from_secs(15);

/// Tokens in [`COUNTED`] and per second of it, of `streams` callers at once who ask again when they are answered. There
/// are twice as many as places, so that none need be free; `pid` is whose processor seconds are counted meanwhile.
async fn carried(client: &Client, model: &str, streams: usize, pid: u32) -> (f64, f64, f64) {
    let tokens = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..streams {
        let (client, tokens) = (client.clone(), tokens.clone());
        let request =
            GenerateRequest { model: model.into(), max_tokens: Some(TOKENS), ..ask("the alphabet") };
        callers.spawn(async move {
            loop {
                let mut events = client.generate(request.clone(), 6 * SOON).await.unwrap();
                while let Some(event) = events.next().await {
                    if let Some(Event::Delta(delta)) = event.unwrap().event {
                        tokens.fetch_add(delta.tokens.into(), Ordering::Relaxed);
                    }
                }
            }
        });
    }
    tokio::time::sleep(WARM).await;
    let (before, used, begun) = (tokens.load(Ordering::Relaxed), processor(pid), Instant::now());
    tokio::time::sleep(COUNTED).await;
    let count = (tokens.load(Ordering::Relaxed) - before) as f64;
    let (used, time) = (processor(pid) - used, begun.elapsed().as_secs_f64());
    assert!(callers.try_join_next().is_none(), "every caller goes on");
    (count, count / time, used)
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
    let (_, alone, _) = carried(&gateway.client, &name, 2 * SEQUENCES, gateway.pid()).await;
    let two = Process::start(&folder.path().join("two"), &able).await;
    admit(&gateway, &two, &name, 2).await;
    let (tokens, both, used) = carried(&gateway.client, &name, 4 * SEQUENCES, gateway.pid()).await;
    println!("one node {alone:.0} tokens/s, two nodes {both:.0} tokens/s: {:.2} times", both / alone);
    println!(
        "the gateway: {:.1} us of processor per token, {:.0} tokens/s per core",
        used / tokens * 1e6,
        tokens / used
    );
}
