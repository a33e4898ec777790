//! What can go wrong with keys, certificates and their files.

use std::{io, path::PathBuf};

use crate::{clock::day, fields::Unreadable, node::NodeId};

/// What went wrong. Nothing was changed, unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// `init` or `join` where there is a cluster already.
    #[error("this node is in the cluster {name:?} already; `understudy cluster leave` leaves it")]
    AlreadyMember {
        /// The cluster's name.
        name: String,
    },
    /// No cluster here.
    #[error("this node is in no cluster; `understudy cluster init` makes one, `cluster join` enters one")]
    NotMember,
    /// Only a node that holds the authority's key can do this.
    #[error(
        "the authority's key is not on this node: do this where `cluster init` ran, or on a node that was invited \
         with the authority"
    )]
    NoAuthority,
    /// A file makes no sense. Not to be expected: files are written whole.
    #[error("{} is damaged: {what}; restore it from a copy, or `understudy cluster leave` and join again", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file cannot be read, written or protected.
    #[error("{} cannot be {doing}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// `read`, `written`, `removed`, `locked`, `kept from others`.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The name of a cluster or a node is empty, too long or has control characters.
    #[error("the name {0:?} should be 1 to 64 characters without control characters")]
    BadName(String),
    /// A request for a certificate that is not one, is not signed with its own key, or is for a key of another
    /// kind.
    #[error("the request for a certificate is unusable: {0}")]
    BadRequest(&'static str),
    /// Not a certificate of a node or of an authority of ours.
    #[error("the certificate is unusable: {0}")]
    BadCertificate(&'static str),
    /// A certificate or an entry that another authority signed.
    #[error("it belongs to another cluster")]
    OtherCluster,
    /// Renewal of a certificate that has ended.
    #[error(
        "the certificate of node {node} ended on {}: if this machine's clock is right, the node has to join again \
         with an invite",
        day(*not_after)
    )]
    Expired {
        /// Whose.
        node: NodeId,
        /// Its last second, since 1970.
        not_after: u64,
    },
    /// A certificate that begins later than now.
    #[error(
        "the certificate of node {node} begins on {} only: the clock of this machine or of the one that signed it is \
         far off",
        day(*not_before)
    )]
    NotYet {
        /// Whose.
        node: NodeId,
        /// Its first second, since 1970.
        not_before: u64,
    },
    /// The key was turned out of the cluster.
    #[error("node {node} was turned out of the cluster on {}; `understudy cluster leave` there makes a new identity", day(when_ms / 1000))]
    Denied {
        /// Whose key.
        node: NodeId,
        /// When, in milliseconds since 1970.
        when_ms: u64,
    },
    /// As many keys were turned out lately as are remembered, and none of them may be forgotten yet.
    #[error("the deny list is full; entries can be dropped once the certificates they are about have ended")]
    DenyListFull,
    /// Making a key, signing or setting up TLS failed: the system has no random numbers, or there is a bug here.
    #[error("cryptography failed: {0}")]
    Crypto(String),
}

impl IdentityError {
    /// The name of its code: `docs/errors/NAME.md` says more.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlreadyMember { .. } => "CLUSTER_MEMBER",
            Self::NotMember => "CLUSTER_NONE",
            Self::NoAuthority => "CLUSTER_NO_AUTHORITY",
            Self::Damaged { .. } | Self::Io { .. } => "CLUSTER_FILES",
            Self::BadName(_) | Self::BadRequest(_) | Self::DenyListFull => "REQUEST_INVALID",
            Self::BadCertificate(_)
            | Self::OtherCluster
            | Self::Expired { .. }
            | Self::NotYet { .. }
            | Self::Denied { .. } => "PEER_REFUSED",
            Self::Crypto(_) => "INTERNAL",
        }
    }

    pub(crate) fn crypto(error: impl std::fmt::Display) -> Self {
        Self::Crypto(error.to_string())
    }
}

impl From<Unreadable> for IdentityError {
    fn from(_: Unreadable) -> Self {
        Self::BadRequest("it cannot be read")
    }
}

/// Fills an array with random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(IdentityError::crypto)?;
    Ok(bytes)
}
