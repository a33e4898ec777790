//! A node: router, models and servers as one thing that starts, answers and drains.

use std::fmt::Display;
use std::path::PathBuf;
use std::{sync::Arc, time::Duration};

use tokio::sync::{Mutex, watch};
use understudy_actors::{
    health::{HealthSignal, NodeHealth},
    tree::NodeTree,
};
use understudy_backend::Slots;
use understudy_cluster::Cluster;
use understudy_ledger::LedgerHandle;
use understudy_router::{LadderProfile, RouterConfig, RouterHandle, Rung, rules::Rules};
use understudy_telemetry::Telemetry;

use crate::{
    Addresses, Admission, ClusterService, ConnectionCounts, Failure, Inference, Keyring, ModelControl,
    Models, NodeConfig, codes, figures,
    health::Health,
    http,
    inference::Defaults,
    pages::Pages,
    server::{Servers, Sockets},
};

/// How long a stopping node waits for its ledger.
const LAST_NOTES: Duration = Duration::from_secs(6);

/// What a node is made of. Tests put fakes here.
pub struct Parts {
    /// Answers, over `slots`.
    pub router: RouterHandle,
    /// Finds models by name.
    pub slots: Arc<dyn Slots>,
    /// Lists, watches and unloads them.
    pub control: Arc<dyn ModelControl>,
}

/// A running node. Answers inside this process through [`inference`](Self::inference), and
/// to others after [`serve`](Self::serve).
pub struct Node {
    config: NodeConfig,
    parts: Parts,
    admission: Admission,
    watchers: Admission,
    inference: Inference,
    models: Models,
    keys: Keyring,
    servers: Mutex<Option<Servers>>,
    tree: Mutex<Option<NodeTree>>,
    cluster: Option<Cluster>,
    ledger: Option<LedgerHandle>,
    telemetry: Telemetry,
    health: Arc<NodeHealth>,
}

impl Node {
    /// A node of these parts. `config.ladder` names the default models.
    pub fn assemble(config: NodeConfig, parts: Parts) -> Self {
        let admission = Admission::new(config.capacity());
        let watchers = Admission::for_visits(config.limits.max_watchers);
        let longest_call = config.timeouts.request();
        let defaults = Defaults {
            model: config.ladder.first().map(|rung| rung.model.clone()).unwrap_or_default(),
            max_tokens: config.answer.max_tokens,
            deadline: longest_call,
        };
        let telemetry = figures::telemetry(&config, &parts.control);
        let (router, slots) = (parts.router.clone(), parts.slots.clone());
        let inference = Inference::new(router, slots, admission.clone(), defaults, telemetry.clone());
        let models = Models::new(parts.control.clone(), admission.clone(), watchers.clone(), longest_call);
        let tree = Mutex::new(None);
        let health = Arc::new(NodeHealth::default());
        Self {
            config,
            parts,
            admission,
            watchers,
            inference,
            models,
            keys: Keyring::default(),
            servers: Mutex::new(None),
            tree,
            cluster: None,
            ledger: None,
            telemetry,
            health,
        }
    }

    /// The same node, which notes its requests in a ledger and writes it out when it drains.
    pub fn with_ledger(self, ledger: LedgerHandle) -> Self {
        Self { inference: self.inference.with_ledger(ledger.clone()), ledger: Some(ledger), ..self }
    }

    /// The same node, which wants a key of whoever connects, if there are any.
    pub fn with_keys(self, keys: Keyring) -> Self {
        Self { keys, ..self }
    }

    /// The same node, which takes part in a cluster from [`serve`](Self::serve) on.
    pub(crate) fn with_cluster(self, cluster: Cluster) -> Self {
        let peers = cluster.clone();
        self.telemetry.read_peers_from(move || figures::peers(&peers));
        Self { inference: self.inference.with_cluster(cluster.clone()), cluster: Some(cluster), ..self }
    }

    /// The same node, which takes its supervision tree down when it drains.
    pub(crate) fn with_tree(self, tree: NodeTree, health: Arc<NodeHealth>) -> Self {
        Self { tree: Mutex::new(Some(tree)), health, ..self }
    }

    /// Listens, for gRPC and for `pages` over HTTP, to which health is added. Answers where, which differs from the
    /// settings for port 0. A second call answers the same.
    ///
    /// # Errors
    /// `LISTEN_EXPOSED`, `CONFIG_INVALID` for certificates that cannot be used, `ADDR_IN_USE`, `ADDR_UNUSABLE`; nothing
    /// listens then.
    pub async fn serve(&self, pages: Pages) -> Result<Addresses, Failure> {
        let mut servers = self.servers.lock().await;
        if let Some(running) = &*servers {
            return Ok(running.addresses);
        }
        let sockets = Sockets::bind(&self.config, &self.keys).await?;
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let ladder = self.config.ladder.iter().map(|rung| rung.model.clone()).collect();
        let (mut health, readiness) = Health::new(reporter, self.parts.control.clone(), ladder);
        // The first answer to a health check is already the truth.
        health.report().await;
        tokio::spawn(health.follow(self.admission.closed()));
        let cluster = self.cluster_service();
        if let Some(cluster) = &self.cluster {
            // Nobody is told that this node is ready before the others can be asked.
            cluster.open().await?;
        }
        let services = (self.inference.clone(), self.models.clone(), cluster);
        let started = Servers::start(
            sockets,
            &self.config,
            self.keys.clone(),
            services,
            health_service,
            self.telemetry.clone(),
            Pages { router: http::routes(readiness, self.telemetry.clone()).merge(pages.router), ..pages },
        )?;
        let addresses = started.addresses;
        *servers = Some(started);
        tracing::info!(grpc = %addresses.grpc, http = %addresses.http, "node listens");
        Ok(addresses)
    }

    /// Stops: health turns to not serving, and peers are told; new requests and those that wait are refused at once; those
    /// that run finish within the drain time, then are cancelled; what peers run here finishes within it too, else they
    /// go on elsewhere; then the sockets close.
    /// Answers how many were cancelled.
    pub async fn drain(&self) -> usize {
        self.watchers.close();
        let patience = self.config.timeouts.drain();
        let for_peers = async {
            if let Some(cluster) = &self.cluster {
                cluster.served(patience).await;
            }
        };
        let (cut, ()) = tokio::join!(self.admission.drain(patience), for_peers);
        self.watchers.drain(std::time::Duration::ZERO).await;
        if let Some(servers) = self.servers.lock().await.take() {
            servers.stop().await;
        }
        if let Some(cluster) = &self.cluster {
            cluster.stop().await;
        }
        // The tree first: it would restart a router that stopped before it.
        if let Some(tree) = self.tree.lock().await.take() {
            tree.drain(std::time::Duration::ZERO).await;
        }
        self.parts.router.stop();
        if let Some(ledger) = &self.ledger {
            let written = tokio::time::timeout(LAST_NOTES, ledger.flush()).await;
            if !matches!(written, Ok(Ok(()))) {
                tracing::warn!("the last entries may be missing in the ledger");
            }
        }
        tracing::info!(cut, "node drained");
        self.telemetry.finish().await;
        cut
    }

    /// The service that answers, for callers in this process: same events, no socket.
    pub fn inference(&self) -> &Inference {
        &self.inference
    }

    /// The service that loads models, likewise.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The cluster, as this node sees it; `None` for a node of fakes.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// The service that tells of the cluster, likewise.
    pub fn cluster_service(&self) -> Option<ClusterService> {
        self.cluster.clone().map(|cluster| ClusterService::new(cluster, self.watchers.clone()))
    }

    /// The router.
    pub fn router(&self) -> &RouterHandle {
        &self.parts.router
    }

    /// The models by name.
    pub fn slots(&self) -> &Arc<dyn Slots> {
        &self.parts.slots
    }

    /// The settings it runs with.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// Whether this process should go on: when it asks to leave, [`drain`](Self::drain) and exit.
    pub fn health(&self) -> watch::Receiver<HealthSignal> {
        self.health.subscribe()
    }

    /// Its metrics, traces and sums.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Changes what this process logs from now on, such as `info` or `warn,understudy_router=debug`. Answers the
    /// filter as it was understood.
    ///
    /// # Errors
    /// `REQUEST_INVALID`; nothing changed then.
    pub fn set_log_filter(filter: &str) -> Result<String, Failure> {
        understudy_telemetry::logs::set_filter(filter).map_err(|error| {
            Failure::new(codes::REQUEST_INVALID, error.to_string()).with_field("filter", error.to_string())
        })
    }

    /// How many requests run and wait, and how long a wait is expected.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Connections, open and turned away; none before [`serve`](Self::serve).
    pub async fn connections(&self) -> ConnectionCounts {
        self.servers.lock().await.as_ref().map(Servers::connections).unwrap_or_default()
    }

    /// Requests that run or wait.
    pub fn in_flight(&self) -> usize {
        self.admission.in_flight()
    }
}

impl NodeConfig {
    /// What the router needs of it.
    ///
    /// # Errors
    /// `CONFIG_INVALID` naming a profile that cannot be read.
    pub fn router(&self) -> Result<RouterConfig, Failure> {
        let profile = |path: &PathBuf| {
            let unusable = |why: &dyn Display| crate::config::invalid(&path.display().to_string(), why);
            let json = std::fs::read_to_string(path).map_err(|error| unusable(&error))?;
            Ok(Arc::new(LadderProfile::parse(&json).map_err(|error| unusable(&error))?))
        };
        let rung = |rung: &crate::config::Rung| Rung { model: rung.model.clone(), threshold: rung.threshold };
        Ok(RouterConfig {
            ladder: self.ladder.iter().map(rung).collect(),
            default_max_tokens: self.answer.max_tokens,
            // One that was left holds its permit until it has stopped, and its place is another's by then.
            max_requests: self.limits.max_requests.saturating_mul(2),
            profiles: self.profiles.iter().map(profile).collect::<Result<_, Failure>>()?,
            routes: self.routes.iter().map(profile).collect::<Result<_, Failure>>()?,
            rules: Rules::new(self.rules.clone())?,
            embedder: self.embedder.clone(),
            databases: self.databases.clone(),
            ..RouterConfig::default()
        })
    }
}
