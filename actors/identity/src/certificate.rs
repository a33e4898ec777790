//! Certificates, read and checked for what they should be. Whether they are good now is judged where they are used.

use std::fmt;

use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    oid_registry::{OID_SIG_ED25519, Oid},
    prelude::FromDer as _,
};

use crate::{
    error::IdentityError,
    hex,
    node::{Fingerprint, NodeId},
};

const DAY_S: u64 = 24 * 60 * 60;

/// Renewal is asked for when less than this is left of a certificate, in seconds: 10 days.
pub const RENEW_BEFORE_S: u64 = 10 * DAY_S;

/// A certificate of a node: Ed25519, for the one name that follows from its key.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    der: CertificateDer<'static>,
    fingerprint: Fingerprint,
    not_before: u64,
    not_after: u64,
}

impl NodeCertificate {
    /// Reads a certificate (DER). Who signed it is not looked at: [`AuthorityCertificate::has_signed`] does that.
    ///
    /// # Errors
    /// It is not a certificate as an [`Authority`](crate::Authority) makes them.
    pub fn parse(der: &[u8]) -> Result<Self, IdentityError> {
        let parsed = exactly(der)?;
        let fingerprint = Fingerprint::of_key(parsed.public_key().raw);
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let own = fingerprint.node().dns_name();
        if !matches!(names, [GeneralName::DNSName(name)] if *name == own) {
            return Err(IdentityError::BadCertificate("its name is not that of its key"));
        }
        let validity = parsed.validity();
        Ok(Self {
            der: CertificateDer::from(der.to_vec()),
            fingerprint,
            not_before: seconds(validity.not_before.timestamp()),
            not_after: seconds(validity.not_after.timestamp()),
        })
    }

    /// As it is kept and sent.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Whose key it is for.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whose it is.
    pub fn node(&self) -> NodeId {
        self.fingerprint.node()
    }

    /// Its first second, since 1970.
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Its last second, since 1970.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Whether it is good at that time.
    ///
    /// # Errors
    /// [`IdentityError::Expired`] or [`IdentityError::NotYet`]
    pub fn check_days(&self, now_s: u64) -> Result<(), IdentityError> {
        let node = self.node();
        match now_s {
            now if now < self.not_before => Err(IdentityError::NotYet { node, not_before: self.not_before }),
            now if now > self.not_after => Err(IdentityError::Expired { node, not_after: self.not_after }),
            _ => Ok(()),
        }
    }

    /// Whether it is time to ask for the next one: less than [`RENEW_BEFORE_S`] is left.
    pub fn wants_renewal(&self, now_s: u64) -> bool {
        self.not_after < now_s.saturating_add(RENEW_BEFORE_S)
    }
}

impl fmt::Debug for NodeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeCertificate({}, until {})", self.node(), crate::clock::day(self.not_after))
    }
}

/// Which cluster: the first 16 bytes of SHA-256 over its authority's public key. So it need not be told, and
/// cannot be told wrongly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

/// The certificate of a cluster's authority: what its nodes trust.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityCertificate {
    der: CertificateDer<'static>,
    public_key: [u8; 32],
    cluster: ClusterId,
}

impl AuthorityCertificate {
    /// Reads it (DER). It is trusted because of where it came from: a file of this node, or a pairing.
    ///
    /// # Errors
    /// It is not a certificate as [`Authority::create`](crate::Authority::create) makes them.
    pub fn parse(der: &[u8]) -> Result<Self, IdentityError> {
        let parsed = exactly(der)?;
        if !parsed.is_ca() {
            return Err(IdentityError::BadCertificate("it is not that of an authority"));
        }
        let key = parsed.public_key();
        let public_key = <[u8; 32]>::try_from(&*key.subject_public_key.data)
            .map_err(|_| IdentityError::BadCertificate("its key has a wrong length"))?;
        let mut cluster = [0; 16];
        cluster.copy_from_slice(&Fingerprint::of_key(key.raw).as_bytes()[..16]);
        let certificate =
            Self { der: CertificateDer::from(der.to_vec()), public_key, cluster: ClusterId(cluster) };
        match certificate.has_signed_certificate(&parsed) {
            true => Ok(certificate),
            false => Err(IdentityError::BadCertificate("it is not signed with its own key")),
        }
    }

    /// As it is kept and sent.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Which cluster's.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The raw Ed25519 key.
    pub(crate) fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// Whether this authority made that certificate. Its days are not looked at.
    pub fn has_signed(&self, certificate: &NodeCertificate) -> bool {
        exactly(certificate.der()).is_ok_and(|parsed| self.has_signed_certificate(&parsed))
    }

    fn has_signed_certificate(&self, parsed: &X509Certificate<'_>) -> bool {
        self.has_signed_bytes(parsed.tbs_certificate.as_ref(), &parsed.signature_value.data)
    }

    pub(crate) fn has_signed_bytes(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public_key).verify(bytes, signature).is_ok()
    }
}

impl fmt::Debug for AuthorityCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorityCertificate({})", self.cluster)
    }
}

/// One certificate and nothing after it, of the one kind of key that there is here.
fn exactly(der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    let (rest, parsed) =
        X509Certificate::from_der(der).map_err(|_| IdentityError::BadCertificate("it cannot be read"))?;
    let is_ed25519 = |algorithm: &Oid<'_>| *algorithm == OID_SIG_ED25519;
    match () {
        () if !rest.is_empty() => Err(IdentityError::BadCertificate("something follows it")),
        () if !is_ed25519(&parsed.public_key().algorithm.algorithm)
            || !is_ed25519(&parsed.signature_algorithm.algorithm) =>
        {
            Err(IdentityError::BadCertificate("it is not about Ed25519 keys"))
        }
        () => Ok(parsed),
    }
}

fn seconds(timestamp: i64) -> u64 {
    u64::try_from(timestamp).unwrap_or(0)
}
