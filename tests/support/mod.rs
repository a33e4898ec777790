//! What the end-to-end tests share: weights, the built binary, a node in its own process.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use understudy_hub::Puller;

/// Makes sure that models are on disk, fetching what is missing. Fails loudly when it cannot.
pub fn ensure_models(names: &[&str]) {
    let puller = Puller::from_env().expect("a models folder");
    for name in names {
        let pulled = puller.pull(name, &mut |_| (), &AtomicBool::new(false));
        pulled.unwrap_or_else(|error| panic!("this test needs the model {name}: {error}"));
    }
}

/// The built binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_understudy");

/// A tiny random model: fast, and says nothing sensible.
pub fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tiny-qwen3.gguf")
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the binary to its end, killing it after two minutes.
pub fn understudy(args: &[&str]) -> Said {
    understudy_in(args, &[])
}

/// The same with environment variables.
pub fn understudy_in(args: &[&str], env: &[(&str, &str)]) -> Said {
    let mut command = Command::new("timeout");
    command.arg("120").arg(BINARY).args(args).envs(env.iter().copied()).stdin(Stdio::null());
    let output = command.output().expect("the binary runs");
    let text = |raw: Vec<u8>| String::from_utf8(raw).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// A node in a process of its own, killed when dropped.
pub struct Server {
    pub process: Child,
    pub grpc: String,
    pub http: String,
}

impl Server {
    /// Starts a node with these settings on free ports.
    pub fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("node.toml");
        std::fs::write(&file, config).expect("a written file");
        let mut command = Command::new(BINARY);
        command.args(["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--config"]).arg(&file);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut ready = String::new();
        let out = process.stdout.take().expect("a piped stdout");
        BufReader::new(out).read_line(&mut ready).expect("a line");
        let address = |name: &str| {
            let word = ready.split_whitespace().find_map(|word| word.strip_prefix(name));
            word.unwrap_or_else(|| panic!("not ready: {ready:?}")).to_owned()
        };
        Self { grpc: address("grpc="), http: address("http="), process }
    }

    /// Asks the process to stop.
    pub fn terminate(&self) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Waits for the process to end by itself.
    pub fn exit_code(&mut self, within: Duration) -> Option<i32> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.process.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
