//! Where each tensor lies in the file, found and shape-checked once.

use std::ops::Range;

use understudy_kernels::{Matrix, PackedMatrix, QuantType, RopeScaling, RopeTable, dequantize};

use crate::gguf::{Gguf, GgufError};
use crate::model::project::Inputs;
use crate::model::{LoadError, ModelConfig};

/// A matrix that stays in the mapped file, and in that of the packed weights where there is one.
#[derive(Debug, Clone)]
pub struct MatrixAt {
    pub(crate) ty: QuantType,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) inputs: Inputs,
    /// Where it is in the model's file.
    pub(crate) range: Range<usize>,
    /// Where it is among the packed weights.
    pub(crate) packed: Option<Range<usize>>,
}

impl MatrixAt {
    fn find(gguf: &Gguf, name: &str, rows: usize, cols: usize) -> Result<Self, LoadError> {
        let matrix = gguf.matrix(name)?;
        if (matrix.rows, matrix.cols) != (rows, cols) {
            return Err(LoadError::Shape {
                name: name.to_owned(),
                rows: matrix.rows,
                cols: matrix.cols,
                want_rows: rows,
                want_cols: cols,
            });
        }
        let info = gguf.tensor(name).ok_or_else(|| GgufError::MissingTensor { name: name.to_owned() })?;
        Ok(Self { ty: matrix.ty, rows, cols, inputs: Inputs::Other, range: info.range.clone(), packed: None })
    }

    fn of_normed(self) -> Self {
        Self { inputs: Inputs::Normed, ..self }
    }

    /// The matrix over the file it was found in.
    pub(crate) fn view<'a>(&self, gguf: &'a Gguf) -> Matrix<'a> {
        Matrix { ty: self.ty, rows: self.rows, cols: self.cols, data: gguf.slice(self.range.clone()) }
    }

    /// The packed matrix among the packed weights it was laid out in.
    pub(crate) fn packed<'a>(&self, weights: &'a [u8]) -> Option<PackedMatrix<'a>> {
        let data = weights.get(self.packed.clone()?)?;
        PackedMatrix::new(self.ty, self.rows, self.cols, data).ok()
    }

    /// One dequantized row, such as a token's embedding.
    pub(crate) fn row(&self, gguf: &Gguf, row: usize, out: &mut [f32]) {
        let row_bytes = self.range.len() / self.rows;
        let start = self.range.start + row * row_bytes;
        let filled = dequantize(self.ty, gguf.slice(start..start + row_bytes), out);
        debug_assert!(filled.is_ok(), "shape was checked when the tensor was found");
    }

    fn bytes(&self) -> u64 {
        self.range.len() as u64
    }

    /// Weights that one row is multiplied with.
    pub(crate) fn products(&self) -> u64 {
        self.rows as u64 * self.cols as u64
    }
}

/// One transformer block.
#[derive(Debug, Clone)]
pub struct Block {
    pub(crate) attn_norm: Vec<f32>,
    pub(crate) q: MatrixAt,
    pub(crate) k: MatrixAt,
    pub(crate) v: MatrixAt,
    pub(crate) q_bias: Option<Vec<f32>>,
    pub(crate) k_bias: Option<Vec<f32>>,
    pub(crate) v_bias: Option<Vec<f32>>,
    pub(crate) q_norm: Option<Vec<f32>>,
    pub(crate) k_norm: Option<Vec<f32>>,
    pub(crate) attn_out: MatrixAt,
    pub(crate) post_attn_norm: Option<Vec<f32>>,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) gate: MatrixAt,
    pub(crate) up: MatrixAt,
    pub(crate) down: MatrixAt,
    pub(crate) post_ffn_norm: Option<Vec<f32>>,
}

/// Every tensor of a model.
pub struct Weights {
    pub(crate) embedding: MatrixAt,
    pub(crate) blocks: Vec<Block>,
    pub(crate) output_norm: Vec<f32>,
    pub(crate) head: MatrixAt,
    pub(crate) rope: RopeTable,
    pub(crate) local_rope: Option<RopeTable>,
    pub(crate) block_bytes: u64,
    pub(crate) head_bytes: u64,
}

impl Weights {
    /// Finds all tensors of a configuration.
    ///
    /// # Errors
    /// [`LoadError`] naming the first tensor that is missing or misshapen.
    pub fn find(gguf: &Gguf, config: &ModelConfig) -> Result<Self, LoadError> {
        let embedding = MatrixAt::find(gguf, "token_embd.weight", config.vocab, config.hidden)?;
        let head = match gguf.tensor("output.weight") {
            Some(_) => MatrixAt::find(gguf, "output.weight", config.vocab, config.hidden)?,
            None => embedding.clone(),
        };
        let blocks = (0..config.layers)
            .map(|layer| Block::find(gguf, config, layer))
            .collect::<Result<Vec<_>, _>>()?;
        let scaling = match gguf.tensor("rope_freqs.weight") {
            Some(_) => RopeScaling::Factors(vector(gguf, "rope_freqs.weight", config.head_dim / 2)?),
            None if config.rope_linear_factor != 1.0 => RopeScaling::Linear(config.rope_linear_factor),
            None => RopeScaling::None,
        };
        Ok(Self {
            block_bytes: blocks.iter().flat_map(Block::matrices).map(MatrixAt::bytes).sum(),
            head_bytes: head.bytes(),
            rope: RopeTable::new(config.head_dim, config.rope_base, scaling),
            local_rope: config
                .sliding
                .map(|sliding| RopeTable::new(config.head_dim, sliding.rope_base, RopeScaling::None)),
            output_norm: vector(gguf, "output_norm.weight", config.hidden)?,
            embedding,
            blocks,
            head,
        })
    }
}

impl Weights {
    /// Every matrix of the blocks, in the order of a pass.
    pub(crate) fn block_matrices(&self) -> impl Iterator<Item = &MatrixAt> {
        self.blocks.iter().flat_map(Block::matrices)
    }

    /// Every matrix that a pass multiplies by, in the order of a pass.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &MatrixAt> {
        self.block_matrices().chain([&self.head])
    }

    /// The same, to be placed.
    pub(crate) fn matrices_mut(&mut self) -> impl Iterator<Item = &mut MatrixAt> {
        self.blocks.iter_mut().flat_map(Block::matrices_mut).chain([&mut self.head])
    }
}

impl Block {
    fn matrices_mut(&mut self) -> [&mut MatrixAt; 7] {
        let Self { q, k, v, attn_out, gate, up, down, .. } = self;
        [q, k, v, attn_out, gate, up, down]
    }

    fn find(gguf: &Gguf, config: &ModelConfig, layer: usize) -> Result<Self, LoadError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let matrix = |part: &str, rows, cols| MatrixAt::find(gguf, &name(part), rows, cols);
        let norm = |part: &str, len| vector(gguf, &name(part), len);
        let optional = |wanted: bool, part: &str, len| wanted.then(|| norm(part, len)).transpose();
        let (hidden, ffn) = (config.hidden, config.feed_forward);
        let (q_width, kv_width) = (config.heads * config.head_dim, config.kv_width());
        Ok(Self {
            attn_norm: norm("attn_norm.weight", hidden)?,
            q: matrix("attn_q.weight", q_width, hidden)?.of_normed(),
            k: matrix("attn_k.weight", kv_width, hidden)?.of_normed(),
            v: matrix("attn_v.weight", kv_width, hidden)?.of_normed(),
            q_bias: optional(config.qkv_bias, "attn_q.bias", q_width)?,
            k_bias: optional(config.qkv_bias, "attn_k.bias", kv_width)?,
            v_bias: optional(config.qkv_bias, "attn_v.bias", kv_width)?,
            q_norm: optional(config.qk_norm, "attn_q_norm.weight", config.head_dim)?,
            k_norm: optional(config.qk_norm, "attn_k_norm.weight", config.head_dim)?,
            attn_out: matrix("attn_output.weight", hidden, q_width)?,
            post_attn_norm: optional(config.post_norms, "post_attention_norm.weight", hidden)?,
            ffn_norm: norm("ffn_norm.weight", hidden)?,
            gate: matrix("ffn_gate.weight", ffn, hidden)?.of_normed(),
            up: matrix("ffn_up.weight", ffn, hidden)?.of_normed(),
            down: matrix("ffn_down.weight", hidden, ffn)?,
            post_ffn_norm: optional(config.post_norms, "post_ffw_norm.weight", hidden)?,
        })
    }

    fn matrices(&self) -> [&MatrixAt; 7] {
        let Self { q, k, v, attn_out, gate, up, down, .. } = self;
        [q, k, v, attn_out, gate, up, down]
    }
}

/// A small tensor, dequantized.
fn vector(gguf: &Gguf, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
    let at = MatrixAt::find(gguf, name, 1, len)?;
    let mut values = vec![0.0; len];
    at.row(gguf, 0, &mut values);
    Ok(values)
}
