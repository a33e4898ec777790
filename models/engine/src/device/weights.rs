//! A model's matrices on a device.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Result, Tensor};
use understudy_kernels::{ComputePool, QuantType, for_each_row};

use crate::device::{Accelerator, said};
use crate::model::config::RopePairs;
use crate::model::weights::{Block, MatrixAt};
use crate::model::{LoadError, Model, ModelConfig};

/// How matrices are kept on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Matrices {
    /// As 32-bit floats: the careful choice, four bytes a weight.
    #[default]
    Float,
    /// As the file stores them, multiplied by candle's kernels. On CUDA those turn activations
    /// into 8-bit integers with a scale for each 32.
    Stored,
}

/// One transformer block's tensors.
pub(super) struct DeviceBlock {
    pub attn_norm: Tensor,
    pub qkv: Stack,
    pub q_bias: Option<Tensor>,
    pub k_bias: Option<Tensor>,
    pub v_bias: Option<Tensor>,
    pub q_norm: Option<Tensor>,
    pub k_norm: Option<Tensor>,
    pub attn_out: QMatMul,
    pub post_attn_norm: Option<Tensor>,
    pub ffn_norm: Tensor,
    pub gate_up: Stack,
    pub down: QMatMul,
    pub post_ffn_norm: Option<Tensor>,
}

/// Matrices of the same inputs, one below the other where they are kept alike: a device is paid by
/// the launch.
pub(super) struct Stack {
    /// Each with the outputs of the matrices in it.
    products: Vec<(QMatMul, Vec<usize>)>,
}

impl Stack {
    /// `[rows][outputs]` of each matrix, as views.
    pub fn forward(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let mut parts = Vec::new();
        for (matrix, outputs) in &self.products {
            let stacked = matrix.forward(x)?;
            let mut from = 0;
            for &count in outputs {
                parts.push(stacked.narrow(1, from, count)?);
                from += count;
            }
        }
        Ok(parts)
    }
}

/// A matrix of the file, its rows in another order where there is one.
type Ordered<'a> = (&'a MatrixAt, Option<&'a [usize]>);

/// A model whose matrices lie on a device. Embeddings are looked up on the host, in the mapped
/// file, and uploaded row by row.
pub struct DeviceModel {
    pub(super) host: Arc<Model>,
    pub(super) device: Device,
    pub(super) blocks: Vec<DeviceBlock>,
    pub(super) output_norm: Tensor,
    pub(super) head: QMatMul,
    pub(super) block_bytes: u64,
    pub(super) head_bytes: u64,
    pub(super) numerics: &'static str,
}

impl DeviceModel {
    /// Uploads a model, which should be opened with activations in floats, since nothing of it is
    /// packed here. The pool decodes stored weights.
    ///
    /// # Errors
    /// [`LoadError::Device`] when the device cannot hold the weights.
    pub fn upload(
        host: Arc<Model>,
        accelerator: &Accelerator,
        matrices: Matrices,
        pool: &ComputePool,
    ) -> std::result::Result<Self, LoadError> {
        Self::build(host, accelerator, matrices, pool).map_err(|error| LoadError::Device(said(error)))
    }

    fn build(
        host: Arc<Model>,
        accelerator: &Accelerator,
        matrices: Matrices,
        pool: &ComputePool,
    ) -> Result<Self> {
        let device = accelerator.device().clone();
        let mut upload = Upload { host: &host, device: &device, matrices, pool, bytes: 0 };
        let weights = host.weights();
        let blocks = weights.blocks.iter().map(|block| upload.block(block)).collect::<Result<_>>()?;
        let block_bytes = std::mem::take(&mut upload.bytes);
        let head = upload.matrix(&[(&weights.head, None)])?;
        let head_bytes = upload.bytes;
        let output_norm = upload.vector(&weights.output_norm, None)?;
        device.synchronize()?;
        let numerics = match (accelerator.name(), matrices) {
            ("cuda", Matrices::Float) => "cuda-f32",
            ("cuda", Matrices::Stored) => "cuda-int8",
            ("metal", Matrices::Float) => "metal-f32",
            ("metal", Matrices::Stored) => "metal-stored",
            (_, Matrices::Float) => "candle-f32",
            (_, Matrices::Stored) => "candle-int8",
        };
        Ok(Self { device, blocks, output_norm, head, block_bytes, head_bytes, numerics, host })
    }

    /// What the file describes.
    pub fn config(&self) -> &ModelConfig {
        self.host.config()
    }

    /// Bytes of weights that one pass reads without the head, and the head's own.
    pub fn pass_bytes(&self) -> (u64, u64) {
        (self.block_bytes, self.head_bytes)
    }

    /// Names the arithmetic.
    pub fn numerics(&self) -> &'static str {
        self.numerics
    }
}

/// An upload in progress.
struct Upload<'a> {
    host: &'a Model,
    device: &'a Device,
    matrices: Matrices,
    pool: &'a ComputePool,
    /// Bytes of matrices so far.
    bytes: u64,
}

impl Upload<'_> {
    fn block(&mut self, block: &Block) -> Result<DeviceBlock> {
        let config = self.host.config();
        let order = |heads| match config.rope_pairs {
            RopePairs::Halves => None,
            RopePairs::Adjacent => Some(halves_order(heads, config.head_dim)),
        };
        let (q, k, one) = (order(config.heads), order(config.kv_heads), order(1));
        Ok(DeviceBlock {
            attn_norm: self.vector(&block.attn_norm, None)?,
            qkv: self.stack(&[(&block.q, q.as_deref()), (&block.k, k.as_deref()), (&block.v, None)])?,
            q_bias: self.optional(&block.q_bias, q.as_deref())?,
            k_bias: self.optional(&block.k_bias, k.as_deref())?,
            v_bias: self.optional(&block.v_bias, None)?,
            q_norm: self.optional(&block.q_norm, one.as_deref())?,
            k_norm: self.optional(&block.k_norm, one.as_deref())?,
            attn_out: self.matrix(&[(&block.attn_out, None)])?,
            post_attn_norm: self.optional(&block.post_attn_norm, None)?,
            ffn_norm: self.vector(&block.ffn_norm, None)?,
            gate_up: self.stack(&[(&block.gate, None), (&block.up, None)])?,
            down: self.matrix(&[(&block.down, None)])?,
            post_ffn_norm: self.optional(&block.post_ffn_norm, None)?,
        })
    }

    fn stack(&mut self, matrices: &[Ordered<'_>]) -> Result<Stack> {
        let alike = matrices.chunk_by(|(one, _), (next, _)| self.kept_as(one) == self.kept_as(next));
        let runs: Vec<&[Ordered<'_>]> = alike.collect();
        let product =
            |run: &[Ordered<'_>]| Ok((self.matrix(run)?, run.iter().map(|(at, _)| at.rows).collect()));
        Ok(Stack { products: runs.into_iter().map(product).collect::<Result<_>>()? })
    }

    /// The stored type that a matrix keeps on the device; `None` becomes floats.
    fn kept_as(&self, at: &MatrixAt) -> Option<GgmlDType> {
        stored_type(at.ty).filter(|_| self.matrices == Matrices::Stored)
    }

    /// Matrices that are kept alike, one below the other.
    fn matrix(&mut self, parts: &[Ordered<'_>]) -> Result<QMatMul> {
        let (rows, cols) = (parts.iter().map(|(at, _)| at.rows).sum(), parts[0].0.cols);
        match self.kept_as(parts[0].0) {
            Some(ty) => self.stored(parts, ty, (rows, cols)),
            None => self.float(parts, (rows, cols)),
        }
    }

    fn float(&mut self, parts: &[Ordered<'_>], (rows, cols): (usize, usize)) -> Result<QMatMul> {
        let mut values = vec![0.0; rows * cols];
        let mut rest = &mut values[..];
        for (at, order) in parts {
            let (own, below) = rest.split_at_mut(at.rows * cols);
            for_each_row(self.pool, own, cols, &|row, out| {
                let row = order.map_or(row, |order| order[row]);
                at.row(self.host.gguf(), row, out);
            });
            rest = below;
        }
        self.bytes += size_of_val(&values[..]) as u64;
        Ok(QMatMul::Tensor(Tensor::from_vec(values, (rows, cols), self.device)?))
    }

    fn stored(
        &mut self,
        parts: &[Ordered<'_>],
        ty: GgmlDType,
        (rows, cols): (usize, usize),
    ) -> Result<QMatMul> {
        let mut bytes = Vec::new();
        for (at, order) in parts {
            let own = at.view(self.host.gguf()).data;
            let len = own.len() / at.rows;
            match order {
                None => bytes.extend_from_slice(own),
                Some(order) => order.iter().for_each(|row| bytes.extend(&own[row * len..(row + 1) * len])),
            }
        }
        self.bytes += bytes.len() as u64;
        let storage = QStorage::from_data(bytes.into(), self.device, ty)?;
        Ok(QMatMul::QTensor(Arc::new(QTensor::new(storage, (rows, cols))?)))
    }

    fn vector(&self, values: &[f32], order: Option<&[usize]>) -> Result<Tensor> {
        let values = match order {
            None => values.to_vec(),
            Some(order) => order.iter().map(|&index| values[index]).collect(),
        };
        let len = values.len();
        Tensor::from_vec(values, len, self.device)
    }

    fn optional(&self, values: &Option<Vec<f32>>, order: Option<&[usize]>) -> Result<Option<Tensor>> {
        values.as_deref().map(|values| self.vector(values, order)).transpose()
    }
}

/// Where the elements of each head come from, so that rope pairs that lie side by side in the
/// file (`2i`, `2i + 1`) are half a head apart here. q and k are reordered alike, so every dot
/// product of the two is the sum of the same products.
fn halves_order(heads: usize, head_dim: usize) -> Vec<usize> {
    let half = head_dim / 2;
    let of_head = |head: usize| {
        let from = head * head_dim;
        (0..half).map(move |pair| from + 2 * pair).chain((0..half).map(move |pair| from + 2 * pair + 1))
    };
    (0..heads).flat_map(of_head).collect()
}

/// The types that candle's kernels multiply as they are stored.
fn stored_type(ty: QuantType) -> Option<GgmlDType> {
    match ty {
        QuantType::F32 | QuantType::F16 | QuantType::BF16 => None,
        QuantType::Q4_0 => Some(GgmlDType::Q4_0),
        QuantType::Q4_1 => Some(GgmlDType::Q4_1),
        QuantType::Q5_0 => Some(GgmlDType::Q5_0),
        QuantType::Q5_1 => Some(GgmlDType::Q5_1),
        QuantType::Q8_0 => Some(GgmlDType::Q8_0),
        QuantType::Q4K => Some(GgmlDType::Q4K),
        QuantType::Q5K => Some(GgmlDType::Q5K),
        QuantType::Q6K => Some(GgmlDType::Q6K),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reordered_heads_rotate_as_adjacent_ones() {
        let order = halves_order(2, 4);
        assert_eq!(order, [0, 2, 1, 3, 4, 6, 5, 7]);
        let table = understudy_kernels::RopeTable::new(4, 100.0, understudy_kernels::RopeScaling::None);
        let mut adjacent = [1.0, 2.0, 3.0, 4.0];
        let mut halves: Vec<f32> = order[..4].iter().map(|&index| adjacent[index]).collect();
        table.rotate_adjacent(3, &mut adjacent);
        table.rotate_neox(3, &mut halves);
        let expected: Vec<f32> = order[..4].iter().map(|&index| adjacent[index]).collect();
        assert_eq!(halves, expected);
    }
}
