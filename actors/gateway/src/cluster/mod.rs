//! A node's part in a cluster, as clients see it and as it tells of itself.
//!
//! | module | what it holds |
//! |---|---|
//! | [`facts`] | what this node tells the others |
//! | [`service`] | `understudy.v1.Cluster` |

pub(crate) mod facts;
pub(crate) mod service;

use understudy_cluster::{ClusterError, JoinError, identity::IdentityError};

use crate::{Failure, codes};

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        Self::new(codes::find(error.code()).unwrap_or(codes::INTERNAL), error.to_string())
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let code = match &error {
            JoinError::Dial(_) | JoinError::Slow => codes::CLUSTER_UNREACHABLE,
            JoinError::Ended(_) => codes::INVITE_REFUSED,
            JoinError::Pairing(error) => codes::find(error.code()).unwrap_or(codes::INTERNAL),
        };
        Self::new(code, error.to_string())
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Identity(error) => error.into(),
            ClusterError::Join(error) => error.into(),
            ClusterError::Invite(error) => Self::new(codes::INVITE_REFUSED, error.to_string()),
            ClusterError::Listen { address, .. } => {
                let code = codes::ADDR_UNUSABLE;
                Self::new(code, error.to_string()).with("address", address).with("setting", "cluster.listen")
            }
            ClusterError::Interfaces(_) => Self::new(codes::INTERNAL, error.to_string()),
            ClusterError::Address { .. } => Self::new(codes::CONFIG_INVALID, error.to_string()),
        }
    }
}
