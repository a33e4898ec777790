//! Why a node does not take part.

use std::{io, net::SocketAddr};

use understudy_identity::{IdentityError, InviteError};
use understudy_membership::AddressError;

use crate::port::pairing::JoinError;

/// What can go wrong with a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Keys, certificates, files.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The port cannot be had.
    #[error("cannot listen at {address} (cluster.listen): {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system does not tell its interfaces.
    #[error("the network interfaces cannot be listed: {0}")]
    Interfaces(#[source] io::Error),
    /// An address in the settings is none.
    #[error("{setting}: {text:?} is no address: {source}")]
    Address {
        /// Where it stands.
        setting: &'static str,
        /// It.
        text: String,
        /// What it should be.
        source: AddressError,
    },
    /// No invite was made.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The node could not join.
    #[error(transparent)]
    Join(#[from] JoinError),
}
