//! Where models and engines come from; the real ones are wired in by the node.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use understudy_backend::{BackendError, LoadEvent, ModelCard};
use understudy_engine::{
    codec::Codec,
    tick::{Pulse, TickEngine},
};

/// Why a model could not be made ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Nobody knows this name.
    #[error("unknown model{}", .suggestion.as_ref().map(|s| format!("; did you mean {s:?}?")).unwrap_or_default())]
    Unknown {
        /// The nearest known name.
        suggestion: Option<String>,
    },
    /// Its file is missing, damaged or not supported.
    #[error("{why} [{code}]")]
    Failed {
        /// Stable code of the cause, such as `HUB_NO_SOURCE`.
        code: String,
        /// Cause, with what to do.
        why: String,
    },
}

impl LoadError {
    /// A failure with its code.
    pub fn failed(code: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Failed { code: code.into(), why: why.into() }
    }

    pub(crate) fn of_model(self, model: &str) -> BackendError {
        match self {
            Self::Unknown { suggestion } => BackendError::UnknownModel { name: model.into(), suggestion },
            Self::Failed { code, why } => BackendError::Load { model: model.into(), why, code },
        }
    }
}

/// Finds a model's file, fetching it when needed.
pub trait ModelSource: Send + Sync + 'static {
    /// The file of `model`. Blocking; called on a thread that may block. Reports
    /// [`LoadEvent::Fetching`] while it downloads and gives up soon after `cancel` is set.
    ///
    /// # Errors
    /// [`LoadError::Unknown`] for a name that nobody knows, else the cause.
    fn fetch(
        &self,
        model: &str,
        progress: &(dyn Fn(LoadEvent) + Send + Sync),
        cancel: &AtomicBool,
    ) -> Result<PathBuf, LoadError>;
}

/// Makes an engine that raises the pulse at every layer. Called on the engine's own
/// thread, again after each restart.
pub type MakeEngine = Arc<dyn Fn(Pulse) -> Result<Box<dyn TickEngine>, LoadError> + Send + Sync>;

/// A model file that was read and understood.
#[derive(Clone)]
pub struct LoadedModel {
    /// What is known of it.
    pub card: ModelCard,
    /// Bytes that its weights and the KV memory of its sequences take at most.
    pub memory: u64,
    /// Its text side.
    pub codec: Arc<dyn Codec>,
    /// Starts an engine over it.
    pub make_engine: MakeEngine,
}

/// Reads model files.
pub trait EngineFactory: Send + Sync + 'static {
    /// Reads the file. Blocking; called on a thread that may block.
    ///
    /// # Errors
    /// Whatever is wrong with the file.
    fn load(&self, path: &Path, model: &str) -> Result<LoadedModel, LoadError>;

    /// What computes, for people.
    fn device(&self) -> String {
        "cpu".to_owned()
    }

    /// The codec of a model of which this node has no more than [`Codec::head`] says. Blocking, as `load` is.
    ///
    /// # Errors
    /// Whatever is wrong with it; it came from another node and nothing in it is trusted.
    fn codec(&self, head: Vec<u8>) -> Result<Arc<dyn Codec>, LoadError>;
}
