//! Ids that cross a boundary.

use std::fmt;
use understudy_engine::verbs::SeqKey;

/// A node of the cluster; 0 is this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NodeId(pub u64);

/// A request, unique within a node's life.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(pub String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sequence of one engine incarnation on one node. A restart of the engine changes
/// `boot`, so a handle from before it is stale, never somebody else's sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeqId {
    /// Where it lives.
    pub node: NodeId,
    /// Which start of the engine it belongs to.
    pub boot: u64,
    /// Slot and generation inside that engine.
    pub key: SeqKey,
}
