//! A node's key.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::{error::IdentityError, node::Fingerprint};

/// A node's Ed25519 key. It is made on the node, kept in a file of the node, and never sent: what travels is a
/// request for a certificate, signed with it.
pub struct NodeKey {
    pair: KeyPair,
    fingerprint: Fingerprint,
}

impl NodeKey {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, IdentityError> {
        KeyPair::generate_for(&PKCS_ED25519).map(Self::of).map_err(IdentityError::crypto)
    }

    /// Reads it from PKCS #8 (DER).
    ///
    /// # Errors
    /// It is not such a key, or the two halves of it do not belong together.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        Ok(Self::of(ed25519_from_der(der)?))
    }

    fn of(pair: KeyPair) -> Self {
        let fingerprint = Fingerprint::of_key(&pair.subject_public_key_info());
        Self { pair, fingerprint }
    }

    /// PKCS #8 (DER): for the node's own file.
    pub fn to_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.pair.serialize_der())
    }

    /// Who has this key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// A request for a certificate (PKCS #10, DER): the public key, signed with the private one.
    ///
    /// # Errors
    /// Signing failed.
    pub fn request(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.pair).map_err(IdentityError::crypto)?;
        Ok(request.der().to_vec())
    }

    pub(crate) fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pair.serialize_der()))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.fingerprint)
    }
}

pub(crate) fn ed25519_from_der(der: &[u8]) -> Result<KeyPair, IdentityError> {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519)
        .map_err(|_| IdentityError::Crypto("it is not an Ed25519 key in PKCS #8".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_is_not_shown() {
        let key = NodeKey::generate().unwrap();
        let again = NodeKey::from_der(&key.to_der()).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
        assert_ne!(NodeKey::generate().unwrap().fingerprint(), key.fingerprint());
        assert_eq!(format!("{key:?}"), format!("NodeKey({})", key.fingerprint()));

        let mut halves_of_two = key.to_der().to_vec();
        *halves_of_two.last_mut().unwrap() ^= 1;
        let other_kind = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_der();
        for wrong in [&[][..], b"no key", &key.to_der()[1..], &halves_of_two, &other_kind] {
            assert!(NodeKey::from_der(wrong).is_err());
        }
    }
}
