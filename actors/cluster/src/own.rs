//! What this node tells of itself.

use understudy_proto::node::v1::NodeFacts;

/// What this node has and does. Asked twice a second.
pub trait OwnFacts: Send + Sync + 'static {
    /// As of now.
    fn facts(&self) -> NodeFacts;
}
