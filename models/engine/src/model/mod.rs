//! One decoder-only transformer, configured from GGUF metadata.
//!
//! [`config`] says what the file describes, [`family`] what each architecture changes,
//! [`weights`] finds and checks the tensors, `packing` interleaves them for the fast paths,
//! [`gates`] decides which of those to trust, [`forward`] computes rows, [`head`] their logits,
//! [`project`] multiplies them by the weights. [`decoder`] is how an
//! engine sees all that, on this processor or elsewhere.

pub mod config;
pub mod decoder;
pub mod family;
pub mod forward;
pub mod gates;
pub mod head;
mod packing;
pub mod project;
pub mod weights;

use std::path::{Path, PathBuf};

use understudy_kernels::gates::{FastKernels, Kernels};
use understudy_kernels::{Ceiling, ComputePool, is_packable};

pub use config::ModelConfig;
pub use decoder::{CpuDecoder, Decoder, PrefillRows};
pub use forward::{Row, Scratch, Want};
pub use head::Head;
pub use project::Activations;
pub use weights::Weights;

use crate::checkpoint::{self, CheckpointError};
use crate::gguf::{Gguf, GgufError};
use gates::{Gate, Subject, attention_name, product_name};
use packing::PackedWeights;
use weights::MatrixAt;

/// Why a file could not become a model.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file itself is damaged, missing or no GGUF.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The folder is no checkpoint that this engine reads.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
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
    /// A fast kernel that was asked for may not be used here.
    #[error("the fast kernel {kernel} is not used on this machine, it is {state}: {detail}")]
    Gate {
        /// Kernel and shape.
        kernel: String,
        /// `wrong` or `slow`.
        state: &'static str,
        /// What that rests on.
        detail: String,
    },
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
    /// Where packed weights and the verdicts on kernels are kept from one start to the next; `None`
    /// packs in memory and asks of kernels only whether they are right.
    pub packs: Option<PathBuf>,
}

/// A model whose weights stay in mapped files.
pub struct Model {
    gguf: Gguf,
    config: ModelConfig,
    weights: Weights,
    activations: Activations,
    packed: PackedWeights,
    gates: Vec<Gate>,
    plain_attention: bool,
}

impl Model {
    /// Maps a GGUF file, or the checkpoint in a folder, and checks that every tensor is there with
    /// its shape. Activations are floats: the reference path.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is allocated in proportion to what a damaged file claims.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        Self::open_with(path, &ModelOptions::default(), &ComputePool::new(1))
    }

    /// The same by another path. The pool packs weights where the path wants them packed, which
    /// takes about as long as copying the file, once; so does judging the kernels, which takes a
    /// fraction of a second.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn open_with(path: &Path, options: &ModelOptions, pool: &ComputePool) -> Result<Self, LoadError> {
        Self::open_on(path, options, pool, &Kernels)
    }

    /// The same with the kernels judged as if they were these.
    fn open_on(
        path: &Path,
        options: &ModelOptions,
        pool: &ComputePool,
        kernels: &dyn FastKernels,
    ) -> Result<Self, LoadError> {
        let gguf = match checkpoint::is_checkpoint(path) {
            true => checkpoint::open(path)?,
            false => Gguf::open(path)?,
        };
        let config = ModelConfig::from_gguf(&gguf)?;
        let mut weights = Weights::find(&gguf, &config)?;
        // Float weights have no packed layout: a model of nothing else is on the reference path.
        let has_packed = weights.matrices().any(|matrix| is_packable(matrix.ty));
        let activations = if has_packed { options.activations } else { Activations::F32 };
        let folder = options.packs.as_deref();
        let digest = packing::digest(&gguf, weights.matrices());
        let packed = match activations {
            Activations::F32 => PackedWeights::None,
            Activations::Int16 | Activations::Mixed | Activations::Int8 => {
                let mut matrices: Vec<_> = weights.matrices_mut().collect();
                packing::packed(pool, &gguf, &mut matrices, folder, &digest)
            }
        };
        let subject =
            Subject { gguf: &gguf, config: &config, weights: &weights, packed: &packed, activations };
        let named = if gguf.is_checkpoint() { gguf.path() } else { path };
        let file = named.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let gates = subject.gates(pool, kernels, folder, (file, digest));
        // What was read of the file for all this is not needed again, except for embeddings.
        gguf.release();
        let plain_attention = false;
        let mut model = Self { gguf, config, weights, activations, packed, gates, plain_attention };
        model.fall_back();
        Ok(model)
    }

    /// Puts the plain kernels in the place of those whose gates are closed.
    fn fall_back(&mut self) {
        let closed: Vec<&Gate> = self.gates.iter().filter(|gate| !gate.is_on()).collect();
        if closed.is_empty() {
            return;
        }
        for Gate { kernel, state, detail } in &closed {
            tracing::warn!(kernel, state = state.name(), detail, "a fast kernel is not used on this machine");
        }
        let is_closed = |name: &str| closed.iter().any(|gate| gate.kernel == name);
        self.plain_attention = is_closed(&attention_name(&self.config));
        for matrix in self.weights.matrices_mut() {
            if is_closed(&product_name(matrix)) {
                matrix.packed = None;
            }
        }
        if self.weights.matrices().all(|matrix| matrix.packed.is_none()) {
            self.activations = Activations::F32;
        }
    }

    /// What is known of the fast kernels that it runs on, or would.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// That every fast kernel is used.
    ///
    /// # Errors
    /// [`LoadError::Gate`] about the first that is not.
    pub fn require_fast(&self) -> Result<(), LoadError> {
        match self.gates.iter().find(|gate| !gate.is_on()) {
            None => Ok(()),
            Some(Gate { kernel, state, detail }) => {
                Err(LoadError::Gate { kernel: kernel.clone(), state: state.name(), detail: detail.clone() })
            }
        }
    }

    /// The digest of its arithmetic, such as `cpu-int16`; a plain kernel in the place of a fast one
    /// is named too.
    pub fn numerics(&self) -> String {
        let products = self.activations != Activations::F32;
        let closed = self.gates.iter().filter(|gate| !gate.is_on());
        let plain = closed.filter(|gate| products || gate.kernel == attention_name(&self.config));
        plain.fold(self.activations.numerics().to_owned(), |name, gate| name + ", plain " + &gate.kernel)
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

    /// The file, or the checkpoint in a file's terms.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// Seconds that the products of one row take at most at these rates, without the head.
    pub fn pass_seconds(&self, ceiling: &Ceiling) -> f64 {
        let seconds = |matrix: &MatrixAt| {
            2.0 * matrix.products() as f64 / ceiling.ops(self.activations.precision(matrix.inputs))
        };
        self.weights.block_matrices().map(seconds).sum()
    }

    /// Bytes of weights one pass reads without the head, and the head's own.
    pub fn pass_bytes(&self) -> (u64, u64) {
        (self.weights.block_bytes, self.weights.head_bytes)
    }
}
