//! One decoder-only transformer, configured from GGUF metadata.
//!
//! [`config`] says what the file describes, [`family`] what each architecture changes,
//! [`weights`] finds and checks the tensors, `packing` interleaves them for the fast paths,
//! [`forward`] computes rows, [`head`] their logits, [`project`] multiplies them by the weights. [`decoder`] is how an
//! engine sees all that, on this processor or elsewhere.

pub mod config;
pub mod decoder;
pub mod family;
pub mod forward;
pub mod head;
mod packing;
pub mod project;
pub mod weights;

use std::path::{Path, PathBuf};

use understudy_kernels::ComputePool;

pub use config::ModelConfig;
pub use decoder::{CpuDecoder, Decoder, PrefillRows};
pub use forward::{Row, Scratch, Want};
pub use head::Head;
pub use project::Activations;
pub use weights::Weights;

use crate::gguf::{Gguf, GgufError};
use packing::PackedWeights;

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
    /// The device that should compute is not there or cannot hold the weights.
    #[error("the device failed: {0}")]
    Device(String),
}

impl LoadError {
    pub(crate) fn out_of_range(key: &str, value: u64) -> Self {
        Self::OutOfRange { key: key.to_owned(), value }
    }
}

/// How a model is opened.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// How activations meet quantized weights.
    pub activations: Activations,
    /// Where packed weights are kept from one start to the next; `None` packs in memory.
    pub packs: Option<PathBuf>,
}

/// A model whose weights stay in mapped files.
pub struct Model {
    gguf: Gguf,
    config: ModelConfig,
    weights: Weights,
    activations: Activations,
    packed: PackedWeights,
}

impl Model {
    /// Maps a GGUF file and checks that every tensor is there with its shape. Activations are
    /// floats: the reference path.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is allocated in proportion to what a damaged file claims.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        Self::open_with(path, &ModelOptions::default(), &ComputePool::new(1))
    }

    /// The same by another path. The pool packs weights where the path wants them packed, which
    /// takes about as long as copying the file, once.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn open_with(path: &Path, options: &ModelOptions, pool: &ComputePool) -> Result<Self, LoadError> {
        let gguf = Gguf::open(path)?;
        let config = ModelConfig::from_gguf(&gguf)?;
        let mut weights = Weights::find(&gguf, &config)?;
        let packed = match options.activations {
            Activations::F32 => PackedWeights::None,
            Activations::Int16 | Activations::Int8 => {
                let mut matrices: Vec<_> = weights.matrices_mut().collect();
                packing::packed(pool, &gguf, &mut matrices, options.packs.as_deref())
            }
        };
        Ok(Self { gguf, config, weights, activations: options.activations, packed })
    }

    /// How activations meet quantized weights.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// What the file describes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where each tensor is.
    #[cfg(feature = "device")]
    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The file.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// Weights that one row of a pass is multiplied with, without the head.
    pub fn pass_products(&self) -> u64 {
        self.weights.block_products
    }

    /// Bytes of weights one pass reads without the head, and the head's own.
    pub fn pass_bytes(&self) -> (u64, u64) {
        (self.weights.block_bytes, self.weights.head_bytes)
    }
}
