//! The cluster as this node sees it.

use std::time::Duration;

use understudy_proto::node::v1::NodeFacts;
use understudy_proto::v1::{NodeModel, NodeStatus};

/// What is known of a node's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Life {
    /// Others told of it.
    Known,
    /// It is heard, and hears this node.
    #[default]
    Alive,
    /// It has been silent for a while, or does not hear this node.
    Suspect,
    /// It has been silent for too long, or its link ended and none came in its place.
    Dead,
    /// It said goodbye.
    Left,
}

impl Life {
    /// The word in JSON and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        }
    }
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeView {
    /// Its id.
    pub node: u64,
    /// SHA-256 of its public key.
    pub fingerprint: [u8; 32],
    /// Which start of it.
    pub generation: u64,
    /// Its name.
    pub name: String,
    /// What is known of its life.
    pub life: Life,
    /// Why, for people.
    pub detail: String,
    /// Where it is reached, `HOST:PORT`.
    pub addresses: Vec<String>,
    /// Round trip, a moving mean.
    pub round_trip: Duration,
    /// Version of its facts.
    pub facts_version: u64,
    /// What it has and does.
    pub facts: NodeFacts,
}

/// All nodes that are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterView {
    /// This node.
    pub own: NodeView,
    /// The others, in order of their ids.
    pub nodes: Vec<NodeView>,
}

impl ClusterView {
    /// A node by its id.
    pub fn node(&self, id: u64) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.node == id)
    }

    /// The digest of a node's model; empty while it is not loaded there.
    pub fn digest(&self, node: u64, model: &str) -> String {
        let models = self.node(node).map_or(&[][..], |node| &node.facts.models);
        models.iter().find(|found| found.model == model).map(|found| found.digest.clone()).unwrap_or_default()
    }

    /// Those that requests may be sent to.
    pub fn usable(&self) -> impl Iterator<Item = &NodeView> {
        self.nodes.iter().filter(|node| node.life == Life::Alive)
    }
}

/// An id as people see it.
pub fn id_text(id: u64) -> String {
    format!("{id:016x}")
}

impl NodeView {
    /// As clients see it.
    pub fn status(&self) -> NodeStatus {
        let round_trip_us = u64::try_from(self.round_trip.as_micros()).unwrap_or(u64::MAX);
        NodeStatus {
            node: id_text(self.node),
            fingerprint: self.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect(),
            name: self.name.clone(),
            state: self.life.as_str().into(),
            detail: self.detail.clone(),
            generation: self.generation,
            addresses: self.addresses.clone(),
            round_trip_us,
            ..facts_status(&self.facts)
        }
    }
}

/// What facts say, in the form of a status; who and where is left out.
pub fn facts_status(facts: &NodeFacts) -> NodeStatus {
    let model = |model: &understudy_proto::node::v1::ModelFacts| NodeModel {
        model: model.model.clone(),
        state: model.state.clone(),
        digest: model.digest.clone(),
        active: model.active,
        waiting: model.waiting,
        decode_tok_s: model.decode_tok_s,
    };
    NodeStatus {
        version: facts.version.clone(),
        device: facts.device.clone(),
        free_bytes: facts.free_bytes,
        running: facts.running,
        waiting: facts.waiting,
        models: facts.models.iter().filter(|model| model.state != "absent").map(model).collect(),
        draining: facts.draining,
        ..NodeStatus::default()
    }
}
