//! Whatever a model file holds, the engine answers or refuses: no panic, no hang, no memory
//! beyond a small multiple of the file. Seeded: every run tries the same files.

mod open;
mod parts;
mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use open::{Reached, open_and_ask};
use parts::Parts;
use random::Random;
use understudy_engine::ComputePool;
use understudy_engine::model::Activations;

const CASES: u64 = 3000;
/// Longest time for one file: a template may spend its budget of about a second.
const LIMIT: Duration = Duration::from_secs(5);
/// Most memory that all files together may have taken at a time.
const MOST_BYTES: u64 = 1 << 30;

fn tiny() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/tiny-qwen3.gguf");
    std::fs::read(path).expect("the tiny model is in the repository")
}

#[test]
fn changed_files_are_answered_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    let pool = Arc::new(ComputePool::new(1));
    let sound = Parts::of(&tiny());
    assert!(sound.bytes() == tiny(), "the parts are the whole file");
    let mut reached = [0; 4];
    for case in 0..CASES {
        let mut random = Random(case);
        let mut parts = sound.clone();
        for _ in 0..=random.below(2) {
            parts.change(&mut random);
        }
        std::fs::write(&path, parts.bytes()).expect("a file");
        let activations = Activations::ALL[random.below(4)];
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| open_and_ask(&path, activations, &pool)));
        match outcome {
            Ok(how_far) => reached[how_far as usize] += 1,
            Err(_) => panic!("case {case} panics, with {activations:?}"),
        }
        assert!(start.elapsed() < LIMIT, "case {case} takes {:?}", start.elapsed());
    }
    // Else the changes are too coarse and nothing behind the first check is tried.
    assert!(reached[Reached::Engine as usize] > CASES as usize / 5, "{reached:?}");
    assert!(reached[Reached::Refused as usize] > CASES as usize / 5, "{reached:?}");
    if let Some(peak) = peak_bytes() {
        assert!(peak < MOST_BYTES, "{peak} bytes at the peak");
    }
}

/// The most memory that this process has held, where the system says.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
