//! What a process may do, by operating system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod none;

#[cfg(target_os = "linux")]
pub(super) use linux::{filter, launcher, spawn};
#[cfg(target_os = "macos")]
pub(super) use macos::{filter, launcher, spawn};
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) use none::{filter, launcher, spawn};
