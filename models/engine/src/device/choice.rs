//! Which device computes, as settings name it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::LoadError;

/// What computes. In settings a word: `cpu`, `cuda`, `cuda:1`, `metal` or `candle`.
///
/// ```
/// use understudy_engine::device::DeviceChoice;
///
/// assert_eq!("cuda:1".parse(), Ok(DeviceChoice::Cuda(1)));
/// assert_eq!(DeviceChoice::Cuda(0).to_string(), "cuda");
/// assert!("cuda:x".parse::<DeviceChoice>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// This machine's processor, by our own kernels.
    #[default]
    Cpu,
    /// An NVIDIA graphics processor, counted from 0 as its driver counts.
    Cuda(usize),
    /// The Apple graphics processor.
    Metal,
    /// This machine's processor, by candle's kernels: slow, to try what a device does where
    /// there is none.
    Candle,
}

impl DeviceChoice {
    /// Whether this build can use it at all.
    pub(super) fn require_built(self) -> Result<(), LoadError> {
        let (feature, is_built) = match self {
            Self::Cpu => return Ok(()),
            Self::Cuda(_) => ("cuda", cfg!(feature = "cuda")),
            Self::Metal => ("metal", cfg!(feature = "metal")),
            Self::Candle => ("device", cfg!(feature = "device")),
        };
        match is_built {
            true => Ok(()),
            false => Err(LoadError::Device(format!(
                "{self}: this program was built without it; build it with --features {feature}"
            ))),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
            Self::Candle => f.write_str("candle"),
        }
    }
}

/// A word that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device: it is cpu, cuda, cuda:N, metal or candle")]
pub struct UnknownDevice(String);

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(word: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice(word.to_owned());
        match word {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            "candle" => Ok(Self::Candle),
            _ => {
                let number = word.strip_prefix("cuda:").ok_or_else(unknown)?;
                number.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = UnknownDevice;

    fn try_from(word: String) -> Result<Self, UnknownDevice> {
        word.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}
