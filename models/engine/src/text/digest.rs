//! One short name for everything that decides which ids a text becomes.

use sha2::{Digest, Sha256};

use super::Pipeline;
use crate::gguf::Gguf;

/// 128 bits of SHA-256 over the tokenizer's metadata, in hex.
///
/// Two files with the same digest turn the same text into the same ids, whatever their weights and their chat
/// template: models of a family differ in that, and share tokens, drafts and masks all the same.
pub(super) fn of(file: &Gguf) -> String {
    let mut hash = Sha256::new();
    for key in ["model", "pre"] {
        field(&mut hash, file.str(&format!("tokenizer.ggml.{key}")).unwrap_or_default());
    }
    if let Some(pipeline) = file.str(Pipeline::KEY) {
        field(&mut hash, pipeline);
    }
    for key in ["tokens", "merges"] {
        let strings = file.strings(&format!("tokenizer.ggml.{key}")).into_iter().flatten();
        strings.for_each(|text| field(&mut hash, text));
        hash.update([0xFF]);
    }
    for kind in file.i32s("tokenizer.ggml.token_type").unwrap_or_default() {
        hash.update(kind.to_le_bytes());
    }
    for score in file.f32s("tokenizer.ggml.scores").unwrap_or_default() {
        hash.update(score.to_le_bytes());
    }
    for key in ["bos", "eos", "eot", "eom", "unknown"] {
        let id = file.u64(&format!("tokenizer.ggml.{key}_token_id"));
        hash.update(id.unwrap_or(u64::MAX).to_le_bytes());
    }
    for key in ["add_bos_token", "add_space_prefix"] {
        let flag = file.bool(&format!("tokenizer.ggml.{key}"));
        hash.update([flag.map_or(2, u8::from)]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The length comes first so that fields cannot run into each other.
fn field(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}
