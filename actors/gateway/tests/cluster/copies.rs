//! A node whose folder was copied, so that two machines say that they are one node.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    SOON,
    network::asks,
    process::{Kind, Process, joined},
    town::model,
};

fn log(node: &Process) -> String {
    std::fs::read_to_string(node.home.join("log")).unwrap()
}

/// Waits until the node's log says why it was refused.
async fn is_told(node: &Process, why: &str) -> Duration {
    let begun = Instant::now();
    while !log(node).contains(why) {
        assert!(begun.elapsed() < SOON, "{why:?} is not in the log:\n{}", log(node));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_start_of_a_copied_node_is_fenced_and_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let name = model(folder.path(), "m.gguf");
    let kind = Kind { tick_ms: 10, sequences: 32, models: vec![name.clone()] };
    let mut nodes = joined(folder.path(), 2, &kind).await;
    let home = folder.path().join("copy");
    std::fs::create_dir_all(home.join("cluster")).unwrap();
    for file in std::fs::read_dir(nodes[1].home.join("cluster")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), home.join("cluster").join(file.file_name())).unwrap();
    }
    let answers = asks(&nodes[0].client, &name, 16);
    tokio::time::sleep(Duration::from_millis(800)).await;
    let copy = Process::start(&home, &kind).await;
    let told = is_told(&nodes[1], "is over").await;
    answers.are_whole().await;
    // The gateway goes on with one of them.
    nodes[0].sees(1).await;
    asks(&nodes[0].client, &name, 8).are_whole().await;
    let status = nodes[0].client.cluster_status(SOON).await.unwrap();
    assert_eq!(status.nodes.len(), 2, "{status:#?}");
    assert_eq!(status.nodes[1].name, "copy");
    // The other still answers those that ask it.
    asks(&nodes[1].client, &name, 2).are_whole().await;
    println!("the older start is told after {told:?}");

    // Started again, the original is the newer one.
    nodes[1].restart().await;
    is_told(&copy, "is over").await;
    nodes[0].sees(1).await;
    asks(&nodes[0].client, &name, 8).are_whole().await;
}
