//! Llama 2/3 and its kin (SmolLM2): GGUF permutes q and k so that rope pairs are adjacent;
//! checkpoints do not.

use crate::gguf::Gguf;
use crate::model::{LoadError, ModelConfig, config::RopePairs};

/// Set by the reader of checkpoints: q and k are as they were trained.
pub(crate) const ROPE_HALVES: &str = "llama.rope.halves";

pub(super) fn adjust(gguf: &Gguf, config: &mut ModelConfig) -> Result<(), LoadError> {
    config.rope_pairs = match gguf.bool(ROPE_HALVES) {
        Some(true) => RopePairs::Halves,
        _ => RopePairs::Adjacent,
    };
    Ok(())
}
