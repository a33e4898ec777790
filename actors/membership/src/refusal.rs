//! Why a link is closed, in words that say what to do.

use std::ops::RangeInclusive;

use crate::ids::NodeId;

/// Why one end closes a link. It is the last message on that link, so that both ends can say it.
/// Words are from the view of the one that closes: "this node" closes, "the other" is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The other belongs to another cluster.
    #[error("the other node belongs to another cluster; leave that one first, or join this one anew")]
    OtherCluster,
    /// No version of the protocol is spoken by both.
    #[error(
        "this node speaks the cluster protocol {} to {}, the other {} to {}; update the node with the lower \
         numbers: versions next to each other work together, so go one version at a time",
        ours.start(), ours.end(), theirs.start(), theirs.end()
    )]
    Protocol {
        /// The versions of the node that closes.
        ours: RangeInclusive<u32>,
        /// The versions of the other.
        theirs: RangeInclusive<u32>,
    },
    /// The other has this node's id.
    #[error(
        "both nodes are {0}; if a disk or folder was copied, remove the cluster's folder on one of them and \
         let it join again"
    )]
    SameNode(NodeId),
    /// This node dialled itself. It is no fault.
    #[error("the address is one of this node's own")]
    Itself,
    /// The other has the id of a member, and another key.
    #[error(
        "node {0} is known here with another key; remove the cluster's folder on the newer one and let it \
         join again"
    )]
    OtherKey(NodeId),
    /// A later start of the other is known.
    #[error(
        "start {theirs} of this node is over, start {known} has been seen; restart it, and if two machines \
         run with one copied identity let one of them join again"
    )]
    OldGeneration {
        /// The generation that came.
        theirs: u64,
        /// The one that is known.
        known: u64,
    },
    /// The other's key is on the deny list.
    #[error("the other node's key was revoked; to take it back let it join again with a new key")]
    Revoked,
    /// There are too many members.
    #[error("the cluster has as many members as a node can know ({})", crate::limits::MEMBERS + 1)]
    Full,
    /// Both have another link with each other. It is no fault.
    #[error("there is a better link between the two nodes")]
    DuplicateLink,
    /// Nothing was heard from the other for too long. It is no fault of the link's end.
    #[error("the other node was silent for too long")]
    Silent,
    /// One of both leaves the cluster.
    #[error("the node has left the cluster")]
    Left,
}

impl Refusal {
    /// Whether people should be told: the other closings are everyday.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Itself | Self::DuplicateLink | Self::Silent | Self::Left)
    }
}
