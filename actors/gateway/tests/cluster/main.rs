//! Nodes that are one: joining, models of others, and what becomes of answers when nodes go.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]
#![allow(clippy::print_stdout, reason = "figures of a run are worth reading")]

mod addresses;
mod attacks;
#[path = "../common/mod.rs"]
mod common;
mod copies;
mod faults;
mod joining;
mod measure;
mod namespaces;
mod network;
mod process;
mod proxy;
mod renewing;
mod resuming;
mod rogue;
mod roles;
mod soak;
mod town;

use common::{SOON, ask, read};
