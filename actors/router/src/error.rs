//! Why a request has no answer.

use understudy_actors::ConstraintError;
use understudy_backend::BackendError;
use understudy_engine::codec::CodecError;
use understudy_grammars::GrammarError;

/// A request's failure.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RouterError {
    /// The request (or the configuration) is wrong; nothing was done.
    #[error("{field}: {why}")]
    Invalid {
        /// Which part of it.
        field: String,
        /// What is wrong with it, and what is allowed.
        why: String,
    },
    /// The constraint cannot be compiled for the model.
    #[error("constraint: {0}")]
    Constraint(#[from] GrammarError),
    /// An answer that satisfies the constraint needs more tokens of the model's vocabulary.
    #[error("max_tokens: {left} are too few to complete what the constraint asks for: it needs {needed}")]
    TooFewTokens {
        /// Tokens that the answer may have.
        left: u32,
        /// Tokens of the shortest answer that is known.
        needed: usize,
    },
    /// As many requests run as are allowed. Nothing was done; retry later.
    #[error("the router is overloaded: {limit} requests run already")]
    Overloaded {
        /// How many may run.
        limit: usize,
    },
    /// A model could not be asked, or refused.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The conversation could not be turned into a prompt.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A defect of ours; other requests are not affected.
    #[error("internal error while answering: {0}")]
    Internal(String),
    /// The router is stopped or being restarted. Nothing was done; retry later.
    #[error("the router is not running")]
    NotRunning,
}

impl RouterError {
    pub(crate) fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), why: why.into() }
    }
}

impl From<ConstraintError> for RouterError {
    fn from(error: ConstraintError) -> Self {
        match error {
            ConstraintError::Grammar(error) => error.into(),
            ConstraintError::TooFewTokens { left, needed } => Self::TooFewTokens { left, needed },
            ConstraintError::Internal(why) => Self::Internal(why),
        }
    }
}
