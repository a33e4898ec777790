//! Numeric kernels, the compute pool and mapped files: the only crate that may use `unsafe`.
//!
//! | module | idea |
//! |---|---|
//! | `quant` | [`QuantType`]: the ggml storage types, their block sizes |
//! | `dequant` | [`dequantize`]: stored blocks to `f32` |
//! | `matmul` | [`Matrix`], [`matmul`], [`matmul_bias`]: quantized weights times `f32` rows |
//! | `packed` | [`pack`], [`Codes`], [`matmul_packed`]: interleaved weights times integer rows, the fast path |
//! | `attention` | [`PagedKv`], [`AttentionRow`], [`attention`]: softmax attention over pages |
//! | `plain` | [`plain_attention`]: the same in double precision, one key after the other |
//! | [`gates`] | is a fast kernel right on this processor, and faster than what it replaces? |
//! | `rope` | [`RopeTable`], [`RopeAngles`], [`RopeScaling`]: rotary positions |
//! | `elementwise` | [`rms_norm`], [`add_assign`], [`silu_mul`], [`gelu_tanh_mul`] |
//! | `rows` | [`for_each_row`], [`for_each_row_at`]: row-wise work spread over the pool |
//! | `pool` | [`ComputePool`], [`default_threads`]: the threads that run all of the above |
//! | `ceiling` | [`Ceiling`], [`shortest_run`]: what this machine can do at most, measured |
//! | `counting` | [`CountingAllocator`]: proof that a path allocates nothing |
//! | `mapped` | [`MappedFile`]: weights read straight from the page cache |
//! | `formats`, `simd`, `tile`, `disjoint` | private: block layouts, vectors of eight and sixteen lanes, the product kernel, shared output |
//!
//! # Invariant K1: one row, one result
//!
//! A row's result is bit-identical whatever the number of rows in the call, its neighbours, the
//! chunking of a prompt, the page layout and the number of threads. Caches, speculative
//! verification and replay rely on it. It holds because each output has one summation order,
//! fixed by its own inputs only: eight lanes over `k`, each accumulating its share in ascending
//! order with fused multiply-add (lane `j` has `k ≡ j (mod 8)` of plain floats, and `4 j..4 j + 4`
//! of each 32 quantized weights), then one fixed tree over the lanes. Attention's scores have four
//! such lanes, packed products one. Every loop order, tile size and thread split in this crate keeps
//! that order; all vector widths and the portable path give the same bits.
//!
//! # Example
//!
//! ```
//! use understudy_kernels::{ComputePool, Matrix, QuantType, matmul};
//!
//! // A 2 x 4 matrix of f32 weights, row-major: y = W x.
//! let weights: Vec<u8> = [1f32, 0., 0., 0., 1., 1., 1., 1.]
//!     .iter()
//!     .flat_map(|w| w.to_le_bytes())
//!     .collect();
//! let matrix = Matrix::new(QuantType::F32, 2, 4, &weights)?;
//! let pool = ComputePool::new(2);
//! let mut y = [0f32; 2];
//! matmul(&pool, &matrix, &[1., 2., 3., 4.], &mut y);
//! assert_eq!(y, [1., 10.]);
//! # Ok::<(), understudy_kernels::ShapeError>(())
//! ```

mod attention;
mod ceiling;
mod counting;
mod dequant;
mod disjoint;
mod elementwise;
mod error;
mod formats;
pub mod gates;
mod mapped;
mod matmul;
mod packed;
mod plain;
mod pool;
mod quant;
mod rope;
mod rows;
mod simd;
mod tile;

pub use attention::{AttentionRow, PagedKv, attention};
pub use ceiling::{Ceiling, shortest_run};
pub use counting::CountingAllocator;
pub use dequant::dequantize;
pub use elementwise::{add_assign, gelu_tanh_mul, rms_norm, rms_norm_in_place, rms_norm_rows, silu_mul};
pub use error::ShapeError;
pub use mapped::MappedFile;
pub use matmul::{Matrix, matmul, matmul_bias};
pub use packed::{
    Codes, PackedMatrix, Precision, Product, is_packable, matmul_packed, matmul_packed_groups, pack,
    packed_len, processor,
};
pub use plain::plain_attention;
pub use pool::{ComputePool, default_threads};
pub use quant::QuantType;
pub use rope::{RopeAngles, RopeScaling, RopeTable};
pub use rows::{for_each_row, for_each_row_at};
