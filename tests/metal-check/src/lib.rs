//! Nothing runs here: that this compiles is the check.

pub use understudy_engine::device::Accelerator;
