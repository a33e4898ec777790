//! Elsewhere nothing runs.

use std::path::PathBuf;
use std::process::{Child, Command};

use crate::python::{Python, Unavailable};

/// What would start Python.
pub(in crate::python) fn launcher(python: &Python) -> (PathBuf, Vec<String>) {
    (python.executable.clone(), Vec::new())
}

/// Refuses.
pub(in crate::python) fn spawn(_: &Python, _: Command) -> Result<Child, Unavailable> {
    Err(Unavailable::NoConfinement(std::env::consts::OS.into()))
}

/// Refuses.
pub(in crate::python) fn filter() -> Result<&'static str, Unavailable> {
    Err(Unavailable::NoConfinement(std::env::consts::OS.into()))
}
