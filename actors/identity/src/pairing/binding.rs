//! Which TLS session a pairing runs in.

use std::fmt;

use rustls::ConnectionCommon;

use crate::error::IdentityError;

const LABEL: &[u8] = b"EXPORTER-understudy-join-1";

/// What a finished TLS session exports (RFC 8446, 7.5): the same 32 bytes at both of its ends, others in every
/// other session.
///
/// The certificate's digest would tell the two sessions of somebody in the middle apart too. This tells any two
/// sessions apart: also two to the same node, and also if somebody has the node's TLS key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binding([u8; 32]);

impl Binding {
    /// Of a connection whose handshake is over.
    ///
    /// # Errors
    /// It is not over.
    pub fn of<Side>(connection: &ConnectionCommon<Side>) -> Result<Self, IdentityError> {
        let exported = connection.export_keying_material([0; 32], LABEL, None);
        exported.map(Self).map_err(IdentityError::crypto)
    }

    /// For tests of what stands above TLS.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binding(..)")
    }
}
