//! Gemma 3 (text): five windowed layers for each global one, norms on both sides of every
//! block, scaled embeddings. GGUF stores norm weights with the family's `+ 1` already added.

use crate::gguf::Gguf;
use crate::model::config::{Activation, SlidingWindow};
use crate::model::{LoadError, ModelConfig};

/// Gemma 3 report, section 2: a global layer after every five local ones.
pub(crate) const GLOBAL_PERIOD: usize = 6;
/// Same section: rope base of the local layers.
pub(crate) const LOCAL_ROPE_BASE: f64 = 10_000.0;
/// Of the global layers, where a file does not say.
pub(crate) const DEFAULT_ROPE_BASE: f64 = 1_000_000.0;

pub(super) fn adjust(gguf: &Gguf, config: &mut ModelConfig) -> Result<(), LoadError> {
    config.activation = Activation::GeluTanh;
    config.qk_norm = true;
    config.post_norms = true;
    config.embedding_scale = (config.hidden as f32).sqrt();
    config.rope_base = gguf.f64("gemma3.rope.freq_base").unwrap_or(DEFAULT_ROPE_BASE);
    let window = gguf.require_u64("gemma3.attention.sliding_window")?;
    let window = usize::try_from(window)
        .ok()
        .filter(|&window| window > 0)
        .ok_or_else(|| LoadError::out_of_range("gemma3.attention.sliding_window", window))?;
    config.sliding = Some(SlidingWindow { window, period: GLOBAL_PERIOD, rope_base: LOCAL_ROPE_BASE });
    Ok(())
}
