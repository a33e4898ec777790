//! Sentence embeddings by a BERT encoder (Devlin et al. 2019), pooled as sentence-transformers does:
//! the mean of the last hidden states over all tokens, then unit length.
//!
//! An encoder sees a text at once and in both directions, so it has no sequences, no pages and no
//! sampling. [`Bert`] computes, [`BertEngine`] answers [`Verb::Embed`](crate::verbs::Verb::Embed) and refuses the other
//! verbs, [`BertText`] cuts text into word pieces. Weights are floats and stay in the mapped file.

mod engine;
mod text;
mod weights;

use std::path::Path;

use understudy_kernels::{
    AttentionRow, ComputePool, PagedKv, add_assign, attention, for_each_row, matmul_bias,
};

pub use engine::BertEngine;
pub use text::BertText;
use weights::{Layer, Linear, Norm, Weights};

use crate::checkpoint::{CheckpointError, Folder, Settings};
use crate::tick::Pulse;
use crate::verbs::TokenId;

/// Sizes of an encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BertConfig {
    /// Transformer blocks.
    pub layers: usize,
    /// Width of an embedding.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward block.
    pub feed_forward: usize,
    /// Longest text in tokens.
    pub context: usize,
    /// Tokens.
    pub vocab: usize,
    /// Epsilon of every norm.
    pub norm_eps: f32,
}

/// Bounds that no real encoder comes near.
const MAX_LAYERS: usize = 256;
const MAX_WIDTH: usize = 1 << 16;

impl BertConfig {
    fn read(settings: &Settings) -> Result<Self, CheckpointError> {
        settings.only("hidden_act", &"gelu".into())?;
        settings.only("position_embedding_type", &"absolute".into())?;
        settings.only("is_decoder", &false.into())?;
        let size = |name: &str, most: usize| {
            let size = usize::try_from(settings.size(name)?).unwrap_or(usize::MAX);
            match (1..=most).contains(&size) {
                true => Ok(size),
                false => Err(CheckpointError::unsupported(format!("{name} {size}"))),
            }
        };
        let config = Self {
            layers: size("num_hidden_layers", MAX_LAYERS)?,
            hidden: size("hidden_size", MAX_WIDTH)?,
            heads: size("num_attention_heads", MAX_WIDTH)?,
            feed_forward: size("intermediate_size", MAX_WIDTH)?,
            context: size("max_position_embeddings", MAX_WIDTH)?,
            vocab: size("vocab_size", 1 << 24)?,
            norm_eps: settings.float("layer_norm_eps")? as f32,
        };
        // What the attention kernel asks for.
        if !config.hidden.is_multiple_of(config.heads) || !config.head_dim().is_multiple_of(8) {
            let (hidden, heads) = (config.hidden, config.heads);
            return Err(CheckpointError::unsupported(format!("hidden_size {hidden} with {heads} heads")));
        }
        Ok(config)
    }

    fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }
}

/// An encoder whose weights stay in the mapped file.
pub struct Bert {
    config: BertConfig,
    weights: Weights,
}

/// Rows of a text on their way through the blocks.
#[derive(Default)]
struct Rows {
    state: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    projected: Vec<f32>,
}

impl Bert {
    /// Maps the checkpoint that a path means and checks that every tensor is there with its shape.
    ///
    /// # Errors
    /// [`CheckpointError`] names the file, tensor or setting.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let folder = Folder::of(path);
        // Where sentence-transformers keeps how a text's tokens become one vector.
        let pooling = folder.json("1_Pooling/config.json")?.unwrap_or_default();
        if pooling.get("pooling_mode_mean_tokens") == Some(&false.into()) {
            return Err(CheckpointError::unsupported("another pooling than the mean of all tokens"));
        }
        let config = BertConfig::read(&Settings::read(&folder)?)?;
        Ok(Self { config, weights: Weights::find(folder.tensors()?, &config)? })
    }

    /// Its sizes.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Size of its files in bytes.
    pub fn file_len(&self) -> usize {
        self.weights.file_len()
    }

    /// What tells these weights from others, as [`Gguf::digest`](crate::gguf::Gguf::digest) does.
    pub fn digest(&self) -> String {
        crate::gguf::weights_digest(self.file_len(), b"bert", self.weights.stored())
    }

    /// Bytes of weights that one pass reads.
    pub fn pass_bytes(&self) -> u64 {
        self.weights.pass_bytes
    }

    /// The embedding of a text, a unit vector. The ids are in the vocabulary, at least one and at
    /// most as many as the context.
    fn embed(&self, pool: &ComputePool, ids: &[TokenId], pulse: &Pulse) -> Vec<f32> {
        let mut rows = Rows::default();
        self.weights.embed(ids, &mut rows.state);
        self.normalise(pool, &self.weights.norm, &mut rows.state);
        for layer in &self.weights.layers {
            self.attend(pool, layer, &mut rows);
            self.feed_forward(pool, layer, &mut rows);
            pulse.beat();
        }
        unit_mean(&rows.state, self.config.hidden)
    }

    fn attend(&self, pool: &ComputePool, layer: &Layer, rows: &mut Rows) {
        self.project(pool, &layer.query, &rows.state, &mut rows.q);
        self.project(pool, &layer.key, &rows.state, &mut rows.k);
        self.project(pool, &layer.value, &rows.state, &mut rows.v);
        let hidden = self.config.hidden;
        let head_dim = self.config.head_dim();
        let len = rows.state.len() / hidden;
        // The whole text is one page, and each of its tokens sees all of it.
        let kv = PagedKv { k: &rows.k, v: &rows.v, page_len: len, kv_heads: self.config.heads, head_dim };
        let queries: Vec<_> = rows
            .q
            .chunks_exact(hidden)
            .map(|q| AttentionRow { q, pages: &[0], start: 0, end: len })
            .collect();
        rows.attended.resize(rows.state.len(), 0.0);
        let scale = 1.0 / (head_dim as f32).sqrt();
        attention(pool, &kv, self.config.heads, scale, &queries, &mut rows.attended);
        self.project(pool, &layer.attention_out, &rows.attended, &mut rows.projected);
        add_assign(&mut rows.state, &rows.projected);
        self.normalise(pool, &layer.attention_norm, &mut rows.state);
    }

    fn feed_forward(&self, pool: &ComputePool, layer: &Layer, rows: &mut Rows) {
        self.project(pool, &layer.up, &rows.state, &mut rows.inner);
        for_each_row(pool, &mut rows.inner, self.config.feed_forward, &|_, row| {
            row.iter_mut().for_each(|value| *value = gelu(*value));
        });
        self.project(pool, &layer.down, &rows.inner, &mut rows.projected);
        add_assign(&mut rows.state, &rows.projected);
        self.normalise(pool, &layer.output_norm, &mut rows.state);
    }

    fn project(&self, pool: &ComputePool, linear: &Linear, x: &[f32], y: &mut Vec<f32>) {
        let matrix = self.weights.matrix(&linear.weight);
        y.resize(x.len() / matrix.cols * matrix.rows, 0.0);
        matmul_bias(pool, &matrix, x, y, Some(&linear.bias));
    }

    /// Layer norm of every row (Ba et al. 2016).
    fn normalise(&self, pool: &ComputePool, norm: &Norm, rows: &mut [f32]) {
        for_each_row(pool, rows, self.config.hidden, &|_, row| {
            let len = row.len() as f32;
            let mean = row.iter().sum::<f32>() / len;
            let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / len;
            let scale = 1.0 / (variance + self.config.norm_eps).sqrt();
            for ((value, weight), bias) in row.iter_mut().zip(&norm.weight).zip(&norm.bias) {
                *value = (*value - mean) * scale * weight + bias;
            }
        });
    }
}

/// `x Φ(x)`, with the error function of Abramowitz and Stegun 7.1.26: off by 1.5e-7 at most.
fn gelu(x: f32) -> f32 {
    let z = f64::from(x).abs() * std::f64::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592]
        .iter()
        .fold(0.0, |sum, factor| sum * t + factor);
    let erf = 1.0 - series * t * (-z * z).exp();
    (0.5 * f64::from(x) * (1.0 + erf.copysign(f64::from(x)))) as f32
}

fn unit_mean(rows: &[f32], width: usize) -> Vec<f32> {
    let mut mean = vec![0.0; width];
    rows.chunks_exact(width).for_each(|row| add_assign(&mut mean, row));
    // The number of rows drops out with the length.
    let length = mean.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    mean.iter_mut().for_each(|value| *value /= length);
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `scipy.special.ndtr(x) * x`.
    #[test]
    fn gelu_is_that_of_the_error_function() {
        let known =
            [(0.0, 0.0), (1.0, 0.841_344_7), (-1.0, -0.158_655_25), (3.0, 2.995_950_3), (-6.0, -5.919e-9)];
        for (x, expected) in known {
            assert!((gelu(x) - expected).abs() < 1e-6, "{x}: {}", gelu(x));
        }
    }
}
