//! Opening a device.

use candle_core::Device;

use crate::device::DeviceKind;
use crate::model::LoadError;

/// A device that tensors live on.
#[derive(Clone)]
pub struct Accelerator {
    device: Device,
}

impl Accelerator {
    /// Opens the first device of a kind. Each model opens it for itself: candle keeps scratch
    /// memory per opening, so two engines on two threads share none.
    ///
    /// # Errors
    /// [`LoadError::Device`] with what the driver said, or which feature the build lacks.
    pub fn open(kind: DeviceKind) -> Result<Self, LoadError> {
        if !kind.is_built() {
            let name = kind.name();
            return Err(LoadError::Device(format!(
                "this build has no {name}: build it with --features {name}"
            )));
        }
        let opened = match kind {
            DeviceKind::Cpu => Ok(Device::Cpu),
            // The stream of the calling thread. Nothing is pending when a load or a pass returns
            // (both synchronise), so the next one may come from another thread.
            DeviceKind::Cuda => Device::new_cuda(0),
            DeviceKind::Metal => Device::new_metal(0),
        };
        opened.map(|device| Self { device }).map_err(|error| LoadError::Device(error.to_string()))
    }

    /// candle's own processor backend, to test against.
    pub fn reference() -> Self {
        Self { device: Device::Cpu }
    }

    /// A word for logs and `numerics`: `cuda`, `metal` or `candle`.
    pub fn name(&self) -> &'static str {
        match self.device {
            Device::Cpu => "candle",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        }
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }
}
