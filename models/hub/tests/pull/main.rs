//! Pulling as a user meets it, against a hub and a package client made here: no network is used.
#![cfg(unix)]

mod fake_client;
mod fake_hub;
mod from_hub;
mod from_packages;
mod on_disk;
mod world;
