//! A node is its key: its identity is a digest of it.

use std::{fmt, str::FromStr};

use ring::digest;

use crate::hex;

/// The DNS domain that certificates of nodes are for. The authority's certificate is good for names below it only.
pub const DOMAIN: &str = "node.understudy";

/// SHA-256 of a node's public key (SubjectPublicKeyInfo, DER). It outlives certificates: a renewed certificate
/// is for the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a public key: SubjectPublicKeyInfo, DER.
    pub fn of_key(public_key: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, public_key);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// As it was stored or sent.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To store or send it.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The short name of whoever has this key.
    pub fn node(&self) -> NodeId {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        NodeId(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The text is not 64 hexadecimal digits (a fingerprint), or not 16 (a node's id).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it should be {digits} hexadecimal digits")]
pub struct NotHex {
    digits: usize,
}

impl FromStr for Fingerprint {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        hex::decode(text).map(Self).ok_or(NotHex { digits: 64 })
    }
}

/// The first 8 bytes of a [`Fingerprint`], big endian; 16 hexadecimal digits where people see it. Short enough
/// to be found twice by somebody who tries 2^32 keys against many nodes, so nothing is decided by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The name in this node's certificate.
    pub fn dns_name(&self) -> String {
        format!("{self}.{DOMAIN}")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        hex::decode(text).map(|bytes| Self(u64::from_be_bytes(bytes))).ok_or(NotHex { digits: 16 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_first_half_of_the_first_quarter() {
        let fingerprint = Fingerprint::of_key(b"a key");
        let text = fingerprint.to_string();
        assert_eq!(fingerprint.node().to_string(), text[..16]);
        assert_eq!(fingerprint.node().dns_name(), format!("{}.node.understudy", &text[..16]));
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(text[..16].parse(), Ok(fingerprint.node()));
        assert!(text[..16].parse::<Fingerprint>().is_err() && text.parse::<NodeId>().is_err());
    }
}
