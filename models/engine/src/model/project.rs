//! Products of activations with a model's matrices, by the path that the model was opened with.

use serde::{Deserialize, Serialize};
use understudy_kernels::{Codes, ComputePool, Precision, Product, matmul_bias, matmul_packed};

use crate::model::Model;
use crate::model::weights::MatrixAt;

/// How activations meet quantized weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activations {
    /// As 32-bit floats: the reference.
    #[default]
    F32,
    /// As 15-bit integers with a scale for each 32.
    Int16,
    /// As 8-bit integers with a scale for each 32.
    Int8,
}

impl Activations {
    /// The name in settings, reports and digests: `f32`, `int16` or `int8`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int16 => "int16",
            Self::Int8 => "int8",
        }
    }

    /// The digest of the arithmetic on this machine's processor. All vector widths give the same
    /// bits, so it names none.
    pub const fn numerics(self) -> &'static str {
        match self {
            Self::F32 => "cpu-f32",
            Self::Int16 => "cpu-int16",
            Self::Int8 => "cpu-int8",
        }
    }

    /// The path with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::F32, Self::Int16, Self::Int8].into_iter().find(|path| path.name() == name)
    }

    pub(crate) const fn precision(self) -> Option<Precision> {
        match self {
            Self::F32 => None,
            Self::Int16 => Some(Precision::Int16),
            Self::Int8 => Some(Precision::Int8),
        }
    }
}

/// One output of a projection: the matrix, where its outputs go, and a bias.
pub(super) struct Output<'a> {
    pub(super) w: &'a MatrixAt,
    pub(super) y: &'a mut Vec<f32>,
    pub(super) bias: Option<&'a [f32]>,
}

impl Model {
    /// Multiplies all rows of `x` with several matrices of the same inputs, the packed ones in one
    /// go. Each `y` takes the size of its outputs.
    pub(super) fn project<const N: usize>(
        &self,
        pool: &ComputePool,
        x: &[f32],
        codes: &mut Codes,
        outputs: [Output<'_>; N],
    ) {
        let cols = outputs[0].w.cols;
        let packed = outputs.map(|Output { w, y, bias }| {
            debug_assert_eq!(w.cols, cols, "matrices of one projection have the same inputs");
            y.resize(x.len() / cols * w.rows, 0.0);
            match w.packed(&self.packed) {
                Some(w) => Some(Product { w, y, bias }),
                None => {
                    matmul_bias(pool, &w.view(&self.gguf), x, y, bias);
                    None
                }
            }
        });
        if let Some(precision) = self.activations.precision()
            && packed.iter().any(Option::is_some)
        {
            codes.quantize(pool, precision, x, cols);
            matmul_packed(pool, codes, packed);
        }
    }
}
