//! Graphics processors: the same models and verbs, computed by candle's tensors.
//!
//! | module | idea |
//! |---|---|
//! | `choice` | which device a setting names |
//! | `placed` | a model on the processor or on a device: what an engine needs of either |
//! | `accelerator` | opening a device |
//! | `weights` | a model's matrices on the device |
//! | `pass` | what a pass writes and reads, planned on the host |
//! | `cache` | paged keys and values on the device |
//! | `decoder` | the arithmetic of a pass |
//!
//! All but the first two is behind the feature `device`, which `cuda` and `metal` imply. With
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
mod choice;
#[cfg(feature = "device")]
mod decoder;
#[cfg(feature = "device")]
mod pass;
mod placed;
#[cfg(feature = "device")]
mod weights;

#[cfg(feature = "device")]
pub use accelerator::Accelerator;
pub use choice::{DeviceChoice, UnknownDevice};
#[cfg(feature = "device")]
pub use decoder::DeviceDecoder;
pub use placed::{PlacedModel, probe};
#[cfg(feature = "device")]
pub use weights::{DeviceModel, Matrices};

/// What a driver said, without the backtrace that candle puts behind it.
#[cfg(feature = "device")]
fn said(error: candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => said(*inner),
        error => error.to_string(),
    }
}
