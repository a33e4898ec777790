//! Where answers come from: a running node, or one inside this process. Both give the
//! same events, so nothing behind this module knows which it was.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_stream::StreamExt;
use understudy_agents::{Client, Events, Tls};
use understudy_backend::RequestCtx;
use understudy_cluster::ClusterConfig;
use understudy_engine::device::DeviceChoice;
use understudy_gateway::{
    Answer, GgufEngines, Node, NodeConfig,
    config::{Ledger, Limits, Listen},
};
use understudy_proto::v1::{GenerateEvent, GenerateRequest};
use understudy_router::Databases;

use crate::cli::{Answering, server::HERE};
use crate::error::Error;

/// How long a node may take to accept a connection that the user asked for.
const CONNECT: Duration = Duration::from_secs(5);
/// The same for a look whether a node runs on this machine.
const CONNECT_LOCAL: Duration = Duration::from_millis(300);

/// A node.
pub enum Source {
    /// Another process.
    Remote(Client),
    /// This process.
    Local(Arc<Node>),
}

/// The events of one answer.
pub enum Stream {
    /// From another process.
    Remote(Events<GenerateEvent>),
    /// From this process.
    Local(Answer),
}

impl Source {
    /// The node that the user named, else the one that runs here, else a new one in this process.
    pub async fn find(answering: &Answering) -> Result<Self, Error> {
        match running(answering.server.named()).await? {
            Some(client) => Ok(Self::Remote(client)),
            None => Self::own(own()).await,
        }
    }

    /// A new one in this process that computes on this device, for measurements that a node of another build would
    /// spoil.
    pub async fn computing_on(device: DeviceChoice) -> Result<Self, Error> {
        let mut config = own();
        config.engine.device = device;
        Self::own(config).await
    }

    async fn own(config: NodeConfig) -> Result<Self, Error> {
        Ok(Self::Local(Arc::new(start(config).await?)))
    }

    /// Asks.
    pub async fn ask(&self, request: GenerateRequest, timeout: Duration) -> Result<Stream, Error> {
        match self {
            Self::Remote(client) => Ok(Stream::Remote(client.generate(request, timeout).await?)),
            Self::Local(node) => {
                let ctx = RequestCtx::new(request_id(&request)).with_timeout(timeout);
                Ok(Stream::Local(node.inference().generate(ctx, request).await?))
            }
        }
    }
}

impl Stream {
    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<GenerateEvent, Error>> {
        match self {
            Self::Remote(events) => Some(events.next().await?.map_err(Error::from)),
            Self::Local(answer) => Some(answer.next().await?.map_err(Error::from)),
        }
    }
}

/// The node that the user named, else the one that runs here, if one does.
async fn running(server: Option<&str>) -> Result<Option<Client>, Error> {
    if let Some(server) = server {
        return Ok(Some(connect(server, CONNECT).await?));
    }
    let Ok(client) = Client::connect(HERE, CONNECT_LOCAL).await else { return Ok(None) };
    // Whatever listens there has to be a node of ours.
    if client.is_serving("", CONNECT_LOCAL).await.is_err() {
        return Ok(None);
    }
    tracing::info!(server = HERE, "asking the running node");
    Ok(Some(with_key(client)?))
}

/// The node at this address, with the key, the trust and the certificate that the environment names.
pub async fn connect(server: &str, timeout: Duration) -> Result<Client, Error> {
    with_key(Client::connect_with(server, timeout, &tls()?).await?)
}

/// Files in PEM.
fn tls() -> Result<Tls, Error> {
    let file = |variable| match std::env::var_os(variable).filter(|path| !path.is_empty()) {
        None => Ok(None),
        Some(path) => match std::fs::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(wrong(format!("{variable}: {}: {error}", path.display()))),
        },
    };
    let mut tls = Tls::default();
    if let Some(authorities) = file("UNDERSTUDY_CA")? {
        tls = tls.trusting(&authorities).ok_or_else(|| wrong("UNDERSTUDY_CA holds no certificate".into()))?;
    }
    match (file("UNDERSTUDY_CLIENT_CERT")?, file("UNDERSTUDY_CLIENT_KEY")?) {
        (None, None) => Ok(tls),
        (Some(certificate), Some(key)) => tls.showing(&certificate, &key).ok_or_else(|| {
            wrong(
                "UNDERSTUDY_CLIENT_CERT holds no certificate, or UNDERSTUDY_CLIENT_KEY no private key".into(),
            )
        }),
        _ => Err(wrong("UNDERSTUDY_CLIENT_CERT and UNDERSTUDY_CLIENT_KEY go together".into())),
    }
}

fn wrong(message: String) -> Error {
    Error::new("CONFIG_INVALID", message)
}

/// With the key that the environment has, if it has one.
fn with_key(client: Client) -> Result<Client, Error> {
    match std::env::var("UNDERSTUDY_API_KEY") {
        Ok(key) if !key.is_empty() => client
            .with_key(&key)
            .ok_or_else(|| Error::new("KEY_INVALID", "UNDERSTUDY_API_KEY is no printable text")),
        _ => Ok(client),
    }
}

/// A node behind the public protocol, for commands that are its clients and nothing more.
pub struct Reached {
    /// The connection.
    pub client: Client,
    /// A node in this process serves on loopback as long as this lives.
    _node: Option<Node>,
}

impl Reached {
    /// The same node as [`Source::find`] finds.
    pub async fn find(server: Option<&str>) -> Result<Self, Error> {
        if let Some(client) = running(server).await? {
            return Ok(Self { client, _node: None });
        }
        let mut config = own();
        config.listen.grpc = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.listen.http = config.listen.grpc;
        let node = start(config).await?;
        let addresses = node.serve(understudy_http::routes(&node)).await?;
        let client = Client::connect(&addresses.grpc.to_string(), CONNECT).await?;
        Ok(Self { client, _node: Some(node) })
    }
}

/// Settings of a node in this process: whoever runs it could read any file themselves, a question asked in passing
/// leaves no trace, who asks their own node would rather wait than be refused, and needs no key.
fn own() -> NodeConfig {
    let ledger = Ledger { enabled: false, ..Ledger::default() };
    let limits = Limits { longest_wait_ms: 600_000, ..Limits::default() };
    let listen = Listen { keys: false, ..Listen::default() };
    let cluster = ClusterConfig { enabled: false, ..ClusterConfig::default() };
    NodeConfig { databases: Databases::Anywhere, cluster, ledger, limits, listen, ..NodeConfig::default() }
}

/// A node with the real engines.
pub async fn start(config: NodeConfig) -> Result<Node, Error> {
    let engines = Arc::new(GgufEngines::new(&config)?);
    Ok(Node::start(config, engines).await?)
}

fn request_id(request: &GenerateRequest) -> String {
    match request.request_id.as_str() {
        "" => format!("cli-{}", std::process::id()),
        given => given.to_owned(),
    }
}
