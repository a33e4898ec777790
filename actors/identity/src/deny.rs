//! Keys that were turned out of the cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    authority::CERTIFICATE_LASTS_S,
    certificate::AuthorityCertificate,
    error::IdentityError,
    fields::{Reader, Unreadable, Writer, as_hex},
    node::{Fingerprint, NodeId},
};

/// Keys that a list remembers.
pub const MOST_DENIALS: usize = 4096;
/// Bytes of a reason.
pub const LONGEST_REASON: usize = 100;

/// Before what is signed, so that a signature of the authority over something else is never one over an entry.
const PURPOSE: &[u8] = b"understudy deny list entry 1\0";

/// An entry counts as out of use when the last certificate that its key can have has ended, and a day has passed.
const IN_USE_MS: u64 = (CERTIFICATE_LASTS_S + 24 * 60 * 60) * 1000;

/// One key that was turned out, signed by the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    #[serde(with = "as_hex")]
    fingerprint: [u8; 32],
    /// When, in milliseconds since 1970.
    pub when_ms: u64,
    /// Why, for people.
    pub reason: String,
    #[serde(with = "as_hex")]
    signature: [u8; 64],
}

impl Denial {
    pub(crate) fn signed_by(
        fingerprint: Fingerprint,
        reason: &str,
        when_ms: u64,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, IdentityError>,
    ) -> Result<Self, IdentityError> {
        let cut = (0..=reason.len().min(LONGEST_REASON)).rev().find(|&at| reason.is_char_boundary(at));
        let reason = reason[..cut.unwrap_or(0)].to_owned();
        let mut denial = Self { fingerprint: *fingerprint.as_bytes(), when_ms, reason, signature: [0; 64] };
        denial.signature = sign(&denial.signed_bytes())?
            .try_into()
            .map_err(|_| IdentityError::crypto("a signature is too long"))?;
        Ok(denial)
    }

    /// Which key.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from_bytes(self.fingerprint)
    }

    /// Whose.
    pub fn node(&self) -> NodeId {
        self.fingerprint().node()
    }

    /// As it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.fields().raw(&self.signature).done()
    }

    /// As it came. Nothing is verified: [`DenyList::merge`] does that.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::read(Reader::of(bytes)).ok()
    }

    fn read(mut fields: Reader<'_>) -> Result<Self, Unreadable> {
        let (fingerprint, when_ms) = (fields.array()?, fields.u64()?);
        let denial = Self { fingerprint, when_ms, reason: fields.text()?, signature: fields.array()? };
        fields.end()?;
        Ok(denial)
    }

    fn fields(&self) -> Writer {
        Writer::default().raw(&self.fingerprint).u64(self.when_ms).bytes(self.reason.as_bytes())
    }

    fn signed_bytes(&self) -> Vec<u8> {
        Writer::default().raw(PURPOSE).raw(&self.fields().done()).done()
    }

    fn is_signed_by(&self, authority: &AuthorityCertificate) -> bool {
        self.reason.len() <= LONGEST_REASON
            && authority.has_signed_bytes(&self.signed_bytes(), &self.signature)
    }
}

/// What became of entries that came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// Keys that are denied from now on: connections to them are to be closed.
    pub added: Vec<Fingerprint>,
    /// Whether there was an entry that the authority did not sign. Whoever sent it is broken or means harm, so what came
    /// after it was not looked at: signatures cost time.
    pub is_forged: bool,
    /// Entries for which there was no room.
    pub left_out: usize,
}

/// The keys that were turned out, as far as this node knows. Lists of nodes are merged by union, so all come to
/// know all entries.
///
/// **Full:** [`MOST_DENIALS`] entries are kept. One more takes the place of the oldest entry that is out of use:
/// the last certificate of its key has ended, so the key is of no use without the entry too. Where there is
/// none, the new one is left out and told: what is denied stays denied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DenyList {
    entries: BTreeMap<Fingerprint, Denial>,
}

impl DenyList {
    /// The entry about a key.
    pub fn get(&self, fingerprint: &Fingerprint) -> Option<&Denial> {
        self.entries.get(fingerprint)
    }

    /// Every entry, ordered by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Denial> {
        self.entries.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody was turned out.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes in entries that the authority signed, up to the first that it did not. Of two about one key the earlier
    /// stays.
    pub fn merge(
        &mut self,
        authority: &AuthorityCertificate,
        entries: impl IntoIterator<Item = Denial>,
        now_ms: u64,
    ) -> Merged {
        let mut merged = Merged::default();
        for entry in entries {
            let fingerprint = entry.fingerprint();
            let known = self.entries.get(&fingerprint);
            if known.is_some_and(|known| known.when_ms <= entry.when_ms) {
                continue; // Before the signature is looked at: gossip repeats itself.
            }
            let is_new = known.is_none();
            if !entry.is_signed_by(authority) {
                merged.is_forged = true;
                break;
            } else if is_new && !self.has_room(now_ms) {
                merged.left_out += 1;
            } else {
                self.entries.insert(fingerprint, entry);
                merged.added.extend(is_new.then_some(fingerprint));
            }
        }
        merged
    }

    /// Makes room where it can.
    fn has_room(&mut self, now_ms: u64) -> bool {
        if self.entries.len() < MOST_DENIALS {
            return true;
        }
        let oldest = self.entries.values().min_by_key(|entry| entry.when_ms);
        match oldest.filter(|entry| entry.when_ms.saturating_add(IN_USE_MS) < now_ms) {
            Some(entry) => self.entries.remove(&entry.fingerprint()).is_some(),
            None => false,
        }
    }
}
