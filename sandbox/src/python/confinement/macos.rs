//! macOS: the profile of `sandbox-exec` says all of it.

use std::path::PathBuf;
use std::process::{Child, Command};

use crate::python::{Python, Unavailable};

const LAUNCHER: &str = "/usr/bin/sandbox-exec";

/// What starts Python: the sandbox, with a profile. Homes and volumes are not read; Python's own folders are, wherever
/// they lie. A later rule wins.
pub(in crate::python) fn launcher(python: &Python) -> (PathBuf, Vec<String>) {
    let mut profile =
        "(version 1)(allow default)(deny network*)(deny process-fork)(deny signal)(deny file-write*)\
        (allow file-write* (literal \"/dev/null\"))\
        (deny file-read-data (subpath \"/Users\") (subpath \"/Volumes\") (subpath \"/private/var\"))"
            .to_owned();
    for path in python.libraries.iter().chain([&python.executable]) {
        let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
        profile.push_str(&format!("(allow file-read* (subpath \"{text}\"))"));
    }
    let python = python.executable.to_string_lossy().into_owned();
    (PathBuf::from(LAUNCHER), vec!["-p".into(), profile, python])
}

/// Starts a process.
pub(in crate::python) fn spawn(_: &Python, mut command: Command) -> Result<Child, Unavailable> {
    command.spawn().map_err(|error| Unavailable::NoConfinement(format!("{LAUNCHER}: {error}")))
}

/// The process sets no filter on itself.
pub(in crate::python) fn filter() -> Result<&'static str, Unavailable> {
    Ok("")
}
