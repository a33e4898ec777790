//! Tensors under GGUF's names, and the few that a family stores in another way.

use std::collections::BTreeMap;

use understudy_kernels::{QuantType, dequantize};

use super::settings::Family;
use super::{CheckpointError, Stored};
use crate::gguf::Assembly;

const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

/// GGUF's name of a tensor; `None` for one that the family does not have.
pub(super) fn in_gguf(family: Family, name: &str) -> Option<String> {
    let whole = match name {
        "model.embed_tokens.weight" => Some(EMBEDDING),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some(HEAD),
        _ => None,
    };
    if let Some(name) = whole {
        return Some(name.to_owned());
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let layer: u32 = layer.parse().ok()?;
    let (part, kind) = rest.rsplit_once('.')?;
    let is_gemma = family == Family::Gemma3;
    let part = match (part, kind) {
        ("input_layernorm", "weight") => "attn_norm",
        ("self_attn.q_proj", "weight") => "attn_q",
        ("self_attn.k_proj", "weight") => "attn_k",
        ("self_attn.v_proj", "weight") => "attn_v",
        ("self_attn.o_proj", "weight") => "attn_output",
        ("self_attn.q_proj", "bias") if family == Family::Qwen2 => "attn_q",
        ("self_attn.k_proj", "bias") if family == Family::Qwen2 => "attn_k",
        ("self_attn.v_proj", "bias") if family == Family::Qwen2 => "attn_v",
        ("self_attn.q_norm", "weight") if family == Family::Qwen3 || is_gemma => "attn_q_norm",
        ("self_attn.k_norm", "weight") if family == Family::Qwen3 || is_gemma => "attn_k_norm",
        ("post_attention_layernorm", "weight") if is_gemma => "post_attention_norm",
        ("pre_feedforward_layernorm", "weight") if is_gemma => "ffn_norm",
        ("post_feedforward_layernorm", "weight") if is_gemma => "post_ffw_norm",
        ("post_attention_layernorm", "weight") => "ffn_norm",
        ("mlp.gate_proj", "weight") => "ffn_gate",
        ("mlp.up_proj", "weight") => "ffn_up",
        ("mlp.down_proj", "weight") => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}.{kind}"))
}

/// Writes all tensors; the rows of the embedding.
pub(super) fn write(
    family: Family,
    is_tied: bool,
    tensors: BTreeMap<String, Stored>,
    model: &mut Assembly,
) -> Result<usize, CheckpointError> {
    let (mut vocab, mut has_head) = (None, false);
    for (name, stored) in tensors {
        // Tables that old checkpoints hold and that follow from the settings.
        if name.ends_with(".rotary_emb.inv_freq") {
            continue;
        }
        let target = in_gguf(family, &name).ok_or_else(|| {
            CheckpointError::tensor(&name, format!("a {} model has no such tensor", family.word()))
        })?;
        match target.as_str() {
            EMBEDDING => vocab = stored.shape.first().copied(),
            HEAD if is_tied => continue,
            HEAD => has_head = true,
            _ => {}
        }
        write_one(family, &name, &target, &stored, model)?;
    }
    if !is_tied && !has_head {
        return Err(CheckpointError::missing("the tensor lm_head.weight"));
    }
    vocab.ok_or_else(|| CheckpointError::missing("the tensor model.embed_tokens.weight"))
}

fn write_one(
    family: Family,
    name: &str,
    target: &str,
    stored: &Stored,
    model: &mut Assembly,
) -> Result<(), CheckpointError> {
    let ty = stored.float().ok_or_else(|| {
        CheckpointError::unsupported(format!(
            "tensor {name} of type {:?} (F32, F16 and BF16 are)",
            stored.dtype
        ))
    })?;
    let dims: Vec<usize> = stored.shape.iter().rev().copied().collect();
    if family == Family::Gemma3 && target.ends_with("norm.weight") {
        let norm = one_added(ty, model.slice(stored.range.clone()));
        return Ok(model.made(target, QuantType::F32, dims, norm)?);
    }
    Ok(model.tensor(target, ty, dims, stored.range.clone())?)
}

/// Gemma's norms multiply by one more than what is stored; GGUF stores the factor itself.
fn one_added(ty: QuantType, stored: &[u8]) -> Vec<u8> {
    let mut values = vec![0.0; stored.len() / ty.block_bytes()];
    let filled = dequantize(ty, stored, &mut values);
    debug_assert!(filled.is_ok(), "whole floats were counted");
    values.iter().flat_map(|value| (value + 1.0).to_le_bytes()).collect()
}
