//! Qwen3: a norm on each head of q and k, no biases.

use crate::gguf::Gguf;
use crate::model::{LoadError, ModelConfig};

pub(super) fn adjust(_gguf: &Gguf, config: &mut ModelConfig) -> Result<(), LoadError> {
    config.qk_norm = true;
    Ok(())
}
