//! The arithmetic of a pass on a device.
//!
//! Everything is `f32`. A pass is a few dozen launches per block, and a device is idle between
//! small ones, so whatever a launch can be spared for is: angles carry the attention's scale,
//! pages that lie in a row are read where they lie, and a single row has no mask.

use std::sync::Arc;

use candle_core::{Device, Module, Result, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};
use candle_nn::rotary_emb::rope_thd;
use understudy_kernels::RopeTable;

use crate::EngineError;
use crate::device::cache::{Cache, DeviceView, Places};
use crate::device::pass::{Group, Pass, View};
use crate::device::said;
use crate::device::weights::{DeviceBlock, DeviceModel};
use crate::kv::PageId;
use crate::model::config::Activation;
use crate::model::{Decoder, Head, LoadError, ModelConfig, PrefillRows, Row, Want};
use crate::tick::Pulse;

/// A model on a device with its KV memory. What INV-K1 means here: see [`crate::device`].
pub struct DeviceDecoder {
    model: Arc<DeviceModel>,
    cache: Cache,
    logits: Vec<f32>,
    hidden: Vec<f32>,
}

/// A group of a pass with its tables on the device.
struct DeviceGroup {
    /// The pass's rows of this group; `None` when they are all of them, in order.
    rows: Option<Tensor>,
    sequences: usize,
    count: usize,
    global: DeviceView,
    local: Option<DeviceView>,
}

/// Cosines and sines of a pass's rows, each `[rows][pairs]`; those of queries times the scale of
/// attention.
struct Angles {
    q: [Tensor; 2],
    k: [Tensor; 2],
}

/// What every block of a pass needs.
struct Step<'a> {
    model: &'a DeviceModel,
    cache: &'a Cache,
    places: Places<'a>,
    groups: Vec<DeviceGroup>,
    /// Rows of the pass in the order in which the groups leave them.
    back: Option<Tensor>,
    global: Angles,
    local: Option<Angles>,
}

impl DeviceDecoder {
    /// A decoder with so many pages of KV memory, all taken at once.
    ///
    /// # Errors
    /// [`EngineError::Device`] when the device has not that much.
    pub fn new(model: Arc<DeviceModel>, pages: usize) -> std::result::Result<Self, EngineError> {
        Self::take(model, pages).map_err(failed)
    }

    fn take(model: Arc<DeviceModel>, pages: usize) -> Result<Self> {
        let cache = Cache::new(model.config(), pages, &model.device)?;
        model.device.synchronize()?;
        Ok(Self { model, cache, logits: Vec::new(), hidden: Vec::new() })
    }

    /// Computes a little of every kind. A driver compiles kernels at their first use, for several
    /// seconds where it has never seen them; an engine that is silent so long counts as hung.
    ///
    /// # Errors
    /// [`LoadError::Device`].
    pub fn warm_up(model: &Arc<DeviceModel>) -> std::result::Result<(), LoadError> {
        Self::take(model.clone(), 4)
            .and_then(|mut decoder| decoder.compute_every_kind())
            .map_err(|error| LoadError::Device(said(error)))
    }

    /// A prompt, its next token, and rows of several sequences.
    fn compute_every_kind(&mut self) -> Result<()> {
        let row = |pos, pages, want| Row { token: 0, pos, pages, want };
        let prompt: Vec<Row<'_>> = (0..12).map(|pos| row(pos, &[0][..], Want::Logits)).collect();
        let next = [row(12, &[0], Want::Logits)];
        let apart = [row(0, &[1], Want::Hidden), row(0, &[3], Want::Logits), row(13, &[0], Want::Hidden)];
        for rows in [&prompt[..], &next, &apart] {
            self.compute(rows, &Pulse::default())?;
        }
        self.cache.copy_page(0, 2)?;
        self.model.device.synchronize()
    }

    fn compute(&mut self, rows: &[Row<'_>], pulse: &Pulse) -> Result<()> {
        let Self { model, cache, .. } = self;
        let plan = Pass::plan(model.config(), rows);
        cache.clear(&plan.stale, &model.device)?;
        let mut residual = embed(model, rows)?;
        let step = Step::upload(model, cache, &plan, rows)?;
        for (layer, block) in model.blocks.iter().enumerate() {
            residual = step.attend(layer, block, &residual)?;
            residual = step.feed_forward(block, &residual)?;
            pulse.beat();
        }
        self.finish(rows, &residual)?;
        self.model.device.synchronize()?;
        pulse.beat();
        Ok(())
    }

    /// Final norm of the rows that anybody reads, and their logits.
    fn finish(&mut self, rows: &[Row<'_>], residual: &Tensor) -> Result<()> {
        let model = &self.model;
        let wanted = |want: Want| {
            let indices: Vec<usize> = (0..rows.len()).filter(|&index| rows[index].want == want).collect();
            let picked = pick(residual, &indices)?;
            picked.map(|rows| rms_norm(&rows, &model.output_norm, model.config().norm_eps)).transpose()
        };
        self.hidden = download(wanted(Want::Hidden)?)?;
        let normed = wanted(Want::Logits)?;
        self.logits = download(normed.map(|rows| model.head.forward(&rows)).transpose()?)?;
        Ok(())
    }
}

impl Decoder for DeviceDecoder {
    fn config(&self) -> &ModelConfig {
        self.model.config()
    }

    fn pages(&self) -> usize {
        self.cache.pages()
    }

    fn forward(&mut self, rows: &[Row<'_>], pulse: &Pulse) -> std::result::Result<(), EngineError> {
        self.compute(rows, pulse).map_err(failed)
    }

    /// Every pass computes all logits of the rows that want some.
    fn head(&mut self, heads: &mut [Head<'_>]) -> std::result::Result<(), EngineError> {
        let (_, bytes) = self.pass_bytes();
        crate::model::head::split(bytes, heads.len(), heads.iter_mut());
        Ok(())
    }

    fn logits(&mut self) -> &mut [f32] {
        &mut self.logits
    }

    fn hidden(&self) -> &[f32] {
        &self.hidden
    }

    fn copy_page(&mut self, from: PageId, to: PageId) -> std::result::Result<(), EngineError> {
        self.cache.copy_page(from, to).map_err(failed)
    }

    fn kv_bytes_per_token(&self) -> u64 {
        self.cache.bytes_per_token()
    }

    fn pass_bytes(&self) -> (u64, u64) {
        self.model.pass_bytes()
    }

    /// More than the processor's: a device is not busy with a few rows.
    fn prefill_rows(&self) -> PrefillRows {
        PrefillRows { alone: 512, shared: 128 }
    }
}

impl<'a> Step<'a> {
    fn upload(model: &'a DeviceModel, cache: &'a Cache, plan: &'a Pass, rows: &[Row<'_>]) -> Result<Self> {
        let (config, device) = (model.config(), &model.device);
        let weights = model.host.weights();
        let order: Vec<usize> = plan.groups.iter().flat_map(group_rows).collect();
        let is_ordered = order.iter().copied().eq(0..rows.len());
        let table = |indices: Vec<u32>| Tensor::new(indices, device);
        let groups = plan.groups.iter().map(|group| {
            let sequences = group.starts.len();
            let view = |view: &View| DeviceView::upload(view, sequences, group.count, device);
            let indices = group_rows(group).map(|row| row as u32).collect();
            Ok(DeviceGroup {
                rows: (plan.groups.len() > 1 || !is_ordered).then(|| table(indices)).transpose()?,
                sequences,
                count: group.count,
                global: view(&group.global)?,
                local: group.local.as_ref().map(view).transpose()?,
            })
        });
        let groups = groups.collect::<Result<_>>()?;
        let back = (!is_ordered).then(|| {
            let mut back = vec![0; order.len()];
            order.iter().enumerate().for_each(|(place, &row)| back[row] = place as u32);
            table(back)
        });
        let angles = |rope| Angles::upload(rope, rows, config.attention_scale, device);
        Ok(Self {
            model,
            cache,
            places: cache.places(plan, device)?,
            groups,
            back: back.transpose()?,
            global: angles(&weights.rope)?,
            local: weights.local_rope.as_ref().map(angles).transpose()?,
        })
    }

    fn attend(&self, layer: usize, block: &DeviceBlock, residual: &Tensor) -> Result<Tensor> {
        let config = self.model.config();
        let is_global = config.is_global(layer);
        let angles = match &self.local {
            Some(local) if !is_global => local,
            _ => &self.global,
        };
        let x = rms_norm(residual, &block.attn_norm, config.norm_eps)?;
        let qkv = block.qkv.forward(&x)?;
        let q = self.heads(&qkv[0], block.q_bias.as_ref(), config.heads)?;
        let k = self.heads(&qkv[1], block.k_bias.as_ref(), config.kv_heads)?;
        let v = self.heads(&qkv[2], block.v_bias.as_ref(), config.kv_heads)?;
        let q = self.place(&q, block.q_norm.as_ref(), &angles.q)?;
        let k = self.place(&k, block.k_norm.as_ref(), &angles.k)?;
        self.cache.write(layer, &self.places, &k, &v)?;
        let mut attended = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let view = match &group.local {
                Some(local) if !is_global => local,
                _ => &group.global,
            };
            attended.push(self.attend_group(layer, group, view, &q)?);
        }
        let attended = match (&attended[..], &self.back) {
            ([attended], None) => attended.clone(),
            (parts, None) => Tensor::cat(parts, 0)?,
            (parts, Some(back)) => Tensor::cat(parts, 0)?.index_select(back, 0)?,
        };
        let out = block.attn_out.forward(&attended)?;
        self.add(residual, &out, block.post_attn_norm.as_ref())
    }

    /// `[rows][heads][head width]` of one projection.
    fn heads(&self, y: &Tensor, bias: Option<&Tensor>, heads: usize) -> Result<Tensor> {
        let y = match bias {
            Some(bias) => y.broadcast_add(&bias.unsqueeze(0)?)?,
            None => y.clone(),
        };
        y.reshape((y.dim(0)?, heads, self.model.config().head_dim))
    }

    /// Norms and rotates each head.
    fn place(&self, heads: &Tensor, norm: Option<&Tensor>, angles: &[Tensor; 2]) -> Result<Tensor> {
        let normed = match norm {
            Some(weight) => rms_norm(heads, weight, self.model.config().norm_eps)?,
            None => heads.clone(),
        };
        rope_thd(&normed.unsqueeze(0)?, &angles[0], &angles[1])?.squeeze(0)
    }

    /// Causal attention of a group: `[rows of the group][heads * head width]`.
    ///
    /// Query heads that share a key head are rows of one product.
    fn attend_group(
        &self,
        layer: usize,
        group: &DeviceGroup,
        view: &DeviceView,
        q: &Tensor,
    ) -> Result<Tensor> {
        let config = self.model.config();
        let (kv_heads, head_dim) = (config.kv_heads, config.head_dim);
        let (sequences, count, shared) = (group.sequences, group.count, config.heads / kv_heads);
        let q = match &group.rows {
            Some(rows) => q.index_select(rows, 0)?,
            None => q.clone(),
        };
        let q = q
            .reshape((sequences, count, kv_heads, shared, head_dim))?
            .permute((2, 0, 3, 1, 4))?
            .contiguous()?
            .reshape((kv_heads * sequences, shared * count, head_dim))?;
        let [k, v] = self.cache.read(layer, view)?;
        let mut scores = q.matmul(&k.t()?)?;
        if let Some(mask) = &view.mask {
            let split = scores.reshape((kv_heads, sequences, shared, count, view.len))?;
            scores = split.broadcast_add(mask)?.reshape((kv_heads * sequences, shared * count, view.len))?;
        }
        softmax_last_dim(&scores)?
            .matmul(&v)?
            .reshape((kv_heads, sequences, shared, count, head_dim))?
            .permute((1, 3, 0, 2, 4))?
            .contiguous()?
            .reshape((sequences * count, config.heads * head_dim))
    }

    fn feed_forward(&self, block: &DeviceBlock, residual: &Tensor) -> Result<Tensor> {
        let config = self.model.config();
        let x = rms_norm(residual, &block.ffn_norm, config.norm_eps)?;
        let gate_up = block.gate_up.forward(&x)?;
        let gate = match config.activation {
            Activation::Silu => gate_up[0].silu()?,
            Activation::GeluTanh => gate_up[0].gelu()?,
        };
        let out = block.down.forward(&(gate * &gate_up[1])?)?;
        self.add(residual, &out, block.post_ffn_norm.as_ref())
    }

    fn add(&self, residual: &Tensor, out: &Tensor, norm: Option<&Tensor>) -> Result<Tensor> {
        match norm {
            Some(weight) => residual + rms_norm(out, weight, self.model.config().norm_eps)?,
            None => residual + out,
        }
    }
}

impl Angles {
    fn upload(rope: &RopeTable, rows: &[Row<'_>], scale: f32, device: &Device) -> Result<Self> {
        let turns: Vec<(f32, f32)> =
            rows.iter().flat_map(|row| rope.angles(row.pos).turns().to_vec()).collect();
        let tensor = |of: &dyn Fn(&(f32, f32)) -> f32| {
            let values: Vec<f32> = turns.iter().map(of).collect();
            Tensor::from_vec(values, (rows.len(), turns.len() / rows.len().max(1)), device)
        };
        Ok(Self {
            q: [tensor(&|(cos, _)| cos * scale)?, tensor(&|(_, sin)| sin * scale)?],
            k: [tensor(&|(cos, _)| *cos)?, tensor(&|(_, sin)| *sin)?],
        })
    }
}

/// The tokens' embeddings, `[rows][hidden]`, from the model's file.
fn embed(model: &DeviceModel, rows: &[Row<'_>]) -> Result<Tensor> {
    let (config, weights) = (model.config(), model.host.weights());
    let mut values = vec![0.0; rows.len() * config.hidden];
    for (row, out) in rows.iter().zip(values.chunks_exact_mut(config.hidden)) {
        weights.embedding.row(model.host.gguf(), row.token as usize, out);
    }
    values.iter_mut().for_each(|value| *value *= config.embedding_scale);
    Tensor::from_vec(values, (rows.len(), config.hidden), &model.device)
}

/// The rows of a group, sequence by sequence.
fn group_rows(group: &Group) -> impl Iterator<Item = usize> + '_ {
    group.starts.iter().flat_map(|&start| start..start + group.count)
}

/// Some rows of a matrix, copied only where they do not lie together.
fn pick(rows: &Tensor, indices: &[usize]) -> Result<Option<Tensor>> {
    let (Some(&first), len) = (indices.first(), indices.len()) else { return Ok(None) };
    if indices[len - 1] - first == len - 1 {
        return rows.narrow(0, first, len).map(Some);
    }
    let indices: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
    rows.index_select(&Tensor::from_vec(indices, len, rows.device())?, 0).map(Some)
}

fn download(rows: Option<Tensor>) -> Result<Vec<f32>> {
    rows.map_or_else(|| Ok(Vec::new()), |rows| rows.flatten_all()?.to_vec1())
}

fn failed(error: candle_core::Error) -> EngineError {
    EngineError::Device(said(error))
}

#[cfg(test)]
mod tests {
    use understudy_kernels::ComputePool;

    use super::*;
    use crate::device::{Accelerator, DeviceChoice, Matrices};
    use crate::model::Model;

    /// A page that its last holder left full of numbers that are none does no harm to the next.
    #[test]
    fn nothing_of_a_pages_last_holder_remains() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/tiny-qwen3.gguf");
        let host = Arc::new(Model::open(file.as_ref()).unwrap());
        let accelerator = Accelerator::open(DeviceChoice::Candle).unwrap();
        let pool = ComputePool::new(1);
        let model = DeviceModel::upload(host, &accelerator, Matrices::Float, &pool).unwrap();
        let mut decoder = DeviceDecoder::new(Arc::new(model), 4).unwrap();
        let row = |pos, pages| Row { token: 7, pos, pages, want: Want::Logits };
        // Two that are gathered page by page, and one that is read where it lies.
        let rows = [row(0, &[0]), row(0, &[3]), row(0, &[1]), row(1, &[1])];
        decoder.forward(&rows, &Pulse::default()).unwrap();
        let clean = decoder.logits().to_vec();
        assert!(clean.iter().all(|logit| logit.is_finite()));

        let config = decoder.config().clone();
        let shape = (config.kv_heads, 4 * crate::kv::PAGE_LEN, config.head_dim);
        let poison = Tensor::full(f32::NAN, shape, &decoder.model.device).unwrap();
        decoder.cache.fill_for_test(&poison);
        decoder.forward(&rows, &Pulse::default()).unwrap();
        assert_eq!(decoder.logits(), clean);
    }
}
