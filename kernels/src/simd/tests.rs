//! All vectors that the processor has and the portable ones give the same bits.

use std::cell::Cell;

use crate::*;

/// The vectors that kernels may take on this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Best,
    Eight,
    Portable,
}

thread_local! {
    pub(super) static PATH: Cell<Path> = const { Cell::new(Path::Best) };
}

/// Asserts that `f` gives the same bits on all vectors.
fn agreed(case: &str, f: impl Fn() -> Vec<f32>) {
    let [best, eight, portable] = [Path::Best, Path::Eight, Path::Portable].map(|path| {
        PATH.set(path);
        let bits: Vec<u32> = f().iter().map(|value| value.to_bits()).collect();
        PATH.set(Path::Best);
        bits
    });
    assert_eq!(best, portable, "{case}");
    assert_eq!(eight, portable, "{case} on eight lanes");
}

/// Bytes whose half-precision scales are finite wherever a block keeps them.
fn bytes(len: usize, mut seed: u64) -> Vec<u8> {
    let byte = |_| {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (seed >> 56) as u8 & 0xbb
    };
    (0..len).map(byte).collect()
}

fn floats(len: usize) -> Vec<f32> {
    bytes(len, 7).iter().enumerate().map(|(i, &b)| (f32::from(b) - 90.0) * 0.013 + i as f32 * 1e-5).collect()
}

#[test]
fn decoding_and_products_of_every_type() {
    let pool = ComputePool::new(1);
    for ty in QuantType::ALL {
        let (rows, cols) = (18, if ty.block_len() == 1 { 300 } else { 512 });
        let data = bytes(rows * ty.row_bytes(cols).unwrap(), u64::from(ty.ggml_id()));
        agreed(&format!("{} decoded", ty.name()), || {
            let mut out = vec![f32::NAN; rows * cols];
            dequantize(ty, &data, &mut out).unwrap();
            out
        });
        let w = Matrix::new(ty, rows, cols, &data).unwrap();
        for n in [1, 2, 3, 7] {
            let x = floats(n * cols);
            agreed(&format!("{} times {n} rows", ty.name()), || {
                let mut y = vec![f32::NAN; n * rows];
                matmul(&pool, &w, &x, &mut y);
                y
            });
        }
    }
}

#[test]
fn products_of_rounded_rows() {
    let pool = ComputePool::new(1);
    let (rows, cols) = (16, 256);
    let data = bytes(packed_len(QuantType::Q4_1, rows, cols).unwrap(), 5);
    let w = PackedMatrix::new(QuantType::Q4_1, rows, cols, &data).unwrap();
    let mut x = floats(7 * cols);
    // Codes halfway between two, nothing at all, too little to divide by, and what is no number.
    x[..32].copy_from_slice(&std::array::from_fn::<f32, 32, _>(
        |i| if i == 0 { 127.0 } else { i as f32 - 15.5 },
    ));
    x[32..64].fill(-0.0);
    x[64..96].fill(1e-43);
    x[2 * cols] = f32::INFINITY;
    x[3 * cols] = f32::NAN;
    for precision in [Precision::Int8, Precision::Int16] {
        agreed(&format!("{precision:?}"), || {
            let (mut codes, mut y) = (Codes::new(), vec![f32::NAN; 7 * rows]);
            codes.quantize(&pool, precision, &x, cols);
            matmul_packed(&pool, &codes, [Some(Product { w, y: &mut y, bias: None })]);
            assert!(y[2 * rows..4 * rows].iter().all(|y| y.is_nan()), "what is no number poisons its row");
            y.iter().map(|y| if y.is_nan() { f32::NAN } else { *y }).collect()
        });
    }
}

#[test]
fn attention_over_pages() {
    let pool = ComputePool::new(1);
    let pages = [3, 1, 4, 0, 9, 2, 6, 5, 8, 7];
    for (heads, kv_heads, head_dim) in [(4, 2, 24), (7, 1, 64), (2, 2, 128)] {
        let (width, slot) = (heads * head_dim, kv_heads * head_dim);
        let (k, v, q) = (floats(80 * slot), bytes(80 * slot, 3), floats(5 * width));
        let v: Vec<f32> = v.into_iter().map(f32::from).collect();
        let kv = PagedKv { k: &k, v: &v, page_len: 8, kv_heads, head_dim };
        let row =
            |r: usize| AttentionRow { q: &q[r * width..][..width], pages: &pages, start: r, end: 70 + r };
        let rows: Vec<_> = (0..5).map(row).collect();
        agreed(&format!("{heads} heads of {head_dim}"), || {
            let mut out = vec![f32::NAN; 5 * width];
            attention(&pool, &kv, heads, 0.2, &rows, &mut out);
            out
        });
    }
}

#[test]
fn norms_and_activations_at_any_value() {
    let mut x = floats(1003);
    x.extend([0.0, -0.0, 1e-40, 87.0, 88.5, -88.5, 1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY]);
    let up = floats(x.len());
    for act in [silu_mul, gelu_tanh_mul] {
        agreed("activations", || {
            let mut gate = x.clone();
            act(&mut gate, &up);
            gate.iter().map(|g| if g.is_nan() { f32::NAN } else { *g }).collect()
        });
    }
    agreed("norms", || {
        let mut out = vec![0.0; 1003];
        rms_norm(&x[..1003], &up[..1003], 1e-5, &mut out);
        out
    });
}
