//! Packed products against double precision, and against the products of stored weights in time.

use super::poison::Poisoned;
use super::{Expected, FastKernels, Flaw, Random, Times, UNIT, compare};
use crate::{
    Codes, ComputePool, Matrix, PackedMatrix, Precision, Product, QuantType, ShapeError, dequantize, matmul,
    packed_len,
};

/// Activations that share a scale.
const SPAN: usize = 32;
/// Outputs that are interleaved.
const GROUP: usize = 16;
/// Outputs that are checked: enough for several groups, few enough for double precision.
const CHECKED: usize = 4 * GROUP;
/// Outputs that the last group is left without, where it is full.
const TAIL: usize = 5;
/// Rows of the calls: one, an odd few, and more than fill every tile.
const ROWS: [usize; 3] = [1, 7, 33];
/// Weights that are timed: more than a second-level cache holds, few enough for a millisecond.
const TIMED: usize = 4 << 20;
/// Rows of the calls that are timed: those of decoding and of a prompt.
const TIMED_ROWS: [usize; 2] = [1, 16];
/// How much larger outliers are.
const OUTLIER: f32 = 100.0;
/// Errors in units of `√k u Σ |w x|`; random weights of every type reach two fifths of one.
const SLACK: f64 = 1.0;

/// The product of one type of weights with so many inputs, over a matrix that a model holds.
#[derive(Clone, Copy, Debug)]
pub struct ProductGate<'a> {
    ty: QuantType,
    rows: usize,
    cols: usize,
    stored: &'a [u8],
    packed: &'a [u8],
    precision: Precision,
}

impl<'a> ProductGate<'a> {
    /// The gate of a `rows x cols` matrix, stored and packed.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] when either has not the bytes of the shape.
    pub fn new(
        ty: QuantType,
        rows: usize,
        cols: usize,
        stored: &'a [u8],
        packed: &'a [u8],
        precision: Precision,
    ) -> Result<Self, ShapeError> {
        Matrix::new(ty, rows, cols, stored)?;
        PackedMatrix::new(ty, rows, cols, packed)?;
        Ok(Self { ty, rows, cols, stored, packed, precision })
    }

    /// Whether the kernel is right on the matrix's last outputs, with rows of random numbers, with
    /// outliers among them, and with the matrix's own rows.
    ///
    /// # Errors
    ///
    /// The first [`Flaw`] found.
    pub fn check(&self, pool: &ComputePool, kernels: &dyn FastKernels) -> Result<(), Flaw> {
        let first = self.rows.saturating_sub(CHECKED).next_multiple_of(GROUP).min(self.rows / GROUP * GROUP);
        let left = self.rows - first;
        // Where the last group is full, it is left short: its other lanes must not be written.
        let outputs = if left.is_multiple_of(GROUP) { left.saturating_sub(TAIL) } else { left };
        let (stored, packed) = self.cut(first, outputs)?;
        let mut weights = vec![0.0; outputs * self.cols];
        dequantize(self.ty, stored.data, &mut weights)?;
        let x = self.inputs(&weights);
        let expected = self.expect(&weights, &x);
        let mut codes = Codes::new();
        for rows in ROWS {
            codes.quantize(pool, self.precision, &x[..rows * self.cols], self.cols);
            let mut y = Poisoned::new(rows * outputs);
            kernels.product(pool, &codes, Product { w: packed, y: y.room(), bias: None });
            let place = |i| format!("row {} of {rows}, output {}", i / outputs, first + i % outputs);
            compare(y.written(&format!("{rows} rows"))?, &expected, place)?;
        }
        Ok(())
    }

    /// How long a row and a few rows take together, by this path and by the one over stored
    /// weights; what turns activations into codes counts.
    ///
    /// # Errors
    ///
    /// [`Flaw::Shape`] never on a gate that could be made.
    pub fn times(&self, pool: &ComputePool, kernels: &dyn FastKernels) -> Result<Times, Flaw> {
        let outputs = (TIMED / self.cols).next_multiple_of(GROUP).min(self.rows);
        let (stored, packed) = self.cut(0, outputs)?;
        let most = TIMED_ROWS[TIMED_ROWS.len() - 1];
        let x = Random(1).with_outliers(most * self.cols, most * self.cols, 1.0);
        let mut codes = Codes::new();
        let (mut by_codes, mut by_floats) = (vec![0.0; most * outputs], vec![0.0; most * outputs]);
        let mut sum = Times { fast: Default::default(), plain: Default::default(), always_lost: false };
        for rows in TIMED_ROWS {
            let x = &x[..rows * self.cols];
            let times = Times::measure(
                || {
                    codes.quantize(pool, self.precision, x, self.cols);
                    let y = &mut by_codes[..rows * outputs];
                    kernels.product(pool, &codes, Product { w: packed, y, bias: None });
                },
                || matmul(pool, &stored, x, &mut by_floats[..rows * outputs]),
            );
            sum.fast += times.fast;
            sum.plain += times.plain;
            sum.always_lost |= times.always_lost;
        }
        Ok(sum)
    }

    /// So many outputs from one that starts a group, stored and packed.
    fn cut(&self, first: usize, outputs: usize) -> Result<(Matrix<'a>, PackedMatrix<'a>), ShapeError> {
        let (ty, cols) = (self.ty, self.cols);
        let row = self.stored.len() / self.rows.max(1);
        let stored = &self.stored[first * row..][..outputs * row];
        let no_layout = ShapeError::NotPacked { ty, rows: outputs, cols };
        let skipped = packed_len(ty, first, cols).ok_or(no_layout)?;
        let packed = &self.packed[skipped..][..packed_len(ty, outputs, cols).ok_or(no_layout)?];
        Ok((Matrix::new(ty, outputs, cols, stored)?, PackedMatrix::new(ty, outputs, cols, packed)?))
    }

    /// Rows to multiply with: random ones with outliers, every fourth a row of the weights, and
    /// every other of the rest with a span of zeros.
    fn inputs(&self, weights: &[f32]) -> Vec<f32> {
        let mut random = Random(u64::from(self.ty.ggml_id()) << 32 | self.cols as u64);
        let own = |r: usize| weights.chunks_exact(self.cols).nth(7 * r % CHECKED);
        let row = |r: usize| match (r % 4, own(r)) {
            (3, Some(own)) => own.to_vec(),
            (kind, _) => {
                let mut row = random.with_outliers(self.cols, 53 + r, OUTLIER);
                if kind == 2 {
                    row[..SPAN].fill(0.0);
                }
                row
            }
        };
        (0..ROWS[ROWS.len() - 1]).flat_map(row).collect()
    }

    /// What the products have to be: those of the rounded rows, in double precision.
    ///
    /// Rounding is bounded by `√k u Σ |w x|`, where each `|w|` counts as the largest of its span:
    /// quants and the bias that is taken from them are added apart, and each is as large as that.
    fn expect(&self, weights: &[f32], x: &[f32]) -> Vec<Expected> {
        let rows: Vec<Rounded> = x.chunks_exact(self.cols).map(|x| Rounded::new(x, self.precision)).collect();
        let root = (self.cols as f64).sqrt();
        let outputs: Vec<(&[f32], Vec<f64>)> = weights
            .chunks_exact(self.cols)
            .map(|w| (w, w.chunks(SPAN).map(|span| f64::from(peak(span))).collect()))
            .collect();
        let expect = |row: &Rounded, w: &[f32], peaks: &[f64]| {
            let size: f64 = peaks.iter().zip(&row.sizes).map(|(peak, size)| peak * size).sum();
            let doubt: f64 = row.doubts.iter().map(|&(i, step)| step * f64::from(w[i].abs())).sum();
            let bound = SLACK * root * UNIT * size + doubt + f64::from(f32::MIN_POSITIVE);
            Expected { exact: dot(w, &row.values), bound }
        };
        rows.iter().flat_map(|row| outputs.iter().map(move |(w, peaks)| expect(row, w, peaks))).collect()
    }
}

/// A row as codes times scales.
struct Rounded {
    values: Vec<f64>,
    /// Sums of magnitudes, span by span.
    sizes: Vec<f64>,
    /// Values so close to the middle of two codes that either is right, and how far those are apart.
    doubts: Vec<(usize, f64)>,
}

impl Rounded {
    fn new(x: &[f32], precision: Precision) -> Self {
        let largest = f64::from(precision.largest());
        // What a few roundings of a code's single precision amount to.
        let near = 4.0 * UNIT * largest;
        let mut rounded = Self { values: Vec::new(), sizes: Vec::new(), doubts: Vec::new() };
        for span in x.chunks(SPAN) {
            let step = f64::from(peak(span) / precision.largest());
            let first = rounded.values.len();
            for (i, x) in span.iter().enumerate() {
                let code = f64::from(*x) / f64::from(peak(span)).max(f64::MIN_POSITIVE) * largest;
                if ((code - code.floor()) - 0.5).abs() < near {
                    rounded.doubts.push((first + i, step));
                }
                rounded.values.push(code.round_ties_even() * step);
            }
            rounded.sizes.push(rounded.values[first..].iter().map(|value| value.abs()).sum());
        }
        rounded
    }
}

fn peak(span: &[f32]) -> f32 {
    span.iter().fold(0.0, |peak, x| peak.max(x.abs()))
}

/// Eight sums at a time, which the compiler makes vectors of.
fn dot(w: &[f32], x: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for (w, x) in w.as_chunks::<8>().0.iter().zip(x.as_chunks::<8>().0) {
        for i in 0..8 {
            sums[i] += f64::from(w[i]) * x[i];
        }
    }
    sums.iter().sum()
}
