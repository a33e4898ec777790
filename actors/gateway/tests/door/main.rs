//! The front door under attack: real sockets, and after each attack a node that goes on answering others and a log
//! that holds no key and no prompt. docs/security.md lists attacks and tests.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]
#![allow(clippy::print_stdout, reason = "a test says what it measured, and what it could not")]

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod crowd;
mod encrypted;
mod floods;
mod keyed;
mod origins;
mod town;
