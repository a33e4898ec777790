//! A model where it computes.

use std::path::Path;
use std::sync::Arc;

use understudy_kernels::{ComputePool, processor};

use crate::EngineError;
use crate::device::DeviceChoice;
#[cfg(feature = "device")]
use crate::device::{Accelerator, DeviceDecoder, DeviceModel, Matrices};
use crate::gguf::Gguf;
#[cfg(feature = "device")]
use crate::model::Activations;
use crate::model::gates::Gate;
use crate::model::{CpuDecoder, Decoder, LoadError, Model, ModelConfig, ModelOptions};

/// A model on the processor or on a device: what engines need of either.
#[derive(Clone)]
pub struct PlacedModel(Place);

#[derive(Clone)]
enum Place {
    Processor(Arc<Model>, Arc<ComputePool>),
    #[cfg(feature = "device")]
    Device(Arc<DeviceModel>),
}

/// Opens a device, to see that it is there, and says what it is: `cpu-avx2`, or `cuda` with the
/// name that its driver has for it.
///
/// # Errors
/// [`LoadError::Device`] with what the driver said, or which feature the build lacks.
pub fn probe(choice: DeviceChoice) -> Result<String, LoadError> {
    choice.require_built()?;
    #[cfg(feature = "device")]
    if choice != DeviceChoice::Cpu {
        return Accelerator::open(choice).map(|accelerator| accelerator.described());
    }
    Ok(format!("cpu-{}", processor()))
}

impl PlacedModel {
    /// Opens a model's file and uploads it where a device computes. There `int8` means weights as
    /// the file stores them, and nothing is packed. The pool packs or decodes weights, and computes
    /// where the processor does.
    ///
    /// # Errors
    /// [`LoadError`]; of the device, `Device`.
    pub fn open(
        path: &Path,
        choice: DeviceChoice,
        options: &ModelOptions,
        pool: &Arc<ComputePool>,
    ) -> Result<Self, LoadError> {
        choice.require_built()?;
        #[cfg(feature = "device")]
        if choice != DeviceChoice::Cpu {
            let matrices = match options.activations {
                Activations::F32 => Matrices::Float,
                Activations::Int8 => Matrices::Stored,
                Activations::Int16 | Activations::Mixed => {
                    let path = options.activations.name();
                    return Err(LoadError::Unsupported(format!("{path} on {choice}")));
                }
            };
            let host = Arc::new(Model::open(path)?);
            let model = Arc::new(DeviceModel::upload(host, &Accelerator::open(choice)?, matrices, pool)?);
            DeviceDecoder::warm_up(&model)?;
            return Ok(Self(Place::Device(model)));
        }
        Ok(Self(Place::Processor(Arc::new(Model::open_with(path, options, pool)?), pool.clone())))
    }

    fn host(&self) -> &Model {
        match &self.0 {
            Place::Processor(model, _) => model,
            #[cfg(feature = "device")]
            Place::Device(model) => &model.host,
        }
    }

    /// The model, where this machine's processor computes it.
    pub fn on_processor(&self) -> Option<&Model> {
        match &self.0 {
            Place::Processor(model, _) => Some(model),
            #[cfg(feature = "device")]
            Place::Device(_) => None,
        }
    }

    /// What the file describes.
    pub fn config(&self) -> &ModelConfig {
        self.host().config()
    }

    /// The file.
    pub fn gguf(&self) -> &Gguf {
        self.host().gguf()
    }

    /// Names the arithmetic in digests: `cpu-int16`, `cuda-f32`.
    pub fn numerics(&self) -> String {
        match &self.0 {
            Place::Processor(model, _) => model.numerics(),
            #[cfg(feature = "device")]
            Place::Device(model) => model.numerics().to_owned(),
        }
    }

    /// The arithmetic without the device: `int16`.
    pub fn path(&self) -> &'static str {
        match &self.0 {
            Place::Processor(model, _) => model.activations().name(),
            #[cfg(feature = "device")]
            Place::Device(model) => model.numerics().split_once('-').map_or("", |(_, path)| path),
        }
    }

    /// What is known of the fast kernels that it runs on; a device has none of ours.
    pub fn gates(&self) -> &[Gate] {
        self.on_processor().map_or(&[], Model::gates)
    }

    /// Bytes of weights that one pass reads without the head, and the head's own.
    pub fn pass_bytes(&self) -> (u64, u64) {
        match &self.0 {
            Place::Processor(model, _) => model.pass_bytes(),
            #[cfg(feature = "device")]
            Place::Device(model) => model.pass_bytes(),
        }
    }

    /// A decoder with so many pages of KV memory.
    ///
    /// # Errors
    /// [`EngineError::Device`] when the device has not that much.
    pub fn decoder(&self, pages: usize) -> Result<Box<dyn Decoder>, EngineError> {
        match &self.0 {
            Place::Processor(model, pool) => {
                Ok(Box::new(CpuDecoder::new(model.clone(), pool.clone(), pages)))
            }
            #[cfg(feature = "device")]
            Place::Device(model) => Ok(Box::new(DeviceDecoder::new(model.clone(), pages)?)),
        }
    }
}
