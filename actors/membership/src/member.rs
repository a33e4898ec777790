//! Members as others see them, and what happens to them.

use std::time::Duration;

use crate::identity::Address;
use crate::ids::{Fingerprint, LinkId, NodeId, Now};
use crate::message::Facts;
use crate::refusal::Refusal;

/// Another node of the cluster, as this node sees it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub node: NodeId,
    /// The fingerprint of its key.
    pub fingerprint: Fingerprint,
    /// Its latest start that said hello, 0 until one did. Earlier ones are over.
    pub generation: u64,
    /// What people call it; empty until it said so itself.
    pub name: String,
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// The version of the protocol that is spoken with it; 0 until there was a link.
    pub protocol: u32,
    /// Whether it is alive.
    pub status: Status,
    /// Since when it has that status.
    pub since: Now,
    /// The link to it, if there is one.
    pub link: Option<LinkId>,
    /// The time to it and back, smoothed.
    pub round_trip: Option<Duration>,
    /// The version of its facts; 0 is none.
    pub facts_version: u64,
    /// Its facts.
    pub facts: Facts,
}

impl Member {
    /// Whether work may be sent to it. An alive member is to be preferred over a suspect one.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.link.is_some()
            && matches!(self.status, Status::Alive | Status::Suspect(Suspicion::Silent | Suspicion::NotHeard))
    }
}

/// Whether a member is alive. Only what this node heard itself counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Others told of it, or it has just connected and said nothing yet.
    Known,
    /// It is heard, and hears this node.
    Alive,
    /// It may be dead.
    Suspect(Suspicion),
    /// Nothing is to be expected of it until it comes back.
    Dead(DeathCause),
    /// It left, as it said itself or as others tell; it comes back as another start.
    Left,
}

impl Status {
    /// Whether it is alive or suspect.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Alive | Self::Suspect(_))
    }
}

/// What makes a member suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Suspicion {
    /// Nothing was heard for a while.
    #[error("silent")]
    Silent,
    /// The link has ended.
    #[error("disconnected")]
    Disconnected,
    /// It is heard, but has not heard this node for a while.
    #[error("it does not hear us")]
    NotHeard,
    /// The same, for so long that no work should go to it.
    #[error("it does not hear us, for long")]
    Deaf,
}

/// What made a member dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeathCause {
    /// Nothing was heard for too long.
    #[error("silent for too long")]
    Silent,
    /// The link has ended and there was no new one at once.
    #[error("the connection ended")]
    Disconnected,
    /// A later start of the same node said hello.
    #[error("it was restarted")]
    Replaced,
    /// It refuses this node.
    #[error("it refuses this node")]
    RefusesUs,
    /// Its key was revoked.
    #[error("its key was revoked")]
    Revoked,
}

/// What happened to a member, or to a node that wanted to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// A start of a node is a member now: it was heard for the first time.
    Joined {
        /// The node.
        node: NodeId,
        /// Its start.
        generation: u64,
    },
    /// It held this node for dead since it last spoke, and gave up what it had open here: all of that is over (INV-M15).
    GaveUp {
        /// The node.
        node: NodeId,
        /// Its start.
        generation: u64,
    },
    /// It was suspect or dead and is not.
    Alive {
        /// The node.
        node: NodeId,
        /// Its start.
        generation: u64,
    },
    /// It may be dead.
    Suspect {
        /// The node.
        node: NodeId,
        /// Its start.
        generation: u64,
        /// What makes it suspect.
        why: Suspicion,
    },
    /// This start of it is dead: what it owes will not come.
    Dead {
        /// The node.
        node: NodeId,
        /// Its start.
        generation: u64,
        /// What made it so.
        why: DeathCause,
        /// The time since it was last heard, or since this node woke from sleep if that was later.
        after: Duration,
    },
    /// It left.
    Left {
        /// The node.
        node: NodeId,
        /// The start that left.
        generation: u64,
    },
    /// A link was refused.
    Refused {
        /// The node at the other end.
        node: NodeId,
        /// Whether this node refused, or was refused.
        by_us: bool,
        /// Why, from the view of the one that refused.
        why: Refusal,
    },
    /// It has other facts.
    FactsChanged {
        /// The node.
        node: NodeId,
        /// Its start.
        generation: u64,
        /// Their version.
        version: u64,
    },
}
