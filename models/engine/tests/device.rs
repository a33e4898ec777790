//! The device's decoder, on candle's own processor backend: the same code as on a graphics
//! processor, but for its kernels. `examples/device_check.rs` repeats this on a real one.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and reports by printing"
)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use support::reference::Vectors;
use support::verbs::{CHECKS, CLOSE, Driver, options};
use support::{Rows, model_file, repository};
use understudy_engine::ComputePool;
use understudy_engine::device::{Accelerator, DeviceChoice, DeviceDecoder, DeviceModel, Matrices};
use understudy_engine::kv::PAGE_LEN;
use understudy_engine::model::{CpuDecoder, Decoder, Head, Model, Row, Want};
use understudy_engine::tick::Pulse;

fn tiny() -> PathBuf {
    repository().join("tests/vectors/tiny-qwen3.gguf")
}

fn upload(file: &Path, matrices: Matrices) -> Arc<DeviceModel> {
    let host = Arc::new(Model::open(file).unwrap());
    let pool = ComputePool::new(2);
    Arc::new(
        DeviceModel::upload(host, &Accelerator::open(DeviceChoice::Candle).unwrap(), matrices, &pool)
            .unwrap(),
    )
}

fn decoder(model: &Arc<DeviceModel>, tokens: usize) -> Box<dyn Decoder> {
    Box::new(DeviceDecoder::new(model.clone(), tokens.div_ceil(PAGE_LEN)).unwrap())
}

/// Within the bound of the processor's own paths, whatever the chunks.
fn check_vectors(name: &str, file: &Path) {
    let vectors = Vectors::read(&repository().join(format!("tests/vectors/{name}.json")));
    let model = upload(file, Matrices::Float);
    for chunk in [512, 33] {
        let mut rows = Rows::over(decoder(&model, vectors.longest()));
        let found = vectors.compare(&mut rows, chunk, |difference| panic!("{name}/{difference}"));
        println!("{name} in chunks of {chunk}: worst difference {:.1} % of the bound", found.worst * 100.0);
    }
}

#[test]
fn tiny_qwen3_agrees_with_float32() {
    check_vectors("tiny-qwen3", &tiny());
}

/// Adjacent rope pairs.
#[test]
fn smollm2_agrees_with_float32() {
    check_vectors("smollm2-135m", &model_file("smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf"));
}

/// Biases (qwen2), windows, post norms and scaled embeddings (gemma3).
#[test]
fn larger_models_agree_with_float32() {
    if std::env::var("UNDERSTUDY_VECTORS").as_deref() != Ok("all") {
        println!("set UNDERSTUDY_VECTORS=all to run the qwen2 and gemma vectors");
        return;
    }
    let file = model_file("qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");
    check_vectors("qwen2.5-coder-0.5b", &file);
    check_vectors("gemma-3-270m", &model_file("gemma-3-270m", "gemma-3-270m-q4_k_m.gguf"));
}

#[test]
fn every_verb_works_over_either_kind_of_matrices() {
    for matrices in [Matrices::Float, Matrices::Stored] {
        let model = upload(&tiny(), matrices);
        let mut driver = Driver::new(decoder(&model, options().kv_tokens), CLOSE);
        for (name, check) in CHECKS {
            let found = check(&mut driver).unwrap_or_else(|error| panic!("{matrices:?} {name}: {error}"));
            println!("{matrices:?} {name}: {found}");
        }
    }
}

/// The checks themselves, over the decoder that keeps INV-K1.
#[test]
fn every_verb_works_on_the_processor() {
    let model = Arc::new(Model::open(&tiny()).unwrap());
    let pool = Arc::new(ComputePool::new(2));
    let pages = options().kv_tokens.div_ceil(PAGE_LEN);
    let mut driver = Driver::new(Box::new(CpuDecoder::new(model, pool, pages)), CLOSE);
    for (name, check) in CHECKS {
        check(&mut driver).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Rows of many sequences in one pass, with pages in no order, against the processor: logits and
/// hidden states.
#[test]
fn a_mixed_pass_gives_what_the_processor_gives() {
    let file = tiny();
    let host = Arc::new(Model::open(&file).unwrap());
    let device = upload(&file, Matrices::Float);
    let pool = Arc::new(ComputePool::new(1));
    let mut decoders: [Box<dyn Decoder>; 2] =
        [Box::new(CpuDecoder::new(host, pool, 16)), decoder(&device, 16 * PAGE_LEN)];
    // Two chunks, a single row, and again two sequences of the same length.
    let tables: [&[u32]; 4] = [&[3, 9, 1], &[4, 5, 6], &[15], &[12, 0]];
    let passes: [[(usize, usize); 4]; 3] = [
        [(0, 40), (0, 65), (0, 5), (0, 33)],
        [(40, 41), (65, 66), (5, 6), (33, 34)],
        [(41, 70), (66, 80), (6, 7), (34, 63)],
    ];
    for spans in passes {
        let mut rows = Vec::new();
        for (table, (from, to)) in tables.iter().zip(spans) {
            rows.extend((from..to).map(|pos| Row {
                token: (pos * 37 + table[0] as usize * 11) as u32 % 490,
                pos,
                pages: table,
                want: if pos % 3 == 0 { Want::Hidden } else { Want::Logits },
            }));
        }
        let [processor, device] = &mut decoders;
        processor.forward(&rows, &Pulse::default()).unwrap();
        let wanted = rows.iter().filter(|row| row.want == Want::Logits).count();
        processor.head(&mut vec![Head::default(); wanted]).unwrap();
        device.forward(&rows, &Pulse::default()).unwrap();
        assert_close(processor.logits(), device.logits());
        assert_close(processor.hidden(), device.hidden());
    }
}

fn assert_close(expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len());
    let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
        assert!((expected - found).abs() <= 1e-4 * largest, "{index}: {found} instead of {expected}");
    }
}
