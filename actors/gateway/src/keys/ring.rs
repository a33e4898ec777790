//! The keys of a running node.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use subtle::ConditionallySelectable as _;

use super::{Digest, KeyFile};
use crate::{Caller, Failure, file_watch::on_change};

/// How soon a key that was revoked is worth nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who holds which key. Cheap to clone; clones see the same keys.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// `None`: there are no keys and never will be.
    path: Option<PathBuf>,
    present: ArcSwap<KeyFile>,
    /// Whether there was a key, ever.
    closed: AtomicBool,
}

impl Keyring {
    /// The keys of this file.
    ///
    /// # Errors
    /// `CONFIG_INVALID` naming the file and what is wrong.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let file = KeyFile::load(path)?;
        let shared = Shared { path: Some(path.to_owned()), ..Shared::default() };
        shared.take(file);
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether nobody needs a key: there never was one.
    pub fn is_open(&self) -> bool {
        !self.shared.closed.load(Ordering::Acquire)
    }

    /// Whoever holds this key. It takes the same time whichever key it is, and whether it is one.
    pub fn holder(&self, presented: &str) -> Option<Caller> {
        let digest = Digest::of(presented);
        let file = self.shared.present.load();
        let mut found = u32::MAX;
        for (i, key) in file.keys.iter().enumerate() {
            found.conditional_assign(&(i as u32), key.sha256.same(&digest));
        }
        file.keys.get(found as usize).map(super::KeyRecord::caller)
    }

    /// Whoever has a key of this name, which is no secret: the caller has proven otherwise who they are.
    pub fn named(&self, name: &str) -> Option<Caller> {
        let file = self.shared.present.load();
        file.keys.iter().find(|key| key.name == name).map(super::KeyRecord::caller)
    }

    /// Reads the file again whenever it changed. One that makes no sense changes nothing.
    pub(crate) async fn follow(self) {
        let Some(path) = &self.shared.path else { return };
        on_change(&[path], LOOK_EVERY, || match KeyFile::load(path) {
            Ok(file) => self.shared.take(file),
            Err(error) => tracing::error!(%error, "the new keys are unusable; the old ones stay"),
        })
        .await;
    }
}

impl Shared {
    fn take(&self, file: KeyFile) {
        if !file.keys.is_empty() {
            self.closed.store(true, Ordering::Release);
        }
        if **self.present.load() != file {
            tracing::info!(keys = file.keys.len(), "keys read");
            self.present.store(Arc::new(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        caller::Scope,
        keys::{ApiKey, KeyRecord, Level},
    };

    fn record(name: &str, key: &ApiKey) -> KeyRecord {
        KeyRecord {
            name: name.into(),
            sha256: key.digest(),
            scopes: vec![Scope::Inference],
            priority: Level::default(),
            requests_per_minute: None,
            burst: None,
            tokens_per_minute: None,
            concurrency: None,
            created: 0,
        }
    }

    #[tokio::test]
    async fn holders_are_found_by_their_key_alone_and_no_longer_than_it_is_there() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys.toml");
        let ring = Keyring::load(&path).unwrap();
        assert!(ring.is_open());
        let keys: Vec<_> = (0..3).map(|_| ApiKey::generate().unwrap()).collect();
        KeyFile::change(&path, |file| {
            file.keys = keys.iter().zip(["a", "b", "c"]).map(|(key, name)| record(name, key)).collect();
            Ok(())
        })
        .unwrap();
        let ring = Keyring::load(&path).unwrap();
        assert!(!ring.is_open());
        for (key, name) in keys.iter().zip(["a", "b", "c"]) {
            assert_eq!(ring.holder(key.reveal()).unwrap().tenant, name);
        }
        assert_eq!(ring.named("b").unwrap().tenant, "b");
        assert_eq!(ring.named(keys[1].reveal()), None);
        for wrong in ["", "sk-us-", ApiKey::generate().unwrap().reveal(), &keys[0].reveal()[1..]] {
            assert_eq!(ring.holder(wrong), None, "{wrong}");
        }
        ring.shared.take(KeyFile::default());
        assert_eq!(ring.holder(keys[0].reveal()), None);
        assert!(!ring.is_open(), "a node that lost its keys must not open itself");
    }
}
