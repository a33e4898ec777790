//! All processors give the same bits, and those are the products of the rounded rows.

use super::lanes::Processor;
use super::*;
use crate::{ComputePool, QuantType, dequantize};

fn packable() -> impl Iterator<Item = QuantType> {
    QuantType::ALL.into_iter().filter(|&ty| is_packable(ty))
}

/// A stream of numbers for test data.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 56) as u8
    }
    /// Any bytes, but scales that are finite wherever a block keeps them.
    fn weights(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte() & 0xbb).collect()
    }
    /// Activations with a few that are far larger than the rest, as real ones have.
    fn activations(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|i| (f32::from(self.byte()) - 127.0) * if i % 53 == 0 { 3.0 } else { 0.01 }).collect()
    }
}

struct Case {
    ty: QuantType,
    rows: usize,
    cols: usize,
    stored: Vec<u8>,
    packed: Vec<u8>,
}

impl Case {
    fn new(ty: QuantType, rows: usize, cols: usize) -> Self {
        let stored = Random(u64::from(ty.ggml_id())).weights(rows * ty.row_bytes(cols).unwrap());
        let mut packed = vec![0xff; packed_len(ty, rows, cols).unwrap()];
        pack(&ComputePool::new(2), ty, rows, cols, &stored, &mut packed).unwrap();
        Self { ty, rows, cols, stored, packed }
    }

    fn matrix(&self) -> PackedMatrix<'_> {
        PackedMatrix::new(self.ty, self.rows, self.cols, &self.packed).unwrap()
    }

    fn product(&self, pool: &ComputePool, processor: Processor, precision: Precision, x: &[f32]) -> Vec<f32> {
        let mut codes = Codes::on(processor);
        codes.quantize(pool, precision, x, self.cols);
        // NaN where nothing is written, and a canary behind.
        let mut y = vec![f32::NAN; codes.rows() * self.rows + 1];
        let (all, canary) = y.split_at_mut(codes.rows() * self.rows);
        matmul_packed(pool, &codes, [Some(Product { w: self.matrix(), y: all, bias: None })]);
        assert!(canary[0].is_nan());
        y.truncate(codes.rows() * self.rows);
        y
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Each activation as its code times its scale.
fn rounded(x: &[f32], precision: Precision) -> Vec<f64> {
    let largest = match precision {
        Precision::Int8 => 127.0,
        Precision::Int16 => 16256.0,
    };
    let spans = x.chunks(32).flat_map(|span| {
        let peak = span.iter().fold(0_f32, |peak, x| peak.max(x.abs()));
        span.iter().map(move |x| match peak {
            0.0 => 0.0,
            _ => f64::from((x * (largest / peak)).round_ties_even()) * f64::from(peak / largest),
        })
    });
    spans.collect()
}

#[test]
fn products_agree_with_double_precision_over_the_rounded_rows() {
    let pool = ComputePool::new(2);
    for ty in packable() {
        let case = Case::new(ty, 37, 512);
        let mut w = vec![0.0; 37 * 512];
        dequantize(ty, &case.stored, &mut w).unwrap();
        for precision in [Precision::Int8, Precision::Int16] {
            let x = Random(3).activations(5 * 512);
            let y = case.product(&pool, Processor::best(), precision, &x);
            let x = rounded(&x, precision);
            for (r, x) in x.chunks(512).enumerate() {
                for (o, w) in w.chunks(512).enumerate() {
                    let terms = w.iter().zip(x).map(|(&w, x)| f64::from(w) * x);
                    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
                    // The bias is added apart from the quants: both are as large as the widest
                    // weight of the span, so errors are measured against that.
                    let bound = 64.0 * f64::from(f32::EPSILON) * (size + 1e-30) * 16.0;
                    let found = f64::from(y[r * 37 + o]);
                    assert!(
                        (found - sum).abs() <= bound,
                        "{} {precision:?} [{r}][{o}]: {found} {sum}",
                        ty.name()
                    );
                }
            }
        }
    }
}

#[test]
fn every_processor_gives_the_same_bits() {
    let pool = ComputePool::new(1);
    for ty in packable() {
        let case = Case::new(ty, 21, 512);
        for precision in [Precision::Int8, Precision::Int16] {
            for rows in [1, 2, 3, 8, 15] {
                let x = Random(5).activations(rows * 512);
                let [first, others @ ..] = &Processor::all()
                    .map(|p| (p, bits(&case.product(&pool, p, precision, &x))))
                    .collect::<Vec<_>>()[..]
                else {
                    unreachable!("there is always the portable one")
                };
                for (processor, y) in others {
                    assert_eq!(&first.1, y, "{} {precision:?}, {rows} rows, {processor:?}", ty.name());
                }
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours_or_on_threads() {
    for ty in packable() {
        let case = Case::new(ty, 160, 768);
        for precision in [Precision::Int8, Precision::Int16] {
            let x = Random(9).activations(29 * 768);
            let all = case.product(&ComputePool::new(3), Processor::best(), precision, &x);
            for (x, y) in x.chunks(768).zip(all.chunks(160)) {
                let alone = case.product(&ComputePool::new(1), Processor::best(), precision, x);
                assert_eq!(bits(&alone), bits(y), "{} {precision:?}", ty.name());
            }
        }
    }
}

#[test]
fn several_products_share_the_rows() {
    let pool = ComputePool::new(2);
    let (a, b) = (Case::new(QuantType::Q4K, 48, 256), Case::new(QuantType::Q6K, 7, 256));
    let x = Random(2).activations(3 * 256);
    let mut codes = Codes::new();
    codes.quantize(&pool, Precision::Int8, &x, 256);
    let bias: Vec<f32> = (0..7).map(|i| i as f32).collect();
    let (mut ya, mut yb) = (vec![f32::NAN; 3 * 48], vec![f32::NAN; 3 * 7]);
    let products = [
        Some(Product { w: a.matrix(), y: &mut ya, bias: None }),
        None,
        Some(Product { w: b.matrix(), y: &mut yb, bias: Some(&bias) }),
    ];
    matmul_packed(&pool, &codes, products);
    assert_eq!(ya, a.product(&pool, Processor::best(), Precision::Int8, &x));
    let mut expected = b.product(&pool, Processor::best(), Precision::Int8, &x);
    expected.iter_mut().zip(bias.iter().cycle()).for_each(|(y, bias)| *y += bias);
    assert_eq!(yb, expected);
}

#[test]
fn some_groups_have_the_bits_of_the_whole_product_and_the_rest_is_untouched() {
    for ty in packable() {
        let case = Case::new(ty, 150, 512); // ten groups, the last not full
        for (precision, rows) in [(Precision::Int8, 1), (Precision::Int16, 1), (Precision::Int16, 5)] {
            let x = Random(4).activations(rows * 512);
            let whole = case.product(&ComputePool::new(1), Processor::best(), precision, &x);
            let pool = ComputePool::new(3);
            let mut codes = Codes::new();
            codes.quantize(&pool, precision, &x, 512);
            for groups in [&[][..], &[9], &[0, 1, 2, 5, 7, 8], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] {
                let mut y = vec![f32::NAN; rows * 150];
                let product = Product { w: case.matrix(), y: &mut y, bias: None };
                matmul_packed_groups(&pool, &codes, product, groups);
                for (at, (found, whole)) in y.iter().zip(&whole).enumerate() {
                    match groups.contains(&((at % 150 / PackedMatrix::GROUP) as u32)) {
                        true => assert_eq!(found.to_bits(), whole.to_bits(), "{} {at} {groups:?}", ty.name()),
                        false => assert!(found.is_nan(), "{} {at} {groups:?}", ty.name()),
                    }
                }
            }
        }
    }
}

#[test]
fn extreme_activations() {
    let pool = ComputePool::new(1);
    let case = Case::new(QuantType::Q5_0, 16, 64);
    for precision in [Precision::Int8, Precision::Int16] {
        let y = |x: &[f32]| case.product(&pool, Processor::best(), precision, x);
        assert!(y(&[0.0; 64]).iter().all(|&y| y == 0.0), "zero");
        assert!(y(&[1e-42; 64]).iter().all(|&y| y == 0.0), "too small to divide by");
        assert!(y(&[1e30; 64]).iter().all(|y| y.is_finite()), "huge");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1.0; 64];
            x[40] = bad;
            assert!(y(&x).iter().all(|y| y.is_nan()), "{bad} is not hidden");
        }
    }
}
