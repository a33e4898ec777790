//! Our words as messages, and back.
//!
//! What arrives is a peer's: numbers that do not fit and words that this node does not know are errors or fall back
//! to what means least, and nothing panics.

pub(crate) mod error;
pub mod pattern;
pub(crate) mod request;
pub(crate) mod result;

/// Lengths and counts travel as 64 bits.
pub(crate) fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
