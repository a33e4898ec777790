//! What can be wrong with a checkpoint folder.

use std::path::PathBuf;

use crate::gguf::GgufError;

/// Why a folder of safetensors files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// A file or tensor that the checkpoint needs is absent.
    #[error("the checkpoint lacks {what}")]
    Missing {
        /// What.
        what: String,
    },
    /// A file that cannot be what its name says.
    #[error("{file}: {reason}")]
    Damaged {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that contradicts the rest.
    #[error("tensor {name}: {reason}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that other engines run and this one does not.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// What was read does not make a model.
    #[error(transparent)]
    Gguf(#[from] GgufError),
}

impl CheckpointError {
    pub(crate) fn damaged(file: &str, reason: impl ToString) -> Self {
        Self::Damaged { file: file.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self::Missing { what: what.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }

    pub(crate) fn tensor(name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor { name: name.to_owned(), reason: reason.into() }
    }
}
