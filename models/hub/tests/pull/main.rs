//! Pulling as a user meets it, against a hub and a package client made here: no network is used.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it this way")]

mod fake_client;
mod fake_hub;
mod from_hub;
mod from_packages;
mod on_disk;
mod world;
