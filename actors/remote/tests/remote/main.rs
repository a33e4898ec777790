//! Verbs over real sockets of this machine, against engines and fakes of this process.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod answers;
mod ends;
mod far;
mod hostile;
mod measure;
mod owners;
mod same;
