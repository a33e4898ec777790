//! Opening a device.

use candle_core::Device;

use crate::device::{DeviceChoice, said};
use crate::model::LoadError;

/// A device that tensors live on.
#[derive(Clone)]
pub struct Accelerator {
    device: Device,
}

impl Accelerator {
    /// Opens a device. Each model opens it for itself: candle keeps scratch memory per opening,
    /// so two engines on two threads share none.
    ///
    /// # Errors
    /// [`LoadError::Device`] with what the driver said, or which feature the build lacks.
    pub fn open(choice: DeviceChoice) -> Result<Self, LoadError> {
        choice.require_built()?;
        let opened = match choice {
            DeviceChoice::Cpu | DeviceChoice::Candle => Ok(Device::Cpu),
            // The stream of the calling thread. Nothing is pending when a load or a pass returns
            // (both synchronise), so the next one may come from another thread.
            DeviceChoice::Cuda(number) => Device::new_cuda(number),
            DeviceChoice::Metal => Device::new_metal(0),
        };
        let device = opened.map_err(|error| LoadError::Device(format!("{choice}: {}", said(error))))?;
        Ok(Self { device })
    }

    /// A word for `numerics`: `cuda`, `metal` or `candle`.
    pub fn name(&self) -> &'static str {
        match self.device {
            Device::Cpu => "candle",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        }
    }

    /// What the driver calls it, for reports: `cuda NVIDIA H100 80GB HBM3`.
    pub fn described(&self) -> String {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.device
            && let Ok(model) = device.cuda_stream().context().name()
        {
            return format!("cuda {model}");
        }
        self.name().to_owned()
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }
}
