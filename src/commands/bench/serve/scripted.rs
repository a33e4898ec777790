//! A node over an engine that computes nothing: each step takes the same time, whatever else the machine does.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tonic::transport::{Channel, Endpoint};
use understudy_actors::scripted::{Script, ScriptedModels};
use understudy_actors::{EngineConfig, LocalSlots, NodeHealth, NodeTree, SlotConfig, TreeOptions};
use understudy_backend::{Backend, BackendError, LoadEvent, RequestCtx, Slots as _};
use understudy_gateway::config::{Ledger, Limits, Listen, Rung};
use understudy_gateway::{Failure, ModelControl, Node, NodeConfig, Parts, codes};
use understudy_proto::v1::{ModelStatus, inference_client::InferenceClient};
use understudy_router::RouterHandle;

use crate::error::Error;

/// The name of its model.
pub const MODEL: &str = "scripted";

const PATIENCE: Duration = Duration::from_secs(5);
/// Calls on one connection: more than any load here has, or calls would wait in the client and nobody would see it.
const STREAMS: u32 = 4096;

/// A node that listens on loopback.
pub struct Scripted {
    pub node: Node,
    pub address: String,
    slots: LocalSlots,
    tree: NodeTree,
}

impl Scripted {
    /// An engine that decodes so many sequences in a step, and a queue of as many requests behind them.
    pub async fn start(step: Duration, sequences: usize) -> Result<Self, Error> {
        Self::start_with_queue(step, sequences, sequences).await
    }

    /// The same, with a queue of this length.
    pub async fn start_with_queue(step: Duration, sequences: usize, queue: usize) -> Result<Self, Error> {
        let script = Script::new(MODEL);
        script.tick_time(step);
        let models = Arc::new(ScriptedModels::new([script]));
        let health = Arc::new(NodeHealth::default());
        let engine =
            EngineConfig { max_sequences: sequences, health: health.clone(), ..EngineConfig::new("") };
        let slots = LocalSlots::new(SlotConfig::new(engine), models.clone(), models);
        let tree = NodeTree::start(TreeOptions::default(), slots.clone(), health, vec![]);
        let tree = tree.await.map_err(|error| Error::internal(error.to_string()))?;
        let config = settings(MODEL, sequences, sequences + queue);
        let shared = Arc::new(slots.clone());
        let router = RouterHandle::spawn(config.router()?, shared.clone());
        let router = router.await.map_err(|error| Error::internal(error.to_string()))?;
        let control = Arc::new(OneModel { slots: slots.clone(), changed: watch::Sender::new(0) });
        let node = Node::assemble(config, Parts { router, slots: shared, control });
        let address = node.serve(understudy_http::routes(&node)).await?.grpc.to_string();
        let started = Self { node, address, slots, tree };
        started.backend().await?;
        Ok(started)
    }

    /// The engine, without anything of the gateway.
    pub async fn backend(&self) -> Result<Arc<dyn Backend>, Error> {
        let (progress, _) = mpsc::channel(1);
        let loaded = self.slots.backend(&RequestCtx::new("bench"), MODEL, progress).await;
        loaded.map_err(|error| Failure::from(error).into())
    }

    /// A connection of its own.
    pub async fn client(&self) -> Result<InferenceClient<Channel>, Error> {
        connect(&self.address).await
    }

    pub async fn stop(self) {
        self.node.drain().await;
        self.tree.drain(PATIENCE).await;
    }
}

/// A connection of its own to a node under load.
pub async fn connect(address: &str) -> Result<InferenceClient<Channel>, Error> {
    let unreachable = |error: tonic::transport::Error| Error::internal(error.to_string());
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(unreachable)?;
    let channel = endpoint.connect_timeout(PATIENCE).tcp_nodelay(true).connect().await;
    Ok(InferenceClient::new(channel.map_err(unreachable)?))
}

/// Settings of a node under load, with one model.
pub fn settings(model: &str, sequences: usize, requests: usize) -> NodeConfig {
    let mut config = NodeConfig {
        ladder: vec![Rung { model: model.to_owned(), threshold: None }],
        listen: Listen {
            grpc: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            keys: false,
            ..Listen::default()
        },
        ledger: Ledger { enabled: false, ..Ledger::default() },
        limits: Limits { max_requests: requests, streams_per_connection: STREAMS, ..Limits::default() },
        ..NodeConfig::default()
    };
    config.engine.max_sequences = sequences;
    config
}

/// What a node wants to know of its models.
struct OneModel {
    slots: LocalSlots,
    changed: watch::Sender<u64>,
}

#[tonic::async_trait]
impl ModelControl for OneModel {
    fn list(&self) -> Vec<ModelStatus> {
        vec![ModelStatus { model: MODEL.to_owned(), state: "ready".to_owned(), ..ModelStatus::default() }]
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    async fn load(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        self.slots.backend(ctx, model, progress).await
    }

    async fn unload(&self, _: &RequestCtx, _: &str) -> Result<ModelStatus, Failure> {
        Err(Failure::new(codes::REQUEST_INVALID, "the scripted model stays"))
    }
}
