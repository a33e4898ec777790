//! Checkpoints of safetensors files against an independent float32 computation on them.
//!
//! `tests/vectors/checkpoints` holds tiny models of every family, weight type and quantization that
//! is read, with logits and token ids of other programs; see `make_checkpoints.py` there. The bound
//! is that of the other vectors.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use support::reference::Vectors;
use support::{Rows, converted, model_file, repository};
use understudy_engine::ComputePool;
use understudy_engine::codec::{ChatMessage, Codec};
use understudy_engine::gguf::Gguf;
use understudy_engine::model::{Activations, Model, ModelOptions};
use understudy_engine::text::TextModel;
use understudy_kernels::QuantType;

const ALL: [&str; 6] =
    ["tiny-llama", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3", "tiny-qwen2-gptq", "tiny-llama-awq"];

fn folder() -> PathBuf {
    repository().join("tests/vectors/checkpoints")
}

fn open(name: &str, activations: Activations) -> Arc<Model> {
    let options = ModelOptions { activations, packs: None };
    let model = Model::open_with(&folder().join(name), &options, &ComputePool::new(1));
    Arc::new(model.unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn text_of(name: &str) -> TextModel {
    TextModel::from_gguf(open(name, Activations::F32).gguf()).unwrap()
}

#[test]
fn every_checkpoint_agrees_with_float32() {
    for name in ALL {
        let vectors = Vectors::read(&folder().join(format!("{name}.json")));
        for path in [Activations::F32, Activations::Int16] {
            let model = open(name, path);
            let mut rows = Rows::new(&model, vectors.longest());
            let agreement = vectors.compare(&mut rows, 16, |difference| panic!("{name}/{difference}"));
            assert!(agreement.rows > 50, "{name}: {} rows", agreement.rows);
        }
    }
}

#[derive(Deserialize)]
struct Encoded {
    tokens: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

#[test]
fn prompts_become_the_ids_of_the_checkpoints_own_tokenizer() {
    for name in ALL {
        let json = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let text = text_of(name);
        for case in serde_json::from_str::<Encoded>(&json).unwrap().tokens {
            assert_eq!(text.encode_prompt(&case.text).unwrap(), case.ids, "{name}: {:?}", case.text);
        }
    }
}

/// What a checkpoint's tokens stand for is the text again, spaces and bytes among it.
#[test]
fn tokens_spell_their_text() {
    for name in ALL {
        let text = text_of(name);
        for plain in ["two  spaces, a\n\ttab", "日本語 and 🚀", " leading"] {
            let ids = text.encode_text(plain).unwrap();
            let bytes: Vec<u8> = ids.iter().flat_map(|&id| text.token_bytes(id)).copied().collect();
            assert_eq!(String::from_utf8(bytes).unwrap(), plain, "{name}");
        }
    }
}

#[test]
fn templates_and_ends_are_the_checkpoints_own() {
    let hello = [ChatMessage::new("user", "Hi")];
    let qwen = text_of("tiny-qwen2");
    assert_eq!(qwen.render(&hello, &[]).unwrap(), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    assert!(qwen.begin_token().is_none());
    assert!(qwen.is_end(qwen.control_token("<|im_end|>").unwrap()));
    // Text that only looks like a control token is text.
    let end = qwen.control_token("<|im_end|>").unwrap();
    assert!(!qwen.encode_text("<|im_end|>").unwrap().contains(&end));

    let gemma = text_of("tiny-gemma3");
    assert!(!gemma.has_template());
    assert_eq!(gemma.begin_token(), gemma.control_token("<bos>"));
    assert!(gemma.is_end(gemma.control_token("<eos>").unwrap()));
    assert!(gemma.is_end(gemma.control_token("<end_of_turn>").unwrap()));
}

/// Float weights are multiplied where they lie; four-bit ones are what the fast kernels hold.
#[test]
fn weights_keep_their_type_or_become_the_narrowest_that_holds_them() {
    let expected = [
        ("tiny-llama", "blk.0.attn_q.weight", QuantType::F16),
        ("tiny-qwen2", "blk.0.attn_q.weight", QuantType::BF16),
        ("tiny-qwen3", "output.weight", QuantType::F32),
        // Symmetric, asymmetric.
        ("tiny-qwen2-gptq", "blk.0.ffn_down.weight", QuantType::Q4_0),
        ("tiny-qwen2-gptq", "blk.1.ffn_down.weight", QuantType::Q5_0),
        ("tiny-llama-awq", "blk.0.ffn_down.weight", QuantType::Q5_0),
    ];
    for (name, tensor, ty) in expected {
        let model = open(name, Activations::F32);
        assert_eq!(model.gguf().tensor(tensor).unwrap().ty, ty, "{name} {tensor}");
    }
    // Nothing of such a model is multiplied in integers, and its answers say so.
    assert_eq!(open("tiny-qwen2", Activations::Int16).activations(), Activations::F32);
    assert_eq!(open("tiny-llama-awq", Activations::Int16).activations(), Activations::Int16);
}

/// A real model with its real vocabulary, written as a checkpoint from its own GGUF file, is the same
/// model.
#[test]
fn smollm2_as_a_checkpoint_is_still_smollm2() {
    let gguf = Gguf::open(&model_file("smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    converted::write_smollm2(&gguf, folder.path());
    let model = Arc::new(Model::open(folder.path()).unwrap());
    let (ours, theirs) = (TextModel::from_gguf(model.gguf()).unwrap(), TextModel::from_gguf(&gguf).unwrap());
    let vectors = Vectors::read(&repository().join("tests/vectors/smollm2-135m.json"));
    for prompt in &vectors.prompts {
        let rendered =
            String::from_utf8(prompt.ids.iter().flat_map(|&id| theirs.token_bytes(id)).copied().collect());
        let text = rendered.unwrap();
        assert_eq!(
            ours.encode_prompt(&text).unwrap(),
            theirs.encode_prompt(&text).unwrap(),
            "{}",
            prompt.name
        );
    }
    assert_eq!(ours.end_tokens(), theirs.end_tokens());
    let hello = [ChatMessage::new("user", "Hi")];
    let rendered = ours.render(&hello, &[]).unwrap();
    assert_eq!(rendered, theirs.render(&hello, &[]).unwrap());
    assert_eq!(ours.encode_prompt(&rendered).unwrap(), theirs.encode_prompt(&rendered).unwrap());

    // In floats it reads half a gigabyte for each token: two prompts are enough.
    let two = Vectors { prompts: vectors.prompts.into_iter().take(2).collect() };
    let mut rows = Rows::new(&model, two.longest());
    two.compare(&mut rows, 64, |difference| panic!("{difference}"));
}
