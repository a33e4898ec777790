//! This node's standing in its cluster: certificate, authority and deny list, on disk and in use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use understudy_identity::{
    Clock, ClusterFiles, Denial, DenyList, Doors, Fingerprint, IdentityError, Member, NodeCertificate,
};

/// Files and doors, which change together.
pub(crate) struct Standing {
    pub(crate) files: ClusterFiles,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) member: Member,
    pub(crate) doors: Doors,
    denied: Mutex<DenyList>,
}

impl Standing {
    pub(crate) fn open(files: ClusterFiles, clock: Arc<dyn Clock>) -> Result<Self, IdentityError> {
        let member = files.open()?;
        let key = member.key.fingerprint();
        if let Some(denial) = member.denied.get(&key) {
            return Err(IdentityError::Denied { node: key.node(), when_ms: denial.when_ms });
        }
        for path in &member.mended {
            tracing::warn!(path = %path.display(), "others could read this secret until now; if that matters, leave and join again");
        }
        let doors = Doors::new(&member, clock.clone())?;
        let denied = Mutex::new(member.denied.clone());
        Ok(Self { files, clock, member, doors, denied })
    }

    /// Takes entries that a peer sent; the keys that are denied because of them.
    pub(crate) fn merge(&self, entries: &[Vec<u8>]) -> Vec<Fingerprint> {
        let entries: Vec<Denial> = entries.iter().filter_map(|entry| Denial::from_bytes(entry)).collect();
        let merged =
            self.denied().merge(&self.member.authority_certificate, entries.clone(), self.clock.now_ms());
        if merged.is_forged {
            tracing::warn!("a peer sent an entry of a deny list that the authority did not sign");
        }
        if merged.left_out > 0 {
            tracing::error!(
                left_out = merged.left_out,
                "the deny list is full: keys that others turned out are let in here"
            );
        }
        if !merged.added.is_empty() {
            self.doors.deny(self.denied().clone());
            if let Err(error) = self.files.keep_denials(entries, &*self.clock) {
                tracing::error!(%error, "the deny list is known until the node ends only");
            }
        }
        merged.added
    }

    /// Takes what another process has written to the deny list; the keys that are denied because of it.
    pub(crate) fn reread(&self) -> Vec<Fingerprint> {
        match self.files.open() {
            Ok(member) => {
                let entries: Vec<Vec<u8>> = member.denied.iter().map(Denial::to_bytes).collect();
                self.merge(&entries)
            }
            Err(error) => {
                tracing::warn!(%error, "the deny list cannot be read");
                Vec::new()
            }
        }
    }

    /// All keys that are denied.
    pub(crate) fn denied_keys(&self) -> Vec<Fingerprint> {
        self.denied().iter().map(Denial::fingerprint).collect()
    }

    /// The deny list.
    pub(crate) fn denied_list(&self) -> DenyList {
        self.denied().clone()
    }

    /// The deny list as it travels.
    pub(crate) fn denied_entries(&self) -> Vec<Vec<u8>> {
        self.denied().iter().map(Denial::to_bytes).collect()
    }

    /// Shows and keeps a new certificate.
    pub(crate) fn renew(&self, certificate: &NodeCertificate) -> Result<(), IdentityError> {
        self.doors.renew(certificate)?;
        self.files.keep_certificate(certificate)
    }

    fn denied(&self) -> MutexGuard<'_, DenyList> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
