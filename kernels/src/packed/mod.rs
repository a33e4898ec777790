//! The fast path: interleaved weights times activations rounded to small integers.
//!
//! | module | idea |
//! |---|---|
//! | `layout` | [`pack`]: sixteen rows side by side, in the bytes of the stored matrix |
//! | `codes` | [`Codes`]: rows of activations as 8-bit or 15-bit integers with a scale for each 32 |
//! | `formats` | what each packed type's bytes mean |
//! | `lanes` | vectors in which each lane is an output, on AVX-512, AVX2 and plain arrays |
//! | `ahead` | how far ahead of their use weights are fetched from memory |
//! | `matmul` | [`matmul_packed`]: the product, for any number of rows and several matrices; [`matmul_packed_groups`]: some outputs only |

mod ahead;
mod codes;
mod formats;
mod lanes;
mod layout;
mod matmul;
#[cfg(test)]
mod tests;

pub(crate) use ahead::{AHEAD, ahead};
pub use codes::{Codes, Precision};
pub(crate) use lanes::byte_dots;
pub use lanes::processor;
pub use layout::{is_packable, pack, packed_len};
pub use matmul::{PackedMatrix, Product, matmul_packed, matmul_packed_groups};
