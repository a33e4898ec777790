//! What a node says of itself.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::ids::{ClusterId, Fingerprint, NodeId};
use crate::limits;

/// Where a node may be reached: `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Arc<str>);

/// A text is no `HOST:PORT` of at most [`limits::ADDRESS_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is HOST:PORT, of at most {} bytes", limits::ADDRESS_BYTES)]
pub struct AddressError;

impl Address {
    /// Reads `HOST:PORT`. The host is not looked up.
    ///
    /// # Errors
    /// [`AddressError`] if there is no host, no port from 1 to 65535, or too much of both.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
        let has_port = port.parse::<u16>().is_ok_and(|port| port != 0);
        if host.is_empty() || !has_port || text.len() > limits::ADDRESS_BYTES {
            return Err(AddressError);
        }
        Ok(Self(text.into()))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Who a node is. Its own is given to [`Membership::new`](crate::Membership::new); that of a peer comes in the hello
/// of a link. The driver vouches that node and fingerprint are those of the link's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node's id.
    pub node: NodeId,
    /// The fingerprint of its key.
    pub fingerprint: Fingerprint,
    /// Which start of the node this is. Each start has a higher one.
    pub generation: u64,
    /// What people call it.
    pub name: String,
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// The versions of the protocol that it speaks.
    pub protocol: RangeInclusive<u32>,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
}

impl Identity {
    /// The same with name and addresses cut to the limits.
    pub(crate) fn clipped(mut self) -> Self {
        while self.name.len() > limits::NAME_BYTES {
            self.name.pop();
        }
        self.addresses.truncate(limits::ADDRESSES);
        self
    }
}

/// The highest version that both ranges have.
pub(crate) fn common_protocol(ours: &RangeInclusive<u32>, theirs: &RangeInclusive<u32>) -> Option<u32> {
    let highest = *ours.end().min(theirs.end());
    (ours.contains(&highest) && theirs.contains(&highest)).then_some(highest)
}
