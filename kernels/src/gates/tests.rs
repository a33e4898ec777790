//! The kernels pass on every type; wrong ones do not.

use super::*;
use crate::{Precision, QuantType, is_packable, pack, packed_len};

const ATTENTION: AttentionGate =
    AttentionGate { heads: 6, kv_heads: 2, head_dim: 64, page_len: 32, scale: 0.125 };

/// A matrix of any bytes, its scales finite.
struct Case {
    ty: QuantType,
    stored: Vec<u8>,
    packed: Vec<u8>,
}

const ROWS: usize = 100;
const COLS: usize = 512;

impl Case {
    fn new(ty: QuantType) -> Self {
        let mut random = Random(7);
        let bytes = ROWS * ty.row_bytes(COLS).unwrap();
        let stored: Vec<u8> = (0..bytes).map(|_| ((random.float() + 1.0) * 127.0) as u8 & 0xbb).collect();
        let mut packed = vec![0; packed_len(ty, ROWS, COLS).unwrap()];
        pack(&ComputePool::new(1), ty, ROWS, COLS, &stored, &mut packed).unwrap();
        Self { ty, stored, packed }
    }

    fn gate(&self, precision: Precision) -> ProductGate<'_> {
        ProductGate::new(self.ty, ROWS, COLS, &self.stored, &self.packed, precision).unwrap()
    }
}

#[test]
fn the_kernels_of_this_crate_pass() {
    let pool = ComputePool::new(2);
    for ty in QuantType::ALL.into_iter().filter(|&ty| is_packable(ty)) {
        let case = Case::new(ty);
        for precision in [Precision::Int8, Precision::Int16] {
            assert_eq!(case.gate(precision).check(&pool, &Kernels), Ok(()), "{} {precision:?}", ty.name());
        }
    }
    for (heads, kv_heads, head_dim) in [(9, 3, 64), (14, 2, 64), (12, 2, 128), (4, 1, 256), (1, 1, 8)] {
        let scale = 1.0 / (head_dim as f32).sqrt();
        let gate = AttentionGate { heads, kv_heads, head_dim, page_len: 32, scale };
        assert_eq!(gate.check(&pool, &Kernels), Ok(()), "{heads} heads of {head_dim}");
    }
}

/// Ours, with something done to the results.
struct Sabotaged(fn(&mut [f32], usize));

impl FastKernels for Sabotaged {
    fn product(&self, pool: &ComputePool, x: &Codes, product: Product<'_>) {
        let Product { w, y, bias } = product;
        Kernels.product(pool, x, Product { w, y: &mut *y, bias });
        (self.0)(y, x.rows());
    }

    fn attention(
        &self,
        pool: &ComputePool,
        kv: &PagedKv<'_>,
        heads: usize,
        scale: f32,
        rows: &[AttentionRow<'_>],
        out: &mut [f32],
    ) {
        Kernels.attention(pool, kv, heads, scale, rows, out);
        (self.0)(out, rows[0].end);
    }
}

/// What goes wrong in practice: each only where a certain number of rows, or of keys, meets it.
const SABOTAGES: [(&str, Sabotaged); 5] = [
    ("a result off by a hundredth", Sabotaged(|y, _| y[y.len() - 1] *= 1.01)),
    ("a result that is not written", Sabotaged(|y, _| y[y.len() / 2] = f32::NAN)),
    ("two results exchanged", Sabotaged(|y, _| y.swap(0, 1))),
    (
        "the tile of an odd few rows",
        Sabotaged(|y, n| {
            if n == 7 || n == 29 {
                y[0] += 1.0e3
            }
        }),
    ),
    (
        "the last of many",
        Sabotaged(|y, n| {
            if n == 33 || n == 1023 {
                y.iter_mut().for_each(|y| *y = 0.0)
            }
        }),
    ),
];

#[test]
fn a_wrong_kernel_is_caught() {
    let pool = ComputePool::new(1);
    let case = Case::new(QuantType::Q4K);
    for (what, sabotage) in &SABOTAGES {
        for precision in [Precision::Int8, Precision::Int16] {
            let found = case.gate(precision).check(&pool, sabotage);
            assert!(matches!(found, Err(Flaw::Off { .. })), "{what}, {precision:?}: {found:?}");
        }
        let found = ATTENTION.check(&pool, sabotage);
        assert!(matches!(found, Err(Flaw::Off { .. })), "{what}, attention: {found:?}");
    }
}

#[test]
fn a_damaged_pack_is_caught() {
    let pool = ComputePool::new(1);
    let mut case = Case::new(QuantType::Q5_0);
    let last = case.packed.len() / 7 * 6; // in the last group but one
    case.packed[last] ^= 0x18;
    let found = case.gate(Precision::Int16).check(&pool, &Kernels);
    assert!(matches!(found, Err(Flaw::Off { .. })), "{found:?}");
}

#[test]
fn a_result_written_beside_its_place_is_seen() {
    let mut poisoned = poison::Poisoned::new(3);
    poisoned.room().fill(1.0);
    assert_eq!(poisoned.written("here"), Ok(&[1.0; 3][..]));
    for beside in [15, 19] {
        let mut poisoned = poison::Poisoned::new(3);
        *poisoned.beside(beside) = 0.0;
        assert_eq!(poisoned.written("here"), Err(Flaw::Outside { place: "here".into() }));
    }
}
