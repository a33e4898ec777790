//! Qwen2 and Qwen2.5: biases on q, k and v.

use crate::gguf::Gguf;
use crate::model::{LoadError, ModelConfig};

pub(super) fn adjust(_gguf: &Gguf, config: &mut ModelConfig) -> Result<(), LoadError> {
    config.qkv_bias = true;
    Ok(())
}
