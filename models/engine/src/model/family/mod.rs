//! One short file per architecture, holding only what differs from the common decoder.
//! A new family is a new file here and a row in `find`.

pub(crate) mod gemma3;
pub(crate) mod llama;
mod qwen2;
mod qwen3;

use crate::gguf::Gguf;
use crate::model::{LoadError, ModelConfig};

type Adjust = fn(&Gguf, &mut ModelConfig) -> Result<(), LoadError>;

/// Architectures this engine runs.
pub const SUPPORTED: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

/// The family of an architecture word.
pub(super) fn find(architecture: &str) -> Option<Adjust> {
    match architecture {
        "llama" => Some(llama::adjust),
        "qwen2" => Some(qwen2::adjust),
        "qwen3" => Some(qwen3::adjust),
        "gemma3" => Some(gemma3::adjust),
        _ => None,
    }
}
