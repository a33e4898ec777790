//! TLS between nodes: who may connect to whom, on one port.
//!
//! | protocol (ALPN) | for | whoever connects shows |
//! |---|---|---|
//! | `h2` | all that members say to each other | a certificate of a member |
//! | `understudy-join/1` | pairing, while an invite is open | nothing |
//!
//! TLS 1.3 only, no session is resumed and no early data taken: each connection is checked anew, by the deny
//! list and the certificate of that moment. rustls cannot ask for different certificates by protocol within one
//! configuration, so the listener reads the ClientHello first ([`rustls::server::Acceptor`]) and takes what
//! [`Doors::choose`] says.
//!
//! A certificate is good if our authority signed it, its days are now, it is for the name that follows from its own
//! key, and its key was not turned out. A client that means a certain node checks the whole fingerprint besides.

mod config;
mod problem;
mod verify;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{ClientConfig, CommonState, ServerConfig, pki_types::ServerName, server::ClientHello};

use crate::{
    certificate::{AuthorityCertificate, NodeCertificate},
    clock::Clock,
    deny::DenyList,
    error::IdentityError,
    node::{Fingerprint, NodeId},
    store::Member,
};
use config::Serving;
pub use problem::PeerProblem;
use verify::Judge;

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/2 between members.
    Data,
    /// Pairing.
    Join,
}

impl Protocol {
    /// All.
    pub const ALL: [Self; 2] = [Self::Data, Self::Join];

    /// Its name in TLS (ALPN).
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Data => b"h2",
            Self::Join => b"understudy-join/1",
        }
    }

    /// Of a finished connection.
    pub fn of(connection: &CommonState) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| connection.alpn_protocol() == Some(protocol.alpn()))
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    /// Whose key: what is compared.
    pub fingerprint: Fingerprint,
    /// Its certificate's last second, since 1970.
    pub not_after: u64,
}

impl PeerIdentity {
    /// Its short name.
    pub fn node(&self) -> NodeId {
        self.fingerprint.node()
    }
}

/// What this node shows to others and asks of them. Certificate and deny list can be changed while it is in use;
/// connections that are made afterwards are judged by the new ones. Those that are open go on: close the ones
/// that [`recheck`](Self::recheck) no longer likes.
pub struct Doors {
    judge: Arc<Judge>,
    own: Fingerprint,
    key: Arc<dyn rustls::sign::SigningKey>,
    serving: ArcSwap<Serving>,
}

impl Doors {
    /// Of a member.
    ///
    /// # Errors
    /// Its certificates cannot be used for TLS.
    pub fn new(member: &Member, clock: Arc<dyn Clock>) -> Result<Self, IdentityError> {
        let judge = Arc::new(Judge::new(member.authority_certificate.clone(), member.denied.clone(), clock)?);
        let key = config::signing_key(&member.key)?;
        let serving = Serving::new(&judge, &key, &member.certificate)?;
        Ok(Self { judge, own: member.key.fingerprint(), key, serving: ArcSwap::from_pointee(serving) })
    }

    /// What to answer a connection with, by the one protocol that it offers. `None`: close it. `is_inviting`:
    /// some invite is open.
    pub fn choose(&self, hello: &ClientHello<'_>, is_inviting: bool) -> Option<Arc<ServerConfig>> {
        let mut offered = hello.alpn()?;
        let only = offered.next().filter(|_| offered.next().is_none())?;
        match Protocol::ALL.into_iter().find(|protocol| protocol.alpn() == only)? {
            Protocol::Join if !is_inviting => None,
            protocol => Some(self.serving.load().config(protocol)),
        }
    }

    /// To connect to a member: to `expected`, or to any. Use [`server_name`] with it.
    ///
    /// # Errors
    /// `protocol` is [`Protocol::Join`], for which there is [`joining`].
    pub fn client(
        &self,
        protocol: Protocol,
        expected: Option<Fingerprint>,
    ) -> Result<Arc<ClientConfig>, IdentityError> {
        match protocol {
            Protocol::Join => Err(IdentityError::crypto("a member does not join")),
            protocol => {
                let certified = self.serving.load().certified();
                config::client(&self.judge, certified, protocol, expected).map(Arc::new)
            }
        }
    }

    /// Who is at the other end of a finished connection. `None` where nothing was shown, as while pairing.
    pub fn peer(&self, connection: &CommonState) -> Option<PeerIdentity> {
        // It was verified in the handshake; without one there are no certificates.
        let certificate = NodeCertificate::parse(connection.peer_certificates()?.first()?).ok()?;
        Some(PeerIdentity { fingerprint: certificate.fingerprint(), not_after: certificate.not_after() })
    }

    /// Whether a peer would be let in now: for connections that are open when its certificate ends or the deny list
    /// grows.
    ///
    /// # Errors
    /// It would not, and why.
    pub fn recheck(&self, peer: &PeerIdentity) -> Result<(), PeerProblem> {
        self.judge.still_good(peer)
    }

    /// Shows this certificate from now on.
    ///
    /// # Errors
    /// It is not for this node, or not of its authority; the old one stays.
    pub fn renew(&self, certificate: &NodeCertificate) -> Result<(), IdentityError> {
        if certificate.fingerprint() != self.own {
            return Err(IdentityError::BadCertificate("it is for another node"));
        }
        if !self.authority().has_signed(certificate) {
            return Err(IdentityError::OtherCluster);
        }
        self.serving.store(Arc::new(Serving::new(&self.judge, &self.key, certificate)?));
        Ok(())
    }

    /// Judges by this deny list from now on.
    pub fn deny(&self, denied: DenyList) {
        self.judge.deny(denied);
    }

    /// Whom this node trusts.
    pub fn authority(&self) -> &AuthorityCertificate {
        self.judge.authority()
    }
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Doors({})", self.own.node())
    }
}

/// To connect for pairing: any certificate will do, since the pairing itself finds out who is there
/// ([`Binding`](crate::Binding)). Use [`server_name`] with it.
///
/// # Errors
/// TLS cannot be set up.
pub fn joining() -> Result<Arc<ClientConfig>, IdentityError> {
    config::joining().map(Arc::new)
}

/// The name to connect with. It is the same for all nodes, so that a listener in between does not read who is
/// meant; who answers is judged by the certificate.
pub fn server_name() -> ServerName<'static> {
    // A valid name, as a test sees.
    ServerName::try_from(crate::node::DOMAIN)
        .unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()))
}
