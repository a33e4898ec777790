//! What is wrong between two nodes, in words that somebody can act on.

use rustls::{AlertDescription, CertificateError, Error};

use crate::clock::day;

/// Why two nodes do not come together. "Its" and "the other node's" is whoever was to be connected with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerProblem {
    /// Its certificate has ended.
    #[error(
        "the other node's certificate ended on {}, and by this machine's clock it is {}: if the clock is right, that \
         node has to join again with an invite",
        day(*not_after),
        day(*now)
    )]
    Expired {
        /// The certificate's last second, since 1970.
        not_after: u64,
        /// This machine's time, in seconds since 1970.
        now: u64,
    },
    /// Its certificate has not begun.
    #[error(
        "the other node's certificate begins on {}, and by this machine's clock it is {}: one of the clocks is far \
         off, set it",
        day(*not_before),
        day(*now)
    )]
    NotYet {
        /// The certificate's first second, since 1970.
        not_before: u64,
        /// This machine's time, in seconds since 1970.
        now: u64,
    },
    /// It was turned out.
    #[error("the other node was turned out of the cluster (`understudy cluster revoke`)")]
    Revoked,
    /// Another authority.
    #[error("the other node is in another cluster")]
    OtherCluster,
    /// A member, but not the one that was meant.
    #[error("another member than the one that was meant answers at this address")]
    OtherNode,
    /// It showed no certificate: no node of a cluster, or one that wants to pair.
    #[error("the other side showed no certificate: it is no member of a cluster")]
    NoCertificate,
    /// It showed something else than a node's certificate.
    #[error("the other side showed a certificate that is none of a node")]
    NotANode,
    /// The other side finds that this node's certificate has ended.
    #[error(
        "the other node says that this node's certificate has ended: check both clocks; if they are right, \
         `understudy cluster leave` and join again"
    )]
    WeExpired,
    /// The other side says that this node was turned out.
    #[error(
        "this node was turned out of the cluster: `understudy cluster leave` makes a new identity possible"
    )]
    WeAreRevoked,
    /// The other side does not know this node's authority.
    #[error("the other node says that this one is in another cluster")]
    WeAreOfAnotherCluster,
    /// The other side refuses this node for a reason that TLS has no word for: not the node that it meant, or a
    /// clock that is far off.
    #[error(
        "the other node does not take this node's certificate: it meant another node, or one of the clocks is far off"
    )]
    WeAreRefused,
    /// Nothing in common to speak.
    #[error("the other side does not speak the cluster's protocol, or speaks another version of it")]
    OtherProtocol,
    /// Something else in TLS.
    #[error("TLS failed: {0}")]
    Tls(String),
}

impl From<&Error> for PeerProblem {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(wrong) => Self::of_theirs(wrong),
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(alert) => Self::of_ours(*alert),
            Error::NoApplicationProtocol | Error::PeerIncompatible(_) => Self::OtherProtocol,
            other => Self::Tls(other.to_string()),
        }
    }
}

impl PeerProblem {
    /// Of what an asynchronous TLS stream says, which wraps rustls' errors.
    pub fn of_io(error: &std::io::Error) -> Self {
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        of_tls.map_or_else(|| Self::Tls(error.to_string()), Self::from)
    }

    /// The name of the code: `docs/errors/PEER_REFUSED.md` says more.
    pub fn code(&self) -> &'static str {
        "PEER_REFUSED"
    }

    fn of_theirs(wrong: &CertificateError) -> Self {
        match wrong {
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired { not_after: not_after.as_secs(), now: time.as_secs() }
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYet { not_before: not_before.as_secs(), now: time.as_secs() }
            }
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::OtherCluster,
            CertificateError::NotValidForName => Self::OtherNode,
            _ => Self::NotANode,
        }
    }

    fn of_ours(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateExpired => Self::WeExpired,
            AlertDescription::CertificateRevoked => Self::WeAreRevoked,
            AlertDescription::UnknownCA | AlertDescription::DecryptError => Self::WeAreOfAnotherCluster,
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied => Self::WeAreRefused,
            AlertDescription::NoApplicationProtocol
            | AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure => Self::OtherProtocol,
            other => Self::Tls(format!("the other side sent the alert {other:?}")),
        }
    }
}
