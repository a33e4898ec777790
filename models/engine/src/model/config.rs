//! What a GGUF's metadata says about a decoder, checked before anything is allocated.

use crate::gguf::Gguf;
use crate::model::{LoadError, family};

/// Which rope pairs are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairs {
    /// Element `i` with `i + d/2`.
    Halves,
    /// Element `2i` with `2i + 1`: GGUF's llama files are permuted for it.
    Adjacent,
}

/// The gate's activation in the feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x * sigmoid(x).
    Silu,
    /// tanh approximation of GELU.
    GeluTanh,
}

/// Layers that see only the last tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlidingWindow {
    /// Tokens visible, the current one included.
    pub window: usize,
    /// Every `period`-th layer is global.
    pub period: usize,
    /// Rope base of the windowed layers.
    pub rope_base: f64,
}

/// One decoder, whatever its family.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// GGUF architecture word.
    pub architecture: String,
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width of the feed-forward block.
    pub feed_forward: usize,
    /// Vocabulary size (rows of the embedding).
    pub vocab: usize,
    /// Longest sequence the model was trained for.
    pub context: usize,
    /// Epsilon of every RMS norm.
    pub norm_eps: f32,
    /// Rope base of global layers.
    pub rope_base: f64,
    /// Positions are divided by this.
    pub rope_linear_factor: f64,
    /// Pairing of rope elements.
    pub rope_pairs: RopePairs,
    /// Queries are multiplied by this before the dot product.
    pub attention_scale: f32,
    /// Feed-forward activation.
    pub activation: Activation,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// RMS norm on each head of q and k.
    pub qk_norm: bool,
    /// Norms after attention and feed-forward, before the residual sum.
    pub post_norms: bool,
    /// Embeddings are multiplied by this.
    pub embedding_scale: f32,
    /// Windowed layers, where the model has them.
    pub sliding: Option<SlidingWindow>,
}

/// Upper bounds that no supported model comes near; a file beyond them is hostile or broken.
const MAX_LAYERS: usize = 512;
const MAX_WIDTH: usize = 1 << 20;
const MAX_HEADS: usize = 1024;

impl ModelConfig {
    /// Reads the metadata all families share, then lets the family set what differs.
    ///
    /// # Errors
    /// [`LoadError`] when a key is missing, out of range, or the architecture is unknown.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, LoadError> {
        let architecture = gguf.architecture()?.to_owned();
        let adjust = family::find(&architecture)
            .ok_or_else(|| LoadError::UnsupportedArchitecture(architecture.clone()))?;
        let mut config = Self::common(gguf, architecture)?;
        adjust(gguf, &mut config)?;
        config.check()?;
        Ok(config)
    }

    fn common(gguf: &Gguf, architecture: String) -> Result<Self, LoadError> {
        let key = |name: &str| format!("{architecture}.{name}");
        let size = |name: &str| -> Result<usize, LoadError> {
            let value = gguf.require_u64(&key(name))?;
            usize::try_from(value).map_err(|_| LoadError::out_of_range(&key(name), value))
        };
        let hidden = size("embedding_length")?;
        let heads = size("attention.head_count")?;
        let kv_heads = match gguf.u64(&key("attention.head_count_kv")) {
            Some(_) => size("attention.head_count_kv")?,
            None => heads,
        };
        let head_dim = match gguf.u64(&key("attention.key_length")) {
            Some(_) => size("attention.key_length")?,
            None => hidden.checked_div(heads).unwrap_or(0),
        };
        let embedding = gguf.matrix("token_embd.weight")?;
        Ok(Self {
            layers: size("block_count")?,
            hidden,
            heads,
            kv_heads,
            head_dim,
            feed_forward: size("feed_forward_length")?,
            vocab: embedding.rows,
            context: size("context_length")?,
            norm_eps: gguf.require_f64(&key("attention.layer_norm_rms_epsilon"))? as f32,
            rope_base: gguf.f64(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_linear_factor: linear_rope_factor(gguf, &architecture)?,
            rope_pairs: RopePairs::Halves,
            attention_scale: 1.0 / (head_dim.max(1) as f32).sqrt(),
            activation: Activation::Silu,
            qkv_bias: false,
            qk_norm: false,
            post_norms: false,
            embedding_scale: 1.0,
            sliding: None,
            architecture,
        })
    }

    fn check(&self) -> Result<(), LoadError> {
        let bounds = [
            ("block_count", self.layers, MAX_LAYERS),
            ("embedding_length", self.hidden, MAX_WIDTH),
            ("feed_forward_length", self.feed_forward, MAX_WIDTH),
            ("attention.head_count", self.heads, MAX_HEADS),
            ("attention.head_count_kv", self.kv_heads, MAX_HEADS),
            ("attention.key_length", self.head_dim, MAX_WIDTH),
            ("context_length", self.context, 1 << 24),
        ];
        for (name, value, most) in bounds {
            if value == 0 || value > most {
                return Err(LoadError::out_of_range(name, value as u64));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(LoadError::out_of_range("attention.head_count_kv", self.kv_heads as u64));
        }
        // What the attention kernel asks for; every real model has 32 or more.
        if !self.head_dim.is_multiple_of(8) {
            return Err(LoadError::out_of_range("attention.key_length", self.head_dim as u64));
        }
        Ok(())
    }

    /// Width of one row of keys (or values).
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Bytes of keys and values that one token holds over all layers.
    pub fn kv_bytes_per_token(&self) -> u64 {
        (self.layers * 2 * self.kv_width() * size_of::<f32>()) as u64
    }

    /// First position that a row at `pos` sees in `layer`.
    pub fn first_visible(&self, layer: usize, pos: usize) -> usize {
        match self.sliding {
            Some(sliding) if !self.is_global(layer) => (pos + 1).saturating_sub(sliding.window),
            _ => 0,
        }
    }

    /// Whether a layer sees the whole sequence.
    pub fn is_global(&self, layer: usize) -> bool {
        self.sliding.is_none_or(|sliding| (layer + 1).is_multiple_of(sliding.period))
    }
}

fn linear_rope_factor(gguf: &Gguf, architecture: &str) -> Result<f64, LoadError> {
    let kind_key = format!("{architecture}.rope.scaling.type");
    match gguf.str(&kind_key) {
        None | Some("none") => Ok(1.0),
        Some("linear") => {
            let factor = gguf.f64(&format!("{architecture}.rope.scaling.factor")).unwrap_or(1.0);
            if factor.is_finite() && factor > 0.0 {
                Ok(factor)
            } else {
                Err(LoadError::Unsupported(format!("rope scaling factor {factor}")))
            }
        }
        Some(other) => Err(LoadError::Unsupported(format!("rope scaling {other:?}"))),
    }
}
