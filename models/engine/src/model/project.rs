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
    /// As 8-bit integers where a block's norm made them, as 15-bit integers elsewhere.
    Mixed,
    /// As 8-bit integers with a scale for each 32.
    Int8,
}

impl Activations {
    /// All of them, the finest first.
    pub const ALL: [Self; 4] = [Self::F32, Self::Int16, Self::Mixed, Self::Int8];

    /// The name in settings, reports and digests: `f32`, `int16`, `mixed` or `int8`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int16 => "int16",
            Self::Mixed => "mixed",
            Self::Int8 => "int8",
        }
    }

    /// The digest of the arithmetic on this machine's processor. All vector widths give the same
    /// bits, so it names none.
    pub const fn numerics(self) -> &'static str {
        match self {
            Self::F32 => "cpu-f32",
            Self::Int16 => "cpu-int16",
            Self::Mixed => "cpu-mixed",
            Self::Int8 => "cpu-int8",
        }
    }

    /// The path with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.name() == name)
    }

    /// How the rows that meet a matrix are rounded.
    pub(crate) const fn precision(self, inputs: Inputs) -> Option<Precision> {
        match (self, inputs) {
            (Self::F32, _) => None,
            (Self::Int16, _) | (Self::Mixed, Inputs::Other) => Some(Precision::Int16),
            (Self::Int8, _) | (Self::Mixed, Inputs::Normed) => Some(Precision::Int8),
        }
    }
}

/// Where the rows that meet a matrix come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inputs {
    /// The norm at the beginning of attention or of the feed-forward part of a block.
    Normed,
    /// Attention, the gated product of a block, or the final norm.
    Other,
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
        let (cols, inputs) = (outputs[0].w.cols, outputs[0].w.inputs);
        let packed = outputs.map(|Output { w, y, bias }| {
            debug_assert_eq!((w.cols, w.inputs), (cols, inputs), "they have the same inputs");
            y.resize(x.len() / cols * w.rows, 0.0);
            match w.packed(&self.packed) {
                Some(w) => Some(Product { w, y, bias }),
                None => {
                    matmul_bias(pool, &w.view(&self.gguf), x, y, bias);
                    None
                }
            }
        });
        if let Some(precision) = self.activations.precision(inputs)
            && packed.iter().any(Option::is_some)
        {
            codes.quantize(pool, precision, x, cols);
            matmul_packed(pool, codes, packed);
        }
    }
}
