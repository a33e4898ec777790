//! What nodes say to each other on a link, after the hellos.

use std::sync::Arc;
use std::time::Duration;

use crate::identity::Address;
use crate::ids::{Fingerprint, NodeId};
use crate::limits;
use crate::refusal::Refusal;

/// A message. Any of them may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The sender is alive.
    Heartbeat(Heartbeat),
    /// The sender's facts: the newest only.
    Facts {
        /// Counts upwards within a generation, from 1.
        version: u64,
        /// The facts themselves.
        facts: Facts,
    },
    /// Nodes that the sender is in touch with, and those that left.
    Peers(Vec<PeerRecord>),
    /// The sender leaves for good.
    Leave {
        /// The start that ends with it.
        generation: u64,
    },
    /// The sender closes the link.
    Refuse(Refusal),
}

/// A sign of life, sent every tick on every link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Counts upwards on a link, from 1.
    pub sequence: u64,
    /// The sender's start.
    pub generation: u64,
    /// The version of the receiver's facts that the sender has; 0 is none. If it is too low the receiver sends
    /// them again.
    pub facts_seen: u64,
    /// How often the sender has held this start of the receiver for dead. Where it rises, the receiver knows that it was
    /// given up.
    pub gave_up: u64,
    /// The receiver's last heartbeat that the sender heard. It tells the round trip, and whether
    /// the receiver is heard at all.
    pub echo: Option<Echo>,
}

/// What was heard last from the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Its heartbeat's sequence.
    pub sequence: u64,
    /// How long ago it came, on the clock of the one who heard it.
    pub held: Duration,
}

/// What one node tells of a third.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRecord {
    /// Whom it is about.
    pub node: NodeId,
    /// The fingerprint of its key.
    pub fingerprint: Fingerprint,
    /// Its latest start.
    pub generation: u64,
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// Whether that start left the cluster.
    pub left: bool,
}

/// What a node tells of itself beyond being there: opaque bytes, at most [`limits::FACTS_BYTES`].
/// Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Arc<[u8]>);

/// Facts are too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes of facts; {} fit", limits::FACTS_BYTES)]
pub struct FactsTooLong {
    /// How long they are.
    pub bytes: usize,
}

impl Facts {
    /// Takes bytes as facts.
    ///
    /// # Errors
    /// [`FactsTooLong`] if there are more than [`limits::FACTS_BYTES`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, FactsTooLong> {
        let bytes = bytes.as_ref();
        if bytes.len() > limits::FACTS_BYTES {
            return Err(FactsTooLong { bytes: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
