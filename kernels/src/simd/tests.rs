//! The processor's vectors and the portable ones give the same bits.

use std::cell::Cell;

use crate::*;

thread_local! {
    /// Makes `dispatch` take the portable path on this thread.
    pub(super) static PORTABLE: Cell<bool> = const { Cell::new(false) };
}

/// What `f` gives on the best vectors and on portable ones, as bits.
fn both(f: impl Fn() -> Vec<f32>) -> [Vec<u32>; 2] {
    [false, true].map(|portable| {
        PORTABLE.set(portable);
        let bits = f().iter().map(|value| value.to_bits()).collect();
        PORTABLE.set(false);
        bits
    })
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
        let [best, portable] = both(|| {
            let mut out = vec![f32::NAN; rows * cols];
            dequantize(ty, &data, &mut out).unwrap();
            out
        });
        assert_eq!(best, portable, "{} decoded", ty.name());
        let w = Matrix::new(ty, rows, cols, &data).unwrap();
        for n in [1, 2, 3, 7] {
            let x = floats(n * cols);
            let [best, portable] = both(|| {
                let mut y = vec![f32::NAN; n * rows];
                matmul(&pool, &w, &x, &mut y);
                y
            });
            assert_eq!(best, portable, "{} times {n} rows", ty.name());
        }
    }
}

#[test]
fn attention_over_pages() {
    let pool = ComputePool::new(1);
    let (k, v, q) = (floats(80 * 48), bytes(80 * 48, 3), floats(5 * 96));
    let v: Vec<f32> = v.into_iter().map(f32::from).collect();
    let kv = PagedKv { k: &k, v: &v, page_len: 8, kv_heads: 2, head_dim: 24 };
    let pages = [3, 1, 4, 0, 9, 2, 6, 5, 8, 7];
    let rows: Vec<_> = (0..5)
        .map(|r| AttentionRow { q: &q[r * 96..][..96], pages: &pages, start: r, end: 70 + r })
        .collect();
    let [best, portable] = both(|| {
        let mut out = vec![f32::NAN; 5 * 96];
        attention(&pool, &kv, 4, 0.2, &rows, &mut out);
        out
    });
    assert_eq!(best, portable);
}

#[test]
fn norms_and_activations_at_any_value() {
    let mut x = floats(1003);
    x.extend([0.0, -0.0, 1e-40, 87.0, 88.5, -88.5, 1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY]);
    let up = floats(x.len());
    for act in [silu_mul, gelu_tanh_mul] {
        let [best, portable] = both(|| {
            let mut gate = x.clone();
            act(&mut gate, &up);
            gate.iter().map(|g| if g.is_nan() { f32::NAN } else { *g }).collect()
        });
        assert_eq!(best, portable);
    }
    let [best, portable] = both(|| {
        let mut out = vec![0.0; 1003];
        rms_norm(&x[..1003], &up[..1003], 1e-5, &mut out);
        out
    });
    assert_eq!(best, portable);
}
