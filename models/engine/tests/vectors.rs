//! Logits and greedy tokens against an independent float32 computation on the same weights.
//!
//! The vectors (tests/vectors/*.json) were made by another framework from the dequantized
//! tensors; see tests/vectors/README.md. Bound: max |difference| <= 2e-3 of the logit range,
//! greedy tokens equal except where the reference's top two are closer than that. It holds for
//! activations in floats and in 15-bit integers; 8-bit ones are judged by tasks instead.
//!
//! `smollm2-135m`, `qwen2.5-coder-0.5b` and the tiny qwen3 always run;
//! `UNDERSTUDY_VECTORS=all` adds the other two.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and reports by printing"
)]

mod support;

use std::path::Path;
use std::sync::Arc;

use support::reference::{BOUND, Prompt, Vectors};
use support::{Rows, model_file, repository};
use understudy_engine::ComputePool;
use understudy_engine::model::{Activations, Model, ModelOptions, Want};

fn read_vectors(model: &str) -> Vectors {
    Vectors::read(&repository().join(format!("tests/vectors/{model}.json")))
}

/// The worst difference found, as a share of the bound.
fn check_model(name: &str, model: &Arc<Model>) -> f32 {
    let vectors = read_vectors(name);
    let mut rows = Rows::new(model, vectors.longest());
    vectors.compare(&mut rows, 64, |difference| panic!("{name}/{difference}")).worst
}

fn check_file(name: &str, file: &str) {
    for path in [Activations::F32, Activations::Int16] {
        let model = open(&model_file(name, file), path);
        let worst = check_model(name, &model);
        println!("{name} {}: worst difference {:.1} % of the bound", path.name(), worst * 100.0);
    }
}

fn open(file: &Path, activations: Activations) -> Arc<Model> {
    let options = ModelOptions { activations, packs: None };
    Arc::new(Model::open_with(file, &options, &ComputePool::new(2)).unwrap())
}

#[test]
fn smollm2_agrees_with_float32() {
    check_file("smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf");
}

#[test]
fn qwen_half_billion_agrees_with_float32() {
    check_file("qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");
}

#[test]
fn tiny_qwen3_agrees_with_float32() {
    let model = open(&repository().join("tests/vectors/tiny-qwen3.gguf"), Activations::F32);
    check_model("tiny-qwen3", &model);
}

#[test]
fn larger_models_agree_with_float32() {
    if std::env::var("UNDERSTUDY_VECTORS").as_deref() != Ok("all") {
        println!("set UNDERSTUDY_VECTORS=all to run the 1.5B and gemma vectors");
        return;
    }
    check_file("gemma-3-270m", "gemma-3-270m-q4_k_m.gguf");
    check_file("qwen2.5-coder-1.5b", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf");
}

/// INV-K1: prefill at once, in chunks, row by row, and as a verification of a draft after
/// a prefix all give the same bits.
#[test]
fn every_way_to_compute_a_row_gives_the_same_bits() {
    let file = model_file("smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf");
    let files = [file, repository().join("tests/vectors/tiny-qwen3.gguf")];
    let paths = Activations::ALL;
    for model in files.iter().flat_map(|file| paths.map(|path| open(file, path))) {
        let ids: Vec<u32> = (0..70u32).map(|index| (index * 37 + 11) % 300).collect();
        let logits = |chunk: usize| {
            Rows::new(&model, ids.len())
                .prefill(&ids, chunk, |pos| if pos >= 60 { Want::Logits } else { Want::Nothing })
        };
        let at_once = logits(ids.len());
        for chunk in [1, 3, 17, 64] {
            assert!(at_once == logits(chunk), "chunks of {chunk}");
        }
        let mut rows = Rows::new(&model, ids.len());
        rows.prefill(&ids[..60], 64, |_| Want::Nothing);
        let verified = rows.prefill(&ids[60..], 10, |_| Want::Logits);
        assert!(at_once == verified, "verification after a prefix");
    }
}

/// The engine's own loop (pages, batching, sampling) says what the reference says.
#[test]
fn the_engine_decodes_the_references_greedy_tokens() {
    let files = [
        ("tiny-qwen3", repository().join("tests/vectors/tiny-qwen3.gguf")),
        ("smollm2-135m", model_file("smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf")),
        ("qwen2.5-coder-0.5b", model_file("qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf")),
    ];
    for (name, path) in files {
        let model = open(&path, Activations::Int16);
        let prompts = read_vectors(name).prompts;
        let short: Vec<&Prompt> = prompts.iter().filter(|prompt| prompt.ids.len() < 600).collect();
        let answers =
            support::run_greedy(&model, &short.iter().map(|prompt| &prompt.ids[..]).collect::<Vec<_>>(), 24);
        for (prompt, answer) in short.iter().zip(answers) {
            // Up to the first close call, after which the two may part for good.
            let clear = prompt.greedy_gap.iter().zip(&prompt.greedy_range);
            let clear = clear.take_while(|(gap, range)| **gap > BOUND * **range).count();
            let until = clear.min(answer.len());
            assert_eq!(answer[..until], prompt.greedy[..until], "{name}/{}", prompt.name);
        }
    }
}
