//! What this node tells of itself.

use understudy_proto::node::v1::NodeFacts;

/// What this node has and does. Asked twice a second, so it should not look at disks each time.
pub trait OwnFacts: Send + Sync + 'static {
    /// As of now.
    fn facts(&self) -> NodeFacts;
}
