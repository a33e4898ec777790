//! Graphics processors: the same models and verbs, computed by candle's tensors.
//!
//! | module | idea |
//! |---|---|
//! | `accelerator` | opening a device |
//! | `weights` | a model's matrices on the device |
//! | `pass` | what a pass writes and reads, planned on the host |
//! | `cache` | paged keys and values on the device |
//! | `decoder` | the arithmetic of a pass |
//!
//! All but [`DeviceKind`] is behind the feature `device`, which `cuda` and `metal` imply. With
//! `device` alone the same code runs on candle's own processor backend: slow, but it needs no
//! graphics processor, so tests compare it with the processor's decoder and with the reference.
//!
//! **INV-K1 on a device.** The libraries choose their kernels by shape, so a row computed beside
//! other rows, or in another cut of its prompt, may differ in its last bits; and a greedy choice
//! between two tokens that are as likely as each other may differ with them. What does hold: a
//! row reads its own sequence's keys and values only, and the same passes give the same results.
//! `DeviceModel::numerics` names the device, so that an answer says which rule holds.

#[cfg(feature = "device")]
mod accelerator;
#[cfg(feature = "device")]
mod cache;
#[cfg(feature = "device")]
mod decoder;
#[cfg(feature = "device")]
mod pass;
#[cfg(feature = "device")]
mod weights;

use serde::{Deserialize, Serialize};

#[cfg(feature = "device")]
pub use accelerator::Accelerator;
#[cfg(feature = "device")]
pub use decoder::DeviceDecoder;
#[cfg(feature = "device")]
pub use weights::{DeviceModel, Matrices};

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// This machine's processor, by our own kernels.
    #[default]
    Cpu,
    /// The first NVIDIA graphics processor.
    Cuda,
    /// The first Apple graphics processor.
    Metal,
}

impl DeviceKind {
    /// The name in settings, and of the build feature.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }

    /// Whether this build can use it at all.
    pub const fn is_built(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Metal => cfg!(feature = "metal"),
        }
    }
}
