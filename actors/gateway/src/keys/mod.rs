//! API keys: who may call a node that more than its own user can reach.
//!
//! | module | what it holds |
//! |---|---|
//! | [`secret`] | a key, and the digest that is kept of it |
//! | [`mod@file`] | `keys.toml`: made, changed and read whole |
//! | [`ring`] | the keys of a running node, read again when the file changes |
//!
//! **Invariants.** A key is shown once, when it is made; what is kept is its SHA-256. A key is 256 random bits, so
//! there is nothing to guess and a slow hash would add nothing. Comparing takes the same time whatever is presented.
//! A node that had keys once is never open to everybody again, whatever becomes of the file.

pub mod file;
pub mod ring;
pub mod secret;

pub use file::{KeyFile, KeyRecord, Level};
pub use ring::Keyring;
pub use secret::{ApiKey, Digest};
