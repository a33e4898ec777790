//! Nodes that are one: joining, models of others, and what becomes of answers when nodes go.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod joining;
mod process;
mod resuming;
mod town;

use common::{SOON, ask, read};
