//! Why a model's text side could not be built.

use crate::gguf::GgufError;

/// A file whose tokenizer or template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A key is missing or of the wrong type.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// `tokenizer.ggml.model` names an algorithm that this crate does not have.
    #[error("tokenizer {0:?} is not supported (gpt2 and llama are)")]
    UnsupportedTokenizer(String),
    /// `tokenizer.ggml.pre` names a pre-tokenizer that this crate does not have.
    #[error("pre-tokenizer {0:?} is not supported (supported: {1})")]
    UnsupportedPreTokenizer(String, String),
    /// The metadata contradicts itself.
    #[error("the tokenizer's metadata is inconsistent: {0}")]
    Inconsistent(String),
    /// The tokenizer library refused the vocabulary.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The chat template does not parse.
    #[error("the chat template does not parse: {0}")]
    Template(String),
}
