//! How nodes become one, and cease to be.

use std::time::Duration;

use understudy_proto::v1::{GenerateRequest, WatchClusterRequest, cluster_client::ClusterClient};

use crate::{
    SOON, ask, read,
    town::{Citizen, model},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_model_answers_with_the_one_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let name = model(folder.path(), "m.gguf");
    let (first, second) = (Citizen::settle(std::slice::from_ref(&name)).await, Citizen::settle(&[]).await);
    first.found().await;
    first.admit(&second).await;
    let mut cluster = ClusterClient::connect(format!("http://{}", first.address)).await.unwrap();
    let mut changes = cluster.watch(WatchClusterRequest {}).await.unwrap().into_inner();
    first.sees(1).await;
    second.sees(1).await;
    let mut turns = async |state: &str| loop {
        let change = tokio::time::timeout(SOON, changes.message()).await.expect(state).unwrap().unwrap();
        if change.state == state {
            return change.node;
        }
    };
    let own = turns("self").await;
    let other = turns("alive").await;
    assert_ne!(own, other);

    let direct = GenerateRequest { model: name.clone(), max_tokens: Some(30), ..ask("hi") };
    let (alone, _) = read(first.client.generate(direct.clone(), SOON).await.unwrap()).await;
    // The second learns with the first one's next facts that it is loaded.
    let begun = tokio::time::Instant::now();
    while second.node.cluster().unwrap().watch().borrow().nodes[0]
        .facts
        .models
        .iter()
        .all(|m| m.model != name)
    {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (there, end) = read(second.client.generate(direct, SOON).await.unwrap()).await;
    assert_eq!(there, alone);
    assert_eq!(end.unwrap().usage.unwrap().completion_tokens, 30);

    second.files().leave().unwrap();
    second.node.cluster().unwrap().look().await.unwrap();
    assert_eq!(turns("left").await, other, "it said goodbye");
    first.admit(&second).await;
    first.sees(1).await;
    let other = turns("alive").await;
    second.node.drain().await;
    assert_eq!(turns("dead").await, other, "a watcher is told");
    assert!(first.sees(0).await < Duration::from_secs(1), "a node that ends is missed at once");
    first.files().leave().unwrap();
    first.node.cluster().unwrap().look().await.unwrap();
    let mut gone = [turns("left").await, turns("left").await];
    gone.sort();
    let mut all = [own, other];
    all.sort();
    assert_eq!(gone, all, "this one is in no cluster any more; who left before is not told of again");
    first.node.drain().await;
}
