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
    store::LinkSecret,
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
    /// What members of the cluster know (the control link's cookie).
    pub link_secret: LinkSecret,
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
            .raw(self.link_secret.as_bytes())
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
        let link_secret = LinkSecret::from_bytes(fields.array()?);
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
        Ok(Self {
            cluster_name,
            certificate,
            authority_certificate,
            authority,
            link_secret,
            denied,
            addresses,
            inviter,
        })
    }
}
