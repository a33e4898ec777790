//! Stubs that others generate from the protos: the examples of docs/grpc.md against the built node.
#![allow(clippy::print_stdout, reason = "whoever skips a test should read why")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::answers::{answered, direct};
use common::node::Server;
use common::tiny;

const QUESTION: &str = "a b c";

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

/// What a command prints; panics with what it complains about when it fails.
fn printed(command: &mut Command) -> String {
    let ended = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).expect("UTF-8")
}

/// Packages come from their registries.
fn is_offline() -> bool {
    let offline = std::env::var_os("UNDERSTUDY_OFFLINE").is_some_and(|value| value == "1");
    if offline {
        println!("skipped: UNDERSTUDY_OFFLINE=1, and this client has to be installed");
    }
    offline
}

/// The node, and the answer that the project's own client gets.
async fn node() -> (Server, String) {
    let server = Server::with_ladder(&[&tiny()]);
    let answer = answered(&server.client().await, direct(&tiny(), QUESTION, 16)).await;
    (server, answer.finished.text)
}

#[tokio::test]
async fn python_gets_the_same_answer() {
    if is_offline() {
        return;
    }
    let place = tempfile::tempdir().expect("a temporary folder");
    printed(Command::new("python3").args(["-m", "venv"]).arg(place.path()));
    let python = place.path().join("bin/python");
    printed(Command::new(&python).args(["-m", "pip", "install", "--quiet", "grpcio-tools>=1.60"]));
    let (server, expected) = node().await;
    let mut example = Command::new(python);
    example.arg(folder("tests/clients/grpc/ask.py")).args([&server.grpc, &tiny(), QUESTION]);
    assert_eq!(printed(example.env("PYTHONPATH", folder("proto/proto"))), expected);
}

#[tokio::test]
async fn typescript_gets_the_same_answer() {
    if is_offline() {
        return;
    }
    let place = tempfile::tempdir().expect("a temporary folder");
    let packages = ["@grpc/grpc-js@1", "@grpc/proto-loader@0.8", "tsx@4"];
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(place.path());
    printed(install.args(packages));
    // Packages are looked for beside the program.
    let program = place.path().join("ask.ts");
    std::fs::copy(folder("tests/clients/grpc/ask.ts"), &program).expect("a copied example");
    let (server, expected) = node().await;
    let mut example = Command::new(place.path().join("node_modules/.bin/tsx"));
    example.arg(program).args([&server.grpc, &tiny(), QUESTION]);
    assert_eq!(printed(example.env("PROTOS", folder("proto/proto"))), expected);
}
