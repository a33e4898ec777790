//! Kernels that are wrong or slow are found out and replaced, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use understudy_kernels::gates::{FastKernels, Kernels};
use understudy_kernels::{AttentionRow, Codes, PagedKv, Product};

use super::*;
use crate::kv::{KvStore, PageId};
use crate::model::{Head, LoadError, Model, ModelOptions, Row, Scratch, Want};
use crate::tick::Pulse;

/// Ours, counted, and spoiled as a test wants.
#[derive(Default)]
struct Spoiled {
    calls: AtomicUsize,
    /// Added to a product's last result.
    product: f32,
    /// Added to the last result of attention.
    attention: f32,
    /// Times that a product is computed beyond the first.
    again: usize,
}

impl Spoiled {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl FastKernels for Spoiled {
    fn product(&self, pool: &ComputePool, x: &Codes, product: Product<'_>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Product { w, y, bias } = product;
        for _ in 0..=self.again {
            Kernels.product(pool, x, Product { w, y: &mut *y, bias });
        }
        y[y.len() - 1] += self.product;
    }

    fn attention(
        &self,
        pool: &ComputePool,
        kv: &PagedKv<'_>,
        heads: usize,
        scale: f32,
        rows: &[AttentionRow<'_>],
        out: &mut [f32],
    ) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Kernels.attention(pool, kv, heads, scale, rows, out);
        let last = out.len() - 1;
        out[last] += self.attention;
    }
}

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/tiny-qwen3.gguf")
}

fn open(activations: Activations, folder: Option<&Path>, kernels: &Spoiled) -> Model {
    let options = ModelOptions { activations, packs: folder.map(Path::to_path_buf) };
    Model::open_on(&tiny(), &options, &ComputePool::new(1), kernels).expect("the tiny model opens")
}

/// The logits after eight tokens.
fn logits(model: &Model) -> Vec<f32> {
    let pages: [PageId; 1] = [0];
    let mut kv = KvStore::new(model.config(), 1);
    let mut scratch = Scratch::default();
    let row = |pos| Row { token: 3 + pos as u32, pos, pages: &pages, want: Want::Logits };
    let rows: Vec<Row<'_>> = (0..8).map(row).collect();
    let pool = ComputePool::new(1);
    model.forward(&pool, &mut kv, &rows, &mut scratch, &Pulse::default());
    model.head(&pool, &mut [Head::default(); 8], &mut scratch);
    scratch.logits
}

fn states(model: &Model) -> Vec<GateState> {
    model.gates().iter().map(|gate| gate.state).collect()
}

#[test]
fn mixed_is_neither_of_the_paths_that_it_mixes() {
    let [mixed, int16, int8] = [Activations::Mixed, Activations::Int16, Activations::Int8]
        .map(|path| logits(&open(path, None, &Spoiled::default())));
    assert_ne!(mixed, int16);
    assert_ne!(mixed, int8);
}

#[test]
fn right_kernels_are_used() {
    for activations in Activations::ALL {
        let model = open(activations, None, &Spoiled::default());
        assert!(model.gates().len() > usize::from(activations != Activations::F32), "{:?}", model.gates());
        assert!(model.gates().iter().all(Gate::is_on), "{:?}", model.gates());
        assert_eq!(model.numerics(), activations.numerics());
        assert!(model.require_fast().is_ok());
    }
}

#[test]
fn a_wrong_product_gives_way_to_the_reference() {
    let model = open(Activations::Int16, None, &Spoiled { product: 1.0, ..Spoiled::default() });
    let [products @ .., attention] = &states(&model)[..] else { panic!("there are gates") };
    assert!(!products.is_empty() && products.iter().all(|&state| state == GateState::Wrong));
    assert_eq!(*attention, GateState::On);
    assert_eq!((model.activations(), model.numerics().as_str()), (Activations::F32, "cpu-f32"));
    assert!(logits(&model) == logits(&open(Activations::F32, None, &Spoiled::default())));
    let error = model.require_fast().expect_err("a gate is closed");
    assert!(matches!(error, LoadError::Gate { state: "wrong", .. }), "{error}");
}

#[test]
fn wrong_attention_gives_way_to_the_plain_one() {
    let model = open(Activations::Int16, None, &Spoiled { attention: 1.0, ..Spoiled::default() });
    let closed: Vec<&Gate> = model.gates().iter().filter(|gate| !gate.is_on()).collect();
    assert!(closed.len() == 1 && closed[0].kernel.starts_with("attention"), "{closed:?}");
    assert_eq!(model.numerics(), format!("cpu-int16, plain {}", closed[0].kernel));
    let (plain, fast) = (logits(&model), logits(&open(Activations::Int16, None, &Spoiled::default())));
    assert!(plain != fast, "it is another kernel");
    let largest = fast.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
    let apart = plain.iter().zip(&fast).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-3 * largest, "{apart} of {largest}");
}

#[test]
fn a_slow_product_is_not_used_and_that_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let slow = Spoiled { again: 400, ..Spoiled::default() };
    let model = open(Activations::Int16, Some(folder.path()), &slow);
    assert!(states(&model).starts_with(&[GateState::Slow]), "{:?}", model.gates());
    assert_eq!(model.numerics(), "cpu-f32");
    let later = open(Activations::Int16, Some(folder.path()), &Spoiled::default());
    assert_eq!(later.gates(), model.gates(), "time does not change arithmetic from start to start");
    // Where nothing is kept, time must not count.
    assert!(open(Activations::Int16, None, &slow).gates().iter().all(Gate::is_on));
}

#[test]
fn a_verdict_is_made_once_and_again_only_where_the_file_does_not_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let calls = |activations| {
        let kernels = Spoiled::default();
        open(activations, Some(folder.path()), &kernels);
        kernels.calls()
    };
    assert!(calls(Activations::Int16) > 0);
    assert_eq!(calls(Activations::Int16), 0, "the second start computes nothing");
    assert!(calls(Activations::Int8) > 0, "other activations are another verdict");
    assert_eq!(calls(Activations::Int16), 0);

    let kept = verdicts(folder.path());
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|verdict| verdict.model == "tiny-qwen3.gguf" && !verdict.gates.is_empty()));

    let entries = fs::read_dir(folder.path()).expect("entries").flatten().map(|entry| entry.path());
    let files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "gates")).collect();
    for spoil in [
        |text: &str| text[..text.len() / 2].to_owned(),
        |_: &str| "\u{0}".repeat(100_000),
        |text: &str| text.replace("\"build\":\"", "\"build\":\"another "),
        |text: &str| text.replace("\"machine\":\"", "\"machine\":\"another "),
        |text: &str| text.replace(" x ", " y "),
    ] {
        for file in &files {
            let text = fs::read_to_string(file).expect("a verdict");
            fs::write(file, spoil(&text)).expect("written");
        }
        assert!(calls(Activations::Int16) > 0);
        assert_eq!(calls(Activations::Int16), 0);
        assert!(calls(Activations::Int8) > 0);
        assert_eq!(verdicts(folder.path()).len(), 2);
    }
}
