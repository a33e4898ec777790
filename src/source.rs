//! Where answers come from: a running node, or one inside this process. Both give the
//! same events, so nothing behind this module knows which it was.

use std::sync::Arc;
use std::time::Duration;

use tokio_stream::StreamExt;
use understudy_agents::{Client, Events};
use understudy_backend::RequestCtx;
use understudy_gateway::{Answer, GgufEngines, Node, NodeConfig};
use understudy_proto::v1::{GenerateEvent, GenerateRequest};

use crate::cli::{Answering, DEFAULT_SERVER};
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
        if let Some(server) = &answering.server {
            return Ok(Self::Remote(Client::connect(server, CONNECT).await?));
        }
        if let Ok(client) = Client::connect(DEFAULT_SERVER, CONNECT_LOCAL).await {
            // Whatever listens there has to be a node of ours.
            if client.is_serving("", CONNECT_LOCAL).await.is_ok() {
                tracing::info!(server = DEFAULT_SERVER, "asking the running node");
                return Ok(Self::Remote(client));
            }
        }
        Ok(Self::Local(Arc::new(start(NodeConfig::default()).await?)))
    }

    /// Asks.
    pub async fn ask(&self, request: GenerateRequest, timeout: Duration) -> Result<Stream, Error> {
        match self {
            Self::Remote(client) => Ok(Stream::Remote(client.generate(request, timeout).await?)),
            Self::Local(node) => {
                let ctx = RequestCtx::new(request_id(&request)).with_timeout(timeout);
                Ok(Stream::Local(node.inference().generate(ctx, request)?))
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

/// A node with the real engines.
pub async fn start(config: NodeConfig) -> Result<Node, Error> {
    let engines = Arc::new(GgufEngines::new(&config.engine));
    Ok(Node::start(config, engines).await?)
}

fn request_id(request: &GenerateRequest) -> String {
    match request.request_id.as_str() {
        "" => format!("cli-{}", std::process::id()),
        given => given.to_owned(),
    }
}
