//! Names that stand for no model, and files that are none.

use std::fs;
use std::time::Duration;

use crate::common::{SMALL, tiny, understudy, written};
use crate::{MISSING, USER, assert_refused, folder, text};

#[test]
fn models_that_nobody_knows() {
    let ask = |model: &str| understudy(["ask", "--model", model, "hi"]).run();
    assert_refused(&ask("smollm2-135"), USER, "MODEL_UNKNOWN", &["did you mean", SMALL]);
    assert_refused(&ask("zzzzzzzz"), USER, "MODEL_UNKNOWN", &["zzzzzzzz"]);
    assert_refused(&ask("no/such.gguf"), USER, "HUB_NOT_A_MODEL_FILE", &["no/such.gguf"]);
    assert_refused(&ask("./README.md"), USER, "HUB_NOT_A_MODEL_FILE", &["README.md", ".gguf"]);
    let folder = folder();
    let named_like_a_model = folder.path().join("folder.gguf");
    fs::create_dir(&named_like_a_model).expect("a folder");
    assert_refused(&ask(text(&named_like_a_model)), USER, "HUB_NOT_A_MODEL_FILE", &["folder.gguf"]);
    assert_refused(&understudy(["pull", "smolm2-135m"]).run(), USER, "HUB_UNKNOWN_MODEL", &[SMALL]);
    assert_refused(
        &understudy(["ask", "--ladder", "nobody", "hi"]).run(),
        USER,
        "MODEL_UNKNOWN",
        &["nobody"],
    );
}

/// Where `needle` ends in `file`.
fn after(file: &[u8], needle: &str) -> usize {
    let at = file.windows(needle.len()).position(|window| window == needle.as_bytes());
    at.expect("the tiny model has this key") + needle.len()
}

#[test]
fn model_files_that_are_damaged() {
    let good = fs::read(tiny()).expect("the tiny model");
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    let huge = u64::MAX.to_le_bytes();
    // A text value follows its key as type (4 bytes), length (8), bytes; a tensor's name is
    // followed by its number of dimensions (4), each dimension (8), its type (4) and offset (8).
    let architecture = after(&good, "general.architecture") + 12;
    let blocks = after(&good, "qwen3.block_count") + 4;
    let tensor = after(&good, "token_embd.weight");
    let cases: [(&str, Vec<u8>, &str); 19] = [
        ("empty", Vec::new(), "not a GGUF"),
        ("three-bytes", good[..3].to_vec(), "not a GGUF"),
        ("magic", with(0, b"GGML"), "not a GGUF"),
        ("version", with(4, &99u32.to_le_bytes()), "version 99"),
        ("header", good[..10].to_vec(), "truncated"),
        ("counts", good[..24].to_vec(), "truncated"),
        ("metadata", good[..2000].to_vec(), "truncated"),
        ("tensor-list", good[..tensor + 6].to_vec(), "truncated"),
        ("half-the-weights", good[..good.len() / 2].to_vec(), "truncated"),
        ("last-byte", good[..good.len() - 1].to_vec(), "truncated"),
        ("tensor-count", with(8, &huge), "absurd"),
        ("key-count", with(16, &huge), "absurd"),
        ("string-size", with(24, &huge), "absurd"),
        ("dimensions", with(tensor, &u32::MAX.to_le_bytes()), "dimensions"),
        ("dimension", with(tensor + 4, &huge), "token_embd.weight"),
        ("offset", with(tensor + 24, &huge), "token_embd.weight"),
        ("architecture", with(architecture, b"qwenX"), "qwenX"),
        ("no-blocks", with(blocks, &0u32.to_le_bytes()), "block_count"),
        ("many-blocks", with(blocks, &u32::MAX.to_le_bytes()), "block_count"),
    ];
    let folder = folder();
    for (name, content, word) in cases {
        let path = written(folder.path(), &format!("{name}.gguf"), content);
        let ended = understudy(["ask", "--model", &path, "--max-tokens", "4", "hi"]).run();
        assert_refused(&ended, MISSING, "MODEL_LOAD_FAILED", &[name, word]);
    }
}

/// Bits that flip anywhere in the metadata give an answer or a refusal, never a crash.
#[test]
fn model_files_with_flipped_bits() {
    let good = fs::read(tiny()).expect("the tiny model");
    let end_of_metadata = after(&good, "token_embd.weight");
    let folder = folder();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..48 {
        let mut bad = good.clone();
        for _ in 0..3 {
            // Knuth's linear congruential generator: the same files on every run.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bit = (state >> 33) as usize % (end_of_metadata * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
        }
        let path = written(folder.path(), "flipped.gguf", bad);
        let args = ["ask", "--model", &path, "--max-tokens", "4", "hi"];
        let ended = understudy(args).patience(Duration::from_secs(20)).run();
        assert!(matches!(ended.code, Some(0..=3)), "round {round}: {:?} {}", ended.code, ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "round {round}: {}", ended.stderr);
    }
}
