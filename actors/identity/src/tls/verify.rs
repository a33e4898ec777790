//! Judging certificates in a handshake. What rustls knows how to check is left to it; names, the deny list and the
//! expected node are looked at besides.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{PeerIdentity, PeerProblem, config::provider};
use crate::{
    certificate::{AuthorityCertificate, NodeCertificate},
    clock::Clock,
    deny::DenyList,
    error::IdentityError,
    node::Fingerprint,
};

/// What both directions judge by.
#[derive(Debug)]
pub(super) struct Judge {
    authority: AuthorityCertificate,
    roots: Arc<RootCertStore>,
    denied: ArcSwap<DenyList>,
    clock: Arc<dyn Clock>,
}

impl Judge {
    pub(super) fn new(
        authority: AuthorityCertificate,
        denied: DenyList,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).map_err(IdentityError::crypto)?;
        Ok(Self { authority, roots: Arc::new(roots), denied: ArcSwap::from_pointee(denied), clock })
    }

    pub(super) fn authority(&self) -> &AuthorityCertificate {
        &self.authority
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) fn deny(&self, denied: DenyList) {
        self.denied.store(Arc::new(denied));
    }

    pub(super) fn still_good(&self, peer: &PeerIdentity) -> Result<(), PeerProblem> {
        if self.denied.load().get(&peer.fingerprint).is_some() {
            return Err(PeerProblem::Revoked);
        }
        let now = self.clock.now_s();
        match now > peer.not_after {
            true => Err(PeerProblem::Expired { not_after: peer.not_after, now }),
            false => Ok(()),
        }
    }

    fn not_denied(&self, certificate: &NodeCertificate) -> Result<(), Error> {
        match self.denied.load().get(&certificate.fingerprint()) {
            Some(_) => Err(Error::InvalidCertificate(CertificateError::Revoked)),
            None => Ok(()),
        }
    }
}

/// One certificate, of a node by its form. Nothing stands between a node and its authority.
fn node(shown: &CertificateDer<'_>, between: &[CertificateDer<'_>]) -> Result<NodeCertificate, Error> {
    let certificate = NodeCertificate::parse(shown).ok().filter(|_| between.is_empty());
    certificate.ok_or(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
}

/// Judges who connects to us.
#[derive(Debug)]
pub(super) struct Clients {
    judge: Arc<Judge>,
    chain: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    pub(super) fn of(judge: Arc<Judge>) -> Result<Self, IdentityError> {
        let builder = WebPkiClientVerifier::builder_with_provider(judge.roots.clone(), provider());
        // Strangers need not be told which cluster this is.
        let chain = builder.clear_root_hint_subjects().build().map_err(IdentityError::crypto)?;
        Ok(Self { judge, chain })
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(shown, between, now)?;
        self.judge.not_denied(&node(shown, between)?)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Judges whom we connect to.
#[derive(Debug)]
pub(super) struct Servers {
    judge: Arc<Judge>,
    expected: Option<Fingerprint>,
    chain: Arc<WebPkiServerVerifier>,
}

impl Servers {
    pub(super) fn of(judge: Arc<Judge>, expected: Option<Fingerprint>) -> Result<Self, IdentityError> {
        let chain = WebPkiServerVerifier::builder_with_provider(judge.roots.clone(), provider());
        Ok(Self { judge, expected, chain: chain.build().map_err(IdentityError::crypto)? })
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = node(shown, between)?;
        let own_name = ServerName::try_from(certificate.node().dns_name())
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let verified = self.chain.verify_server_cert(shown, between, &own_name, stapled, now)?;
        self.judge.not_denied(&certificate)?;
        match self.expected {
            Some(expected) if expected != certificate.fingerprint() => {
                Err(Error::InvalidCertificate(CertificateError::NotValidForName))
            }
            _ => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Takes any certificate, for pairing. That the other side has its key is still checked.
#[derive(Debug)]
pub(super) struct AnyServer {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyServer {
    pub(super) fn new() -> Self {
        Self { algorithms: provider().signature_verification_algorithms }
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
