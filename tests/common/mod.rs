//! The built binary seen from outside: commands with a time limit, nodes in processes of
//! their own, and weights. Without `--server`, `ask` prefers a node on 127.0.0.1:7861; so
//! tests name models, ladders and paths in full, and any node of this build answers alike.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod answers;
pub mod node;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const SMALL: &str = "smollm2-135m";
pub const LARGER: &str = "qwen2.5-coder-0.5b";

/// As a constraint: an answer of a real model that takes many seconds, whatever it would say.
pub const ENDLESS: &str = "[a-z ]{4000}";

/// Long enough for any command that fetches nothing, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A first pull may have to fetch 600 MB.
const PULL_PATIENCE: Duration = Duration::from_secs(1800);

/// A random model of 0.2 M parameters: says nothing sensible, very fast.
pub fn tiny() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tiny-qwen3.gguf");
    path.to_str().expect("a UTF-8 path").to_owned()
}

/// A second model with the tiny one's weights, so that a ladder has two rungs.
pub fn tiny_twin(folder: &Path) -> String {
    let path = folder.join("twin.gguf");
    std::fs::copy(tiny(), &path).expect("a copied model");
    path.to_str().expect("a UTF-8 path").to_owned()
}

/// Makes sure that the two models with real answers are on disk, through the binary's own
/// `pull`, once per test binary. Fails when they cannot be had: no test is skipped.
pub fn ensure_models() {
    static PULLED: OnceLock<()> = OnceLock::new();
    PULLED.get_or_init(|| {
        let ended = understudy(["pull", SMALL, LARGER]).patience(PULL_PATIENCE).run();
        assert_eq!(ended.code, Some(0), "these tests need {SMALL} and {LARGER}: {}", ended.stderr);
    });
}

/// A file with this content; its path.
pub fn written(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, content).expect("a written file");
    path.to_str().expect("a UTF-8 path").to_owned()
}

/// How a command ended.
pub struct Ended {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The binary with these arguments.
pub fn understudy<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_understudy"));
    command.args(args).env_remove("RUST_LOG").env_remove("UNDERSTUDY_SERVER");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Run { command, stdin: Vec::new(), patience: PATIENCE }
}

/// A command that was not started yet.
pub struct Run {
    command: Command,
    stdin: Vec<u8>,
    patience: Duration,
}

impl Run {
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts it with an open stdout, for tests that interfere.
    pub fn spawn(mut self) -> Child {
        self.command.stdin(Stdio::null()).spawn().expect("the binary starts")
    }

    /// Runs it to its end; panics, with what it said, when it takes too long.
    pub fn run(mut self) -> Ended {
        let mut child = self.command.stdin(Stdio::piped()).spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a piped stdin");
        // A command that refuses its arguments reads nothing; that is no failure of the test.
        let feed = std::thread::spawn(move || drop(stdin.write_all(&self.stdin)));
        let stdout = reader(child.stdout.take().expect("a piped stdout"));
        let stderr = reader(child.stderr.take().expect("a piped stderr"));
        let code = exit_code(&mut child, self.patience);
        if code.is_none() {
            child.kill().expect("a process of ours can be killed");
            child.wait().expect("a killed process ends");
        }
        feed.join().expect("stdin is fed");
        let text = |thread: JoinHandle<Vec<u8>>| {
            String::from_utf8(thread.join().expect("output is read")).expect("output is UTF-8")
        };
        let (stdout, stderr) = (text(stdout), text(stderr));
        let Some(code) = code else {
            panic!("still running after {:?}; stdout: {stdout}; stderr: {stderr}", self.patience)
        };
        Ended { code, stdout, stderr }
    }
}

/// How the process ended; `None` while it runs on after `within`.
pub fn exit_code(child: &mut Child, within: Duration) -> Option<Option<i32>> {
    let until = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().expect("a process of ours can be waited for") {
            return Some(status.code());
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn reader(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("a readable stream");
        all
    })
}
