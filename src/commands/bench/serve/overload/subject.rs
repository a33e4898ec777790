//! The node under load: over an engine that computes nothing, or over a real one.

use std::time::Duration;

use tonic::transport::Channel;
use understudy_gateway::Node;
use understudy_proto::v1::inference_client::InferenceClient;

use super::super::scripted::{MODEL, Scripted, connect, settings};
use super::ask::Asker;
use crate::error::Error;
use crate::source;

/// A node that listens on loopback.
pub enum Subject {
    Scripted(Scripted),
    Real { node: Node, address: String, model: String },
}

impl Subject {
    /// Each step takes the same time.
    pub async fn scripted(step: Duration, sequences: usize) -> Result<Self, Error> {
        Ok(Self::Scripted(Scripted::start(step, sequences).await?))
    }

    /// A real model, which shares the machine with the load; loaded when this returns.
    pub async fn real(model: &str, sequences: usize) -> Result<Self, Error> {
        let mut config = settings(model, sequences, 2 * sequences);
        config.engine.preload = true;
        let node = source::start(config).await?;
        let address = node.serve(understudy_http::routes(&node)).await?.grpc.to_string();
        Ok(Self::Real { node, address, model: model.to_owned() })
    }

    /// Who asks over a connection of its own.
    pub async fn asker(&self, tokens: u32) -> Result<Asker, Error> {
        Ok(match self {
            Self::Scripted(_) => Asker::of_fixed_length(self.client().await?, MODEL, tokens),
            Self::Real { model, .. } => Asker::new(self.client().await?, model, tokens),
        })
    }

    async fn client(&self) -> Result<InferenceClient<Channel>, Error> {
        match self {
            Self::Scripted(node) => node.client().await,
            Self::Real { address, .. } => connect(address).await,
        }
    }

    /// Its model.
    pub fn model(&self) -> &str {
        match self {
            Self::Scripted(_) => MODEL,
            Self::Real { model, .. } => model,
        }
    }

    pub async fn stop(self) {
        match self {
            Self::Scripted(node) => node.stop().await,
            Self::Real { node, .. } => drop(node.drain().await),
        }
    }
}
