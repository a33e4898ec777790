//! One decoder-only transformer, configured from GGUF metadata.
//!
//! [`config`] says what the file describes, [`family`] what each architecture changes,
//! [`weights`] finds and checks the tensors, [`forward`] computes rows.

pub mod config;
pub mod family;
pub mod forward;
pub mod weights;

use std::path::Path;

pub use config::ModelConfig;
pub use forward::{Row, Scratch, Want};
pub use weights::Weights;

use crate::gguf::{Gguf, GgufError};

/// Why a file could not become a model.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file itself is damaged, missing or no GGUF.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// An architecture this engine does not run.
    #[error("architecture {0:?} is not supported (supported: {list})", list = family::SUPPORTED.join(", "))]
    UnsupportedArchitecture(String),
    /// A feature of a supported architecture that this engine does not run.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// Metadata beyond any sane bound.
    #[error("metadata {key:?} has the value {value}, which is out of range")]
    OutOfRange {
        /// Key.
        key: String,
        /// Value.
        value: u64,
    },
    /// A tensor does not have the shape that the metadata promises.
    #[error("tensor {name:?} is {rows} x {cols}, expected {want_rows} x {want_cols}")]
    Shape {
        /// Tensor.
        name: String,
        /// Found outputs.
        rows: usize,
        /// Found inputs.
        cols: usize,
        /// Expected outputs.
        want_rows: usize,
        /// Expected inputs.
        want_cols: usize,
    },
}

impl LoadError {
    pub(crate) fn out_of_range(key: &str, value: u64) -> Self {
        Self::OutOfRange { key: key.to_owned(), value }
    }
}

/// A model whose weights stay in the mapped file.
pub struct Model {
    gguf: Gguf,
    config: ModelConfig,
    weights: Weights,
}

impl Model {
    /// Maps a GGUF file and checks that every tensor is there with its shape.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is allocated in proportion to what a damaged file claims.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        Self::from_gguf(Gguf::open(path)?)
    }

    /// The same for a file that is open already.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn from_gguf(gguf: Gguf) -> Result<Self, LoadError> {
        let config = ModelConfig::from_gguf(&gguf)?;
        let weights = Weights::find(&gguf, &config)?;
        Ok(Self { gguf, config, weights })
    }

    /// What the file describes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The file.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// Bytes of weights one pass reads without the head, and the head's own.
    pub fn pass_bytes(&self) -> (u64, u64) {
        (self.weights.block_bytes, self.weights.head_bytes)
    }
}
