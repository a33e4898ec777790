//! Why a verb failed, and what that means for state.

use understudy_engine::EngineError;

/// A verb's failure as a policy sees it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BackendError {
    /// The engine refused or failed this verb. The sequence is as before it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The request was cancelled. Its sequences are closed by the engine.
    #[error("the request was cancelled")]
    Cancelled,
    /// The deadline passed. Outcome unknown.
    #[error("the deadline passed")]
    Deadline,
    /// The engine died or was replaced while it held the request: its sequences are gone.
    /// Reopen from prompt and emitted ids.
    #[error("the engine of model {model:?} was lost: {why}")]
    EngineLost {
        /// Model whose engine it was.
        model: String,
        /// Panic message, hang, kill.
        why: String,
    },
    /// The slot is not ready (loading, draining, failed). Nothing happened.
    #[error("model {model:?} is unavailable: {why}")]
    Unavailable {
        /// Model.
        model: String,
        /// Its state, for people.
        why: String,
    },
    /// Every permit of the slot is taken and the queue is full. Nothing happened; retry later.
    #[error("model {model:?} is overloaded: {waiting} requests wait already")]
    Overloaded {
        /// Model.
        model: String,
        /// Requests in its queue.
        waiting: usize,
    },
    /// No such model in the catalogue or on disk.
    #[error("unknown model {name:?}{}", .suggestion.as_ref().map(|s| format!("; did you mean {s:?}?")).unwrap_or_default())]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The nearest known name.
        suggestion: Option<String>,
    },
    /// The model's file is missing and could not be fetched, or is damaged.
    #[error("model {model:?} could not be loaded: {why}")]
    Load {
        /// Model.
        model: String,
        /// Cause, with what to do.
        why: String,
        /// Stable code of the cause, such as `HUB_NO_SOURCE` or `GGUF_TRUNCATED`.
        code: String,
    },
}
