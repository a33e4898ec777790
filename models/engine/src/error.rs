//! Why an engine refused or failed a verb.

/// An engine's failure. Unless a variant says otherwise the sequence is as before the verb.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// The handle is of a sequence that was closed or of an engine before a restart.
    #[error("the sequence no longer exists")]
    StaleSeq,
    /// `at` is not the sequence's length: the caller missed an outcome.
    #[error("the sequence has {actual} tokens, the verb expected {expected}")]
    LengthMismatch {
        /// What the verb named.
        expected: usize,
        /// What it is.
        actual: usize,
    },
    /// A prompt, draft, candidate or text without tokens.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// More tokens than the model's context.
    #[error("{tokens} tokens do not fit the context of {context}")]
    ContextOverflow {
        /// Tokens asked for.
        tokens: usize,
        /// Tokens that fit.
        context: usize,
    },
    /// All sequence slots or KV pages are in use.
    #[error("out of KV memory: {0}")]
    OutOfKv(String),
    /// A token id outside the vocabulary.
    #[error("token {id} is outside the vocabulary of {vocab}")]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// Vocabulary size.
        vocab: usize,
    },
    /// Another verb on the same sequence has not finished.
    #[error("the sequence is busy with another verb")]
    SeqBusy,
    /// The gate allows no token: a defect of the constraint. The sequence keeps its tokens.
    #[error("the constraint allows no token")]
    DeadEnd,
    /// Logits were not finite: a defect of weights or kernels. The sequence keeps its tokens.
    #[error("the model produced a logit that is not a number")]
    NonFiniteLogits,
    /// The device that computes failed: out of memory, or lost. The sequence keeps its tokens.
    #[error("the device failed: {0}")]
    Device(String),
    /// The job was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// A request parameter is out of range.
    #[error("{0}")]
    InvalidArgument(String),
}
