//! Where each tensor of an encoder lies, found and shape-checked once.

use std::collections::BTreeMap;
use std::ops::Range;

use understudy_kernels::{Matrix, QuantType, dequantize};

use super::BertConfig;
use crate::checkpoint::{CheckpointError, Stored, Tensors};
use crate::gguf::Parts;
use crate::verbs::TokenId;

/// A matrix that stays in the mapped file.
pub(super) struct MatrixAt {
    ty: QuantType,
    rows: usize,
    cols: usize,
    range: Range<usize>,
}

/// A matrix and what is added to its products.
pub(super) struct Linear {
    pub(super) weight: MatrixAt,
    pub(super) bias: Vec<f32>,
}

/// A layer norm.
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// One transformer block.
pub(super) struct Layer {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) attention_out: Linear,
    pub(super) attention_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) output_norm: Norm,
}

/// Every tensor that an embedding takes.
pub(super) struct Weights {
    parts: Parts,
    words: MatrixAt,
    positions: MatrixAt,
    /// The kind of the first sentence, which all tokens have.
    kind: Vec<f32>,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer>,
    pub(super) pass_bytes: u64,
}

impl Weights {
    pub(super) fn find(tensors: Tensors, config: &BertConfig) -> Result<Self, CheckpointError> {
        let finder = Finder { parts: &tensors.parts, by_name: &tensors.by_name };
        let hidden = config.hidden;
        let kinds = finder.stored("embeddings.token_type_embeddings.weight")?;
        let kinds = finder.matrix(
            "embeddings.token_type_embeddings.weight",
            kinds.shape.first().copied().unwrap_or(0),
            hidden,
        )?;
        let mut kind = vec![0.0; hidden];
        kinds.row(&tensors.parts, 0, &mut kind);
        let layers =
            (0..config.layers).map(|layer| finder.layer(layer, config)).collect::<Result<Vec<_>, _>>()?;
        let linears = layers.iter().flat_map(|layer| {
            [&layer.query, &layer.key, &layer.value, &layer.attention_out, &layer.up, &layer.down]
        });
        Ok(Self {
            words: finder.matrix("embeddings.word_embeddings.weight", config.vocab, hidden)?,
            positions: finder.matrix("embeddings.position_embeddings.weight", config.context, hidden)?,
            kind,
            norm: finder.norm("embeddings.LayerNorm", hidden)?,
            pass_bytes: linears.map(|linear| linear.weight.range.len() as u64).sum(),
            layers,
            parts: tensors.parts,
        })
    }

    /// The sum of each token's word, position and kind.
    pub(super) fn embed(&self, ids: &[TokenId], out: &mut Vec<f32>) {
        let width = self.kind.len();
        out.resize(ids.len() * width, 0.0);
        let mut place = vec![0.0; width];
        for (position, (&id, out)) in ids.iter().zip(out.chunks_exact_mut(width)).enumerate() {
            self.words.row(&self.parts, id as usize, out);
            self.positions.row(&self.parts, position, &mut place);
            for ((out, place), kind) in out.iter_mut().zip(&place).zip(&self.kind) {
                *out += place + kind;
            }
        }
    }

    /// The bytes of every matrix.
    pub(super) fn stored(&self) -> impl Iterator<Item = &[u8]> {
        let linears = self.layers.iter().flat_map(|layer| {
            [&layer.query, &layer.key, &layer.value, &layer.attention_out, &layer.up, &layer.down]
        });
        let matrices = [&self.words, &self.positions].into_iter().chain(linears.map(|linear| &linear.weight));
        matrices.map(|matrix| self.parts.get(matrix.range.clone()).unwrap_or_default())
    }

    pub(super) fn file_len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn matrix(&self, at: &MatrixAt) -> Matrix<'_> {
        let data = self.parts.get(at.range.clone()).unwrap_or_default();
        Matrix { ty: at.ty, rows: at.rows, cols: at.cols, data }
    }
}

impl MatrixAt {
    fn row(&self, parts: &Parts, row: usize, out: &mut [f32]) {
        let bytes = self.range.len() / self.rows;
        let start = self.range.start + row * bytes;
        let filled = dequantize(self.ty, parts.get(start..start + bytes).unwrap_or_default(), out);
        debug_assert!(filled.is_ok(), "shape was checked when the tensor was found");
    }
}

struct Finder<'a> {
    parts: &'a Parts,
    by_name: &'a BTreeMap<String, Stored>,
}

impl Finder<'_> {
    /// Sentence encoders are stored with or without the name of the encoder in front.
    fn stored(&self, name: &str) -> Result<&Stored, CheckpointError> {
        let found = self.by_name.get(name).or_else(|| self.by_name.get(&format!("bert.{name}")));
        found.ok_or_else(|| CheckpointError::missing(format!("the tensor {name}")))
    }

    fn shaped(&self, name: &str, shape: &[usize]) -> Result<MatrixAt, CheckpointError> {
        let stored = self.stored(name)?;
        let ty = stored.float().ok_or_else(|| {
            CheckpointError::unsupported(format!("tensor {name} of type {:?}", stored.dtype))
        })?;
        if stored.shape != shape || stored.range.is_empty() {
            return Err(CheckpointError::tensor(
                name,
                format!("it is {:?}, expected {shape:?}", stored.shape),
            ));
        }
        let (rows, cols) = match *shape {
            [rows, cols] => (rows, cols),
            _ => (1, shape.iter().product()),
        };
        Ok(MatrixAt { ty, rows, cols, range: stored.range.clone() })
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<MatrixAt, CheckpointError> {
        self.shaped(name, &[rows, cols])
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, CheckpointError> {
        let at = self.shaped(name, &[len])?;
        let mut values = vec![0.0; len];
        at.row(self.parts, 0, &mut values);
        Ok(values)
    }

    fn norm(&self, name: &str, len: usize) -> Result<Norm, CheckpointError> {
        let vector = |part: &str| self.vector(&format!("{name}.{part}"), len);
        Ok(Norm { weight: vector("weight")?, bias: vector("bias")? })
    }

    fn layer(&self, layer: usize, config: &BertConfig) -> Result<Layer, CheckpointError> {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let linear = |part: &str, rows, cols| -> Result<Linear, CheckpointError> {
            let weight = self.matrix(&format!("{}.weight", name(part)), rows, cols)?;
            Ok(Linear { weight, bias: self.vector(&format!("{}.bias", name(part)), rows)? })
        };
        let (hidden, inner) = (config.hidden, config.feed_forward);
        Ok(Layer {
            query: linear("attention.self.query", hidden, hidden)?,
            key: linear("attention.self.key", hidden, hidden)?,
            value: linear("attention.self.value", hidden, hidden)?,
            attention_out: linear("attention.output.dense", hidden, hidden)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"), hidden)?,
            up: linear("intermediate.dense", inner, hidden)?,
            down: linear("output.dense", hidden, inner)?,
            output_norm: self.norm(&name("output.LayerNorm"), hidden)?,
        })
    }
}
