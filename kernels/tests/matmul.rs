//! Matrix products against `f64`, and invariant K1: one row, one result.
#![allow(clippy::unwrap_used)] // helpers outside the test functions

mod common;

use common::{Random, bits};
use understudy_kernels::{ComputePool, Matrix, QuantType, ShapeError, dequantize, matmul, matmul_bias};

const ROW_COUNTS: [usize; 10] = [1, 2, 3, 4, 5, 7, 8, 9, 17, 64];
const CANARY: f32 = 12345.5;

struct Case {
    ty: QuantType,
    outputs: usize,
    cols: usize,
    weights: Vec<u8>,
    x: Vec<f32>, // 64 rows
}

impl Case {
    fn new(ty: QuantType, outputs: usize, cols: usize) -> Self {
        let mut random = Random(u64::from(ty.ggml_id()) + 1000 * cols as u64);
        let weights = random.weights(ty, outputs * cols);
        Self { ty, outputs, cols, weights, x: random.floats(64 * cols) }
    }

    fn product(&self, pool: &ComputePool, n: usize) -> Vec<f32> {
        self.rows(pool, 0, n)
    }

    /// The product of rows `first..first + n`, written between canaries over NaNs.
    fn rows(&self, pool: &ComputePool, first: usize, n: usize) -> Vec<f32> {
        let w = Matrix::new(self.ty, self.outputs, self.cols, &self.weights).unwrap();
        let mut y = vec![f32::NAN; n * self.outputs + 16];
        y[..8].fill(CANARY);
        y[n * self.outputs + 8..].fill(CANARY);
        let x = &self.x[first * self.cols..][..n * self.cols];
        matmul(pool, &w, x, &mut y[8..][..n * self.outputs]);
        assert_eq!(y[..8], [CANARY; 8]);
        assert_eq!(y[n * self.outputs + 8..], [CANARY; 8]);
        y[8..][..n * self.outputs].to_vec()
    }
}

fn cases() -> impl Iterator<Item = Case> {
    QuantType::ALL.into_iter().flat_map(|ty| {
        let cols: &[usize] = match ty.block_len() {
            1 => &[1, 8, 20, 36, 256, 300],
            32 => &[32, 96, 288, 576],
            _ => &[256, 768],
        };
        cols.iter().map(move |&cols| Case::new(ty, 37, cols))
    })
}

#[test]
fn products_lie_within_the_rounding_bound() {
    let pool = ComputePool::new(2);
    for case in cases() {
        let mut w = vec![0.0; case.outputs * case.cols];
        dequantize(case.ty, &case.weights, &mut w).unwrap();
        for n in ROW_COUNTS {
            let y = case.product(&pool, n);
            for (r, y) in y.chunks_exact(case.outputs).enumerate() {
                let x = &case.x[r * case.cols..][..case.cols];
                for (o, y) in y.iter().enumerate() {
                    let w = &w[o * case.cols..][..case.cols];
                    let terms = || w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                    let size: f64 = terms().map(f64::abs).sum();
                    let bound = 2.0 * (case.cols as f64).sqrt() * 6e-8 * size;
                    let exact: f64 = terms().sum();
                    assert!(
                        (f64::from(*y) - exact).abs() <= bound,
                        "{} {} x {}, row {r} of {n}, output {o}: {y} is not {exact}",
                        case.ty.name(),
                        case.outputs,
                        case.cols,
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_batch_on_any_threads() {
    let pools = [1, 2, 3].map(ComputePool::new);
    for case in cases() {
        let alone: Vec<f32> = (0..64).flat_map(|r| case.rows(&pools[0], r, 1)).collect();
        for n in ROW_COUNTS {
            for pool in &pools {
                let batch = case.product(pool, n);
                let expected = &alone[..n * case.outputs];
                assert_eq!(bits(&batch), bits(expected), "{} {n} rows", case.ty.name());
            }
        }
        assert_eq!(bits(&case.rows(&pools[1], 5, 7)), bits(&alone[5 * 37..12 * 37]));
    }
}

/// Large enough for several parts, tiles and chunks of rows.
#[test]
fn a_large_product_has_the_same_bits_in_any_split() {
    let case = Case::new(QuantType::Q4K, 403, 768);
    let w = Matrix::new(case.ty, case.outputs, case.cols, &case.weights).unwrap();
    let x: Vec<f32> = case.x.iter().cycle().take(300 * case.cols).copied().collect();
    let mut whole = vec![f32::NAN; 300 * case.outputs];
    matmul(&ComputePool::new(3), &w, &x, &mut whole);
    let pool = ComputePool::new(2);
    for (r, expected) in whole.chunks_exact(case.outputs).enumerate() {
        let mut alone = vec![f32::NAN; case.outputs];
        matmul(&pool, &w, &x[r * case.cols..][..case.cols], &mut alone);
        assert_eq!(bits(&alone), bits(expected), "row {r}");
    }
}

#[test]
fn a_bias_is_added_to_each_row() {
    let case = Case::new(QuantType::Q8_0, 37, 96);
    let pool = ComputePool::new(2);
    let w = Matrix::new(case.ty, case.outputs, case.cols, &case.weights).unwrap();
    let bias = Random(9).floats(37);
    for n in [1, 5] {
        let plain = case.product(&pool, n);
        let mut y = vec![f32::NAN; n * 37];
        matmul_bias(&pool, &w, &case.x[..n * 96], &mut y, Some(&bias));
        for (i, (y, plain)) in y.iter().zip(&plain).enumerate() {
            assert_eq!(*y, plain + bias[i % 37]);
        }
    }
}

#[test]
fn poisoned_inputs_poison_their_own_row_only() {
    let pool = ComputePool::new(2);
    for mut case in cases() {
        let clean = case.product(&pool, 5);
        case.x[2 * case.cols] = f32::NAN;
        case.x[3 * case.cols] = f32::INFINITY;
        let y = case.product(&pool, 5);
        assert!(y[2 * 37..3 * 37].iter().all(|y| y.is_nan()));
        assert!(y[3 * 37..4 * 37].iter().any(|y| !y.is_finite()));
        for clean_row in [0, 1, 4] {
            let row = clean_row * 37..(clean_row + 1) * 37;
            assert_eq!(bits(&y[row.clone()]), bits(&clean[row]));
        }
    }
}

#[test]
fn shapes_are_checked() {
    let ty = QuantType::Q4_0;
    assert!(Matrix::new(ty, 2, 64, &[0; 72]).is_ok());
    let cases = [
        (2, 64, 71, ShapeError::Bytes { ty, found: 71, needed: 72 }),
        (2, 48, 72, ShapeError::PartialBlock { ty, cols: 48 }),
        (usize::MAX, 64, 72, ShapeError::TooLarge { rows: usize::MAX, cols: 64 }),
    ];
    for (rows, cols, bytes, error) in cases {
        assert_eq!(Matrix::new(ty, rows, cols, &vec![0; bytes]).unwrap_err(), error);
    }
}

/// A row with a single 1 reads one column of the weights.
#[test]
fn each_weight_meets_its_own_input() {
    let pool = ComputePool::new(2);
    for case in cases().filter(|case| case.cols >= 32) {
        let mut w = vec![0.0; case.outputs * case.cols];
        dequantize(case.ty, &case.weights, &mut w).unwrap();
        let matrix = Matrix::new(case.ty, case.outputs, case.cols, &case.weights).unwrap();
        for k in [0, 1, 4, 7, 8, 31, case.cols - 1] {
            let mut x = vec![0.0; 2 * case.cols];
            x[k] = 1.0;
            let mut y = vec![f32::NAN; 2 * case.outputs];
            matmul(&pool, &matrix, &x, &mut y);
            for (o, y) in y[..case.outputs].iter().enumerate() {
                assert_eq!(*y, w[o * case.cols + k], "{} input {k}", case.ty.name());
            }
        }
    }
}
