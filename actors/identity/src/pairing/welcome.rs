//! What a new member gets.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{PairingError, is_name};
use crate::{
    authority::Authority,
    certificate::{AuthorityCertificate, NodeCertificate},
    deny::Denial,
    error::IdentityError,
    fields::{Reader, Unreadable, Writer},
    node::Fingerprint,
};

/// Entries of the deny list take at most this many bytes of the frame, the newest first: some 200. The others
/// come by gossip.
const MOST_BYTES_OF_DENIALS: usize = 32 * 1024;
/// Addresses that are told.
const MOST_ADDRESSES: usize = 16;
/// Bytes of an address: a name of 253 and a port.
pub(crate) const LONGEST_ADDRESS: usize = 260;

/// What a new member gets: all it needs to be one.
#[derive(Debug)]
pub struct Welcome {
    /// The cluster's name, for people.
    pub cluster_name: String,
    /// The new member's certificate.
    pub certificate: NodeCertificate,
    /// Whom to trust.
    pub authority_certificate: AuthorityCertificate,
    /// Where the invite gave it: the authority itself.
    pub authority: Option<Arc<Authority>>,
    /// Keys that were turned out: some, see the deny list. Not verified yet.
    pub denied: Vec<Denial>,
    /// Where members may be found, `HOST:PORT`.
    pub addresses: Vec<String>,
    /// Who let it in.
    pub inviter: Fingerprint,
}

impl Welcome {
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let key = self.authority.as_ref().map(|authority| authority.key_der());
        let addresses: Vec<&String> = self
            .addresses
            .iter()
            .filter(|address| address.len() <= LONGEST_ADDRESS)
            .take(MOST_ADDRESSES)
            .collect();
        let denials = self.denials_to_tell();
        let mut fields = Writer::default()
            .bytes(self.cluster_name.as_bytes())
            .bytes(self.certificate.der())
            .bytes(self.authority_certificate.der())
            .bytes(key.as_ref().map_or(&[], |key| key.as_slice()))
            .u32(addresses.len());
        for address in addresses {
            fields = fields.bytes(address.as_bytes());
        }
        fields = fields.u32(denials.len());
        for denial in denials {
            fields = fields.bytes(&denial);
        }
        Zeroizing::new(fields.done())
    }

    fn denials_to_tell(&self) -> Vec<Vec<u8>> {
        let mut newest_first: Vec<&Denial> = self.denied.iter().collect();
        newest_first.sort_by_key(|denial| std::cmp::Reverse(denial.when_ms));
        let mut room = MOST_BYTES_OF_DENIALS;
        let mut told = Vec::new();
        for bytes in newest_first.into_iter().map(Denial::to_bytes) {
            let Some(left) = room.checked_sub(bytes.len()) else { break };
            room = left;
            told.push(bytes);
        }
        told
    }

    /// Reads what the inviter sent, and checks that it fits together and is for `own`.
    pub(super) fn read(bytes: &[u8], own: Fingerprint, inviter: Fingerprint) -> Result<Self, PairingError> {
        let mut fields = Reader::of(bytes);
        let cluster_name = fields.text()?;
        let certificate = NodeCertificate::parse(fields.bytes()?)?;
        let authority_certificate = AuthorityCertificate::parse(fields.bytes()?)?;
        let key = fields.bytes()?;
        let addresses = fields.list(MOST_ADDRESSES, Reader::text)?;
        let denial = |fields: &mut Reader<'_>| Denial::from_bytes(fields.bytes()?).ok_or(Unreadable);
        let denied = fields.list(MOST_BYTES_OF_DENIALS, denial)?;
        fields.end()?;
        if !is_name(&cluster_name) {
            return Err(IdentityError::BadName(cluster_name).into());
        }
        if certificate.fingerprint() != own {
            return Err(IdentityError::BadCertificate("it is for another node").into());
        }
        if !authority_certificate.has_signed(&certificate) {
            return Err(IdentityError::OtherCluster.into());
        }
        let authority = match key {
            [] => None,
            key => Some(Arc::new(Authority::load(key, authority_certificate.clone())?)),
        };
        Ok(Self { cluster_name, certificate, authority_certificate, authority, denied, addresses, inviter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    const NOW_S: u64 = 1_800_000_000;

    fn welcome(authority: &Arc<Authority>, key: &NodeKey) -> Welcome {
        Welcome {
            cluster_name: "lab".into(),
            certificate: authority.issue(&key.request().unwrap(), NOW_S).unwrap(),
            authority_certificate: authority.certificate().clone(),
            authority: Some(authority.clone()),
            denied: vec![authority.deny(Fingerprint::of_key(b"x"), "lost", NOW_S).unwrap()],
            addresses: vec!["10.0.0.1:7863".into(), "x".repeat(LONGEST_ADDRESS + 1)],
            inviter: Fingerprint::of_key(b"inviter"),
        }
    }

    /// Somebody who knows the code and hands out what does not fit together.
    #[test]
    fn a_welcome_that_does_not_fit_together_is_not_taken() {
        let [ours, other] = [(); 2].map(|()| Arc::new(Authority::create(NOW_S).unwrap()));
        let [own, another] = [(); 2].map(|()| NodeKey::generate().unwrap());
        let read = |welcome: &Welcome| {
            Welcome::read(&welcome.to_bytes(), own.fingerprint(), Fingerprint::of_key(b"inviter"))
        };
        let good = read(&welcome(&ours, &own)).unwrap();
        assert_eq!((good.denied.len(), &*good.addresses), (1, &["10.0.0.1:7863".to_owned()][..]));

        let for_another = welcome(&ours, &another);
        let mut of_another_cluster = welcome(&ours, &own);
        of_another_cluster.authority_certificate = other.certificate().clone();
        of_another_cluster.authority = None;
        let mut with_another_key = welcome(&ours, &own);
        with_another_key.authority = Some(other);
        let mut with_a_bad_name = welcome(&ours, &own);
        with_a_bad_name.cluster_name = "\u{7}".into();
        for (bad, words) in [
            (for_another, "another node"),
            (of_another_cluster, "another cluster"),
            (with_another_key, "authority's key"),
            (with_a_bad_name, "control characters"),
        ] {
            let told = read(&bad).unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
        let bytes = welcome(&ours, &own).to_bytes();
        for length in 0..bytes.len() {
            assert!(
                Welcome::read(&bytes[..length], own.fingerprint(), own.fingerprint()).is_err(),
                "{length}"
            );
        }
    }
}
