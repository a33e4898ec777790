//! Identity as a node sees it: files, certificates, real TLS handshakes over memory, pairings and attacks on them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics when something is missing")]

mod attacks;
mod authority;
mod codes;
mod denials;
mod files;
mod handshakes;
mod pairing;
mod world;
