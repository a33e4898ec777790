//! The private certificate authority of a cluster.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
    PKCS_ED25519, PublicKeyData as _, SanType, SerialNumber, SigningKey as _,
};
use rustls::pki_types::CertificateSigningRequestDer;
use zeroize::Zeroizing;

use crate::{
    certificate::{AuthorityCertificate, NodeCertificate},
    clock::moment,
    deny::{Denial, DenyList},
    error::{IdentityError, random},
    key::ed25519_from_der,
    node::{DOMAIN, Fingerprint},
};

const DAY_S: u64 = 24 * 60 * 60;
/// How long a node's certificate is good from now on, in seconds: 30 days.
pub const CERTIFICATE_LASTS_S: u64 = 30 * DAY_S;
/// A certificate begins this long before it is made, so that a clock that is behind does no harm.
const BEGINS_BEFORE_S: u64 = DAY_S;
/// The authority outlives the machines: 20 years. A cluster that old is made anew.
const AUTHORITY_LASTS_S: u64 = 20 * 365 * DAY_S;
/// A request for a certificate of ours has some 150 bytes.
const LONGEST_REQUEST: usize = 4096;

/// Who says which nodes belong to a cluster: an Ed25519 key and its certificate. It lives where the cluster was
/// made and where an invite gave it; whoever has it can let anybody in.
pub struct Authority {
    key: KeyPair,
    certificate: AuthorityCertificate,
}

impl Authority {
    /// A new one. Its certificate is good for names below [`DOMAIN`] and for no further authority.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn create(now_s: u64) -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(IdentityError::crypto)?;
        let mut params = CertificateParams::default();
        params.not_before = moment(now_s.saturating_sub(BEGINS_BEFORE_S));
        params.not_after = moment(now_s.saturating_add(AUTHORITY_LASTS_S));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(DOMAIN.into())],
            excluded_subtrees: vec![],
        });
        // The key's digest is in the name, so that a certificate of another cluster is told from a forged one.
        let digest = Fingerprint::of_key(&key.subject_public_key_info());
        params.distinguished_name = common_name(&format!("Understudy cluster {}", digest.node()));
        let certificate = params.self_signed(&key).map_err(IdentityError::crypto)?;
        Ok(Self { certificate: AuthorityCertificate::parse(certificate.der())?, key })
    }

    /// From what was kept: the key (PKCS #8, DER) and the certificate.
    ///
    /// # Errors
    /// They do not belong together.
    pub fn load(key: &[u8], certificate: AuthorityCertificate) -> Result<Self, IdentityError> {
        let key = ed25519_from_der(key)?;
        match key.public_key_raw() == certificate.public_key() {
            true => Ok(Self { key, certificate }),
            false => {
                Err(IdentityError::BadCertificate("the authority's key is not the one in its certificate"))
            }
        }
    }

    /// The key (PKCS #8, DER): for this node's file, and for a node that was invited with it.
    pub fn key_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key.serialize_der())
    }

    /// What the nodes trust.
    pub fn certificate(&self) -> &AuthorityCertificate {
        &self.certificate
    }

    /// A certificate for whoever signed the request: [`CERTIFICATE_LASTS_S`] from now, as client and as server,
    /// for the name that follows from the key. Of the request only the key counts; what else it asks for is not
    /// granted.
    ///
    /// # Errors
    /// The request is unusable.
    pub fn issue(&self, request: &[u8], now_s: u64) -> Result<NodeCertificate, IdentityError> {
        let key = checked_key(request)?;
        let node = Fingerprint::of_key(&key.subject_public_key_info()).node();
        let mut params = CertificateParams::default();
        params.not_before = moment(now_s.saturating_sub(BEGINS_BEFORE_S));
        params.not_after = moment(now_s.saturating_add(CERTIFICATE_LASTS_S));
        params.serial_number = Some(SerialNumber::from_slice(&random::<16>()?));
        params.distinguished_name = common_name(&node.to_string());
        let name = node.dns_name().try_into().map_err(IdentityError::crypto)?;
        params.subject_alt_names = vec![SanType::DnsName(name)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer =
            Issuer::from_ca_cert_der(self.certificate.der(), &self.key).map_err(IdentityError::crypto)?;
        let certificate = params.signed_by(&key, &issuer).map_err(IdentityError::crypto)?;
        NodeCertificate::parse(certificate.der())
    }

    /// The next certificate for a member: `old` is ours, good now and not denied, and the request is signed with
    /// the same key.
    ///
    /// # Errors
    /// One of these does not hold; the error says which.
    pub fn renew(
        &self,
        old: &NodeCertificate,
        request: &[u8],
        denied: &DenyList,
        now_s: u64,
    ) -> Result<NodeCertificate, IdentityError> {
        let node = old.node();
        if !self.certificate.has_signed(old) {
            return Err(IdentityError::OtherCluster);
        }
        if let Some(denial) = denied.get(&old.fingerprint()) {
            return Err(IdentityError::Denied { node, when_ms: denial.when_ms });
        }
        old.check_days(now_s)?;
        let key = checked_key(request)?;
        if Fingerprint::of_key(&key.subject_public_key_info()) != old.fingerprint() {
            return Err(IdentityError::BadRequest("it is for another key than the certificate to renew"));
        }
        self.issue(request, now_s)
    }

    /// Turns a key out: every node that gets this entry refuses it from then on. `reason` is for people; it is
    /// cut to [`LONGEST_REASON`](crate::deny::LONGEST_REASON) bytes.
    ///
    /// # Errors
    /// Signing failed.
    pub fn deny(&self, fingerprint: Fingerprint, reason: &str, now_ms: u64) -> Result<Denial, IdentityError> {
        Denial::signed_by(fingerprint, reason, now_ms, |bytes| {
            self.key.sign(bytes).map_err(IdentityError::crypto)
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.certificate.cluster())
    }
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

/// The key of a request, which proves that whoever asks has the private half.
fn checked_key(request: &[u8]) -> Result<rcgen::PublicKey, IdentityError> {
    if request.len() > LONGEST_REQUEST {
        return Err(IdentityError::BadRequest("it is too long"));
    }
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
        .map_err(|_| IdentityError::BadRequest("it is not one, or is not signed with its own key"))?;
    match request.public_key.algorithm() == &PKCS_ED25519 {
        true => Ok(request.public_key),
        false => Err(IdentityError::BadRequest("it is not for an Ed25519 key")),
    }
}
