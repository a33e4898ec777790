//! Paged KV memory: [`store`] holds the numbers, [`pages`] decides who owns which page.
//!
//! **Invariant INV-K2**: a page is written only by the one sequence that holds it, and
//! never once it is sealed. Forks and prefix hits share pages by count; the first write
//! to a shared page copies it.

pub mod pages;
pub mod store;

pub use pages::{PageTable, Parent};
pub use store::KvStore;

/// Tokens per page.
pub const PAGE_LEN: usize = 32;

/// Index of a page.
pub type PageId = u32;
