//! Bad input: a clear error with its code, the right exit code, and nothing crashes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;

use support::{Said, Server, tiny_model, understudy, understudy_in};

/// Exit codes of the contract.
const USER: i32 = 2;
const MISSING: i32 = 3;

#[track_caller]
fn refused(said: &Said, exit: i32, code: &str, words: &[&str]) {
    assert_eq!(said.code, exit, "{}", said.err);
    assert!(said.err.contains(&format!("error[{code}]: ")) && said.err.contains("; help: "), "{}", said.err);
    for word in words {
        assert!(said.err.contains(word), "{word:?} in {}", said.err);
    }
    assert!(!said.err.contains("panicked"), "{}", said.err);
    assert!(said.out.is_empty(), "{}", said.out);
}

fn tiny() -> String {
    tiny_model().display().to_string()
}

fn written(folder: &tempfile::TempDir, name: &str, content: &[u8]) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn prompts_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    refused(&understudy(&["ask", ""]), USER, "PROMPT_EMPTY", &[]);
    refused(&understudy(&["ask", " \n\t "]), USER, "PROMPT_EMPTY", &[]);
    let latin = written(&folder, "latin.txt", b"caf\xe9");
    refused(&understudy(&["ask", "--file", &latin]), USER, "REQUEST_INVALID", &["not UTF-8 at byte 3"]);
    refused(&understudy(&["ask", "--file", "no-such-file"]), USER, "REQUEST_INVALID", &["no-such-file"]);
    let long = written(&folder, "long.txt", "word ".repeat(200_000).as_bytes());
    let said = understudy(&["ask", "--model", &tiny(), "--file", &long]);
    refused(&said, USER, "CONTEXT_OVERFLOW", &["context of 4096"]);
}

#[test]
fn parameters_that_make_no_sense() {
    let ask = |args: &[&str]| understudy(&[&["ask", "--model", &tiny(), "hi"], args].concat());
    refused(&ask(&["--temperature", "NaN"]), USER, "REQUEST_INVALID", &["temperature"]);
    refused(&ask(&["--top-p", "7"]), USER, "REQUEST_INVALID", &["top_p"]);
    refused(&ask(&["--max-tokens", "0"]), USER, "REQUEST_INVALID", &["max_tokens"]);
    refused(&ask(&["--regex", "("]), USER, "CONSTRAINT_INVALID", &[]);
    refused(&understudy(&["ask", "--policy", "guess", "hi"]), USER, "POLICY_UNKNOWN", &["direct, cascade"]);
    refused(
        &understudy(&["ask", "--policy", "cascade:treshold=1", "hi"]),
        USER,
        "POLICY_UNKNOWN",
        &["threshold"],
    );
}

#[test]
fn models_that_are_none() {
    let said = understudy(&["ask", "--model", "smollm2-135", "hi"]);
    refused(&said, USER, "MODEL_UNKNOWN", &["smollm2-135m"]);
    refused(&understudy(&["pull", "smolm2-135m"]), USER, "HUB_UNKNOWN_MODEL", &["smollm2-135m"]);

    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(tiny_model()).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("empty.gguf", Vec::new(), "GGUF"),
        ("magic.gguf", with(0, b"GGML"), "not a GGUF"),
        ("header.gguf", good[..20].to_vec(), "truncated"),
        ("metadata.gguf", good[..2000].to_vec(), "truncated"),
        ("tensors.gguf", good[..good.len() - 10].to_vec(), "truncated"),
        ("tensor-count.gguf", with(8, &u64::MAX.to_le_bytes()), ""),
        ("string-length.gguf", with(24, &(u64::MAX / 2).to_le_bytes()), ""),
    ];
    for (name, content, word) in cases {
        let path = written(&folder, name, &content);
        let said = understudy(&["ask", "--model", &path, "hi"]);
        refused(&said, MISSING, "MODEL_LOAD_FAILED", &[name, word]);
    }
}

#[test]
fn a_machine_that_does_not_play_along() {
    refused(
        &understudy(&["ask", "--server", "127.0.0.1:1", "hi"]),
        MISSING,
        "SERVER_UNREACHABLE",
        &["127.0.0.1:1"],
    );
    refused(&understudy(&["ps", "--server", "127.0.0.1:1"]), MISSING, "SERVER_UNREACHABLE", &[]);

    let running = Server::start("");
    let said = understudy(&["serve", "--grpc", &running.grpc, "--http", "127.0.0.1:0"]);
    refused(&said, 1, "ADDR_IN_USE", &[&running.grpc]);

    let folder = tempfile::tempdir().unwrap();
    let config = written(&folder, "node.toml", b"[engine]\nthread = 4\n");
    refused(&understudy(&["serve", "--config", &config]), USER, "CONFIG_INVALID", &["thread", "node.toml"]);

    // Below a regular file no folder can be made, whoever asks.
    let blocked = format!("{config}/home");
    let said = understudy_in(&["pull", "smollm2-135m"], &[("UNDERSTUDY_HOME", &blocked)]);
    assert!(
        said.code != 0 && said.err.contains("error[HUB_") && said.err.contains("; help: "),
        "{}",
        said.err
    );
    let said = understudy_in(
        &["pull", "smollm2-135m"],
        &[("UNDERSTUDY_HOME", &folder.path().display().to_string()), ("UNDERSTUDY_OFFLINE", "1")],
    );
    assert!(said.code == MISSING && said.err.contains("error[HUB_NO_SOURCE]"), "{}", said.err);
}
