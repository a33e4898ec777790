//! A node whose engine is scripted, in a process of its own: for tests that kill, freeze and cut off nodes.
//!
//! ```text
//! scripted_node HOME CLUSTER_ADDR TICK_MS SEQUENCES [advertise=ADDR] [peer=ADDR] [grpc=IP] [discovery=on] [tick=MS] MODEL...
//! ```
//! Prints `ready grpc=ADDR`, then obeys lines on its standard input: `panic N`, `hang N` (at the n-th token of the next
//! run), `release`, `drain`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of tests")]

use std::{sync::Arc, time::Duration};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use understudy_actors::scripted::{Fault, Script, ScriptedModels};
use understudy_gateway::{Node, NodeConfig};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info").init();
    let (named, args): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| {
        ["advertise=", "peer=", "grpc=", "discovery=", "tick="].iter().any(|key| word.starts_with(key))
    });
    let all = |key: &str| -> Vec<String> {
        named.iter().filter_map(|word| word.strip_prefix(key)).map(Into::into).collect()
    };
    let [home, cluster, tick_ms, sequences, models @ ..] = args.as_slice() else {
        panic!("HOME CLUSTER_ADDR TICK_MS SEQUENCES MODEL...");
    };
    let ladder: String = models.iter().map(|model| format!("[[ladder]]\nmodel = {model:?}\n")).collect();
    let settings = format!("home = {home:?}\n{ladder}[ledger]\nenabled = false\n");
    let mut config = NodeConfig::parse(&settings, "arguments").unwrap();
    let sequences: usize = sequences.parse().unwrap();
    config.listen.grpc.set_port(0);
    config.listen.http.set_port(0);
    for ip in all("grpc=") {
        // The test's own namespaces hold nobody else.
        config.listen.insecure = true;
        config.listen.grpc.set_ip(ip.parse().unwrap());
    }
    config.engine.max_sequences = sequences;
    config.engine.preload = !models.is_empty();
    config.limits.max_requests = sequences * 8;
    config.limits.running = sequences * 4;
    config.limits.queue_per_model = sequences * 8;
    config.cluster.listen = cluster.parse().unwrap();
    config.cluster.name = home.rsplit('/').next().unwrap().to_owned();
    config.cluster.discovery = all("discovery=") == ["on"];
    config.cluster.advertise = all("advertise=");
    config.cluster.peers = all("peer=");
    config.timeouts.drain_ms = 5_000;
    let scripts: Vec<Script> = models.iter().map(Script::new).collect();
    let tick_ms = all("tick=").pop().unwrap_or_else(|| tick_ms.clone());
    let tick = Duration::from_millis(tick_ms.parse().unwrap());
    scripts.iter().for_each(|script| script.tick_time(tick));
    let node = Node::start(config, Arc::new(ScriptedModels::new(scripts.clone()))).await.unwrap();
    let addresses = node.serve(Default::default()).await.unwrap();
    println!("ready grpc={}", addresses.grpc);

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["panic", n] => {
                scripts.iter().for_each(|s| s.break_at(n.parse().unwrap(), Fault::Panic("told to".into())))
            }
            ["hang", n] => scripts.iter().for_each(|s| s.break_at(n.parse().unwrap(), Fault::Hang)),
            ["release"] => scripts.iter().for_each(Script::release),
            ["drain"] => break,
            other => panic!("unknown: {other:?}"),
        }
        println!("done {line}");
    }
    node.drain().await;
}
