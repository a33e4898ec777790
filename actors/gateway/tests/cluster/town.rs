//! Nodes of one cluster in this process, each with a home, sockets and a scripted model of its own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::Instant;
use understudy_actors::scripted::{Script, ScriptedModels};
use understudy_agents::Client;
use understudy_cluster::{
    identity::{ClusterFiles, NodeKey, SystemClock},
    join,
};
use understudy_gateway::{Node, NodeConfig};

use crate::SOON;

/// One node.
pub struct Citizen {
    pub node: Node,
    pub client: Client,
    /// Where it serves gRPC.
    pub address: String,
    /// The scripts of its models, by their places in the town's list.
    pub scripts: Vec<Script>,
    pub home: tempfile::TempDir,
}

/// A file that stands for a model: its path is the model's name.
pub fn model(folder: &std::path::Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, b"GGUF").unwrap();
    path.to_str().unwrap().to_owned()
}

impl Citizen {
    /// A node with these models, in no cluster.
    pub async fn settle(models: &[String]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let ladder: String = models.iter().map(|model| format!("[[ladder]]\nmodel = {model:?}\n")).collect();
        let settings = format!("home = {:?}\n{ladder}", home.path());
        let mut config = NodeConfig::parse(&settings, "test").unwrap();
        config.listen.grpc.set_port(0);
        config.listen.http.set_port(0);
        config.cluster.listen = "127.0.0.1:0".parse().unwrap();
        config.cluster.discovery = false;
        config.timeouts.drain_ms = 2000;
        let scripts: Vec<Script> = models.iter().map(Script::new).collect();
        let node = Node::start(config, Arc::new(ScriptedModels::new(scripts.clone()))).await.unwrap();
        let addresses = node.serve(Default::default()).await.unwrap();
        let client = Client::connect(&addresses.grpc.to_string(), SOON).await.unwrap();
        Self { node, client, address: addresses.grpc.to_string(), scripts, home }
    }

    pub fn files(&self) -> ClusterFiles {
        ClusterFiles::at(self.folder())
    }

    pub fn folder(&self) -> PathBuf {
        self.home.path().join("cluster")
    }

    /// Makes a cluster, and has the node notice.
    pub async fn found(&self) {
        self.files().init("town", &SystemClock).unwrap();
        self.node.cluster().unwrap().look().await.unwrap();
    }

    /// Lets another node in, and has it notice.
    pub async fn admit(&self, other: &Self) {
        self.welcome(other).await;
        other.node.cluster().unwrap().look().await.unwrap();
    }

    /// Lets another node in, which does not know it yet.
    pub async fn welcome(&self, other: &Self) {
        let invited = self.client.invite(false, SOON).await.unwrap();
        let code = invited.code.parse().unwrap();
        let key = NodeKey::generate().unwrap();
        let welcome = join(&invited.addresses[0], &code, &key, "newcomer").await.unwrap();
        other.files().join(key, *welcome, &SystemClock).unwrap();
    }

    /// Waits until it sees so many others alive.
    pub async fn sees(&self, others: usize) -> Duration {
        let begun = Instant::now();
        loop {
            let status = self.client.cluster_status(SOON).await.unwrap();
            if status.nodes.iter().filter(|node| node.state == "alive").count() == others {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < SOON, "{status:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
