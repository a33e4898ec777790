//! Llama 2/3 and its kin (SmolLM2): GGUF permutes q and k so that rope pairs are adjacent.

use crate::gguf::Gguf;
use crate::model::{LoadError, ModelConfig, config::RopePairs};

pub(super) fn adjust(_gguf: &Gguf, config: &mut ModelConfig) -> Result<(), LoadError> {
    config.rope_pairs = RopePairs::Adjacent;
    Ok(())
}
