//! Evaluations against a scripted node on loopback, over tiny data made here.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod place;
mod runs;
#[path = "../scripted/mod.rs"]
mod scripted;
mod suites;
