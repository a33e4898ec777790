//! Fakes found by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::FakeBackend;
use crate::{Backend, BackendError, LoadEvent, RequestCtx, Slots};

/// A [`Slots`] over fakes. Cheap to clone; clones share which models are loaded.
#[derive(Clone, Default)]
pub struct FakeSlots {
    slots: Arc<Mutex<BTreeMap<String, Slot>>>,
}

#[derive(Clone)]
struct Slot {
    backend: FakeBackend,
    loading: Option<Loading>,
    failure: Option<BackendError>,
}

#[derive(Clone)]
struct Loading {
    delay: Duration,
    /// Size of the pretended download; 0 loads from disk.
    fetch_bytes: u64,
}

impl FakeSlots {
    /// No models: every name is unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// A model that is ready.
    pub fn with(self, backend: FakeBackend) -> Self {
        self.insert(backend, None)
    }

    /// A model that is fetched (when `fetch_bytes` > 0) and loaded on first use, which
    /// takes `delay` in all.
    pub fn with_loading(self, backend: FakeBackend, delay: Duration, fetch_bytes: u64) -> Self {
        self.insert(backend, Some(Loading { delay, fetch_bytes }))
    }

    /// From now on asking for `model` fails so.
    pub fn fail(&self, model: &str, failure: BackendError) {
        if let Some(slot) = self.lock().get_mut(model) {
            slot.failure = Some(failure);
        }
    }

    fn insert(self, backend: FakeBackend, loading: Option<Loading>) -> Self {
        let name = backend.card().name.clone();
        self.lock().insert(name, Slot { backend, loading, failure: None });
        self
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(&self, name: &str) -> BackendError {
        let shared = |known: &str| known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        let suggestion =
            self.lock().keys().filter(|known| shared(known) > 0).max_by_key(|known| shared(known)).cloned();
        BackendError::UnknownModel { name: name.into(), suggestion }
    }
}

#[async_trait]
impl Slots for FakeSlots {
    async fn backend(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let slot = self.lock().get(model).cloned();
        let slot = slot.ok_or_else(|| self.unknown(model))?;
        if let Some(loading) = &slot.loading {
            if loading.fetch_bytes > 0 {
                for done in [0, loading.fetch_bytes / 2, loading.fetch_bytes] {
                    let (model, source) = (model.to_string(), "fake".to_string());
                    // Progress is informative: a full or dropped channel skips it.
                    let _ = progress.try_send(LoadEvent::Fetching {
                        model,
                        source,
                        done,
                        total: loading.fetch_bytes,
                    });
                }
            }
            let _ = progress.try_send(LoadEvent::Loading { model: model.into() });
            ctx.bound(async {
                tokio::time::sleep(loading.delay).await;
                Ok(())
            })
            .await?;
        }
        if let Some(failure) = slot.failure {
            return Err(failure);
        }
        if let Some(loaded) = self.lock().get_mut(model) {
            loaded.loading = None;
        }
        Ok(Arc::new(slot.backend))
    }
}
