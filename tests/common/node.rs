//! A node in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;
use understudy_agents::Client;

use super::{Run, exit_code, understudy, written};

/// From the start of the process to its `ready` line.
const START: Duration = Duration::from_secs(20);
/// For calls that compute nothing.
pub const SOON: Duration = Duration::from_secs(5);

/// A running node; killed when dropped.
pub struct Server {
    process: Child,
    pub grpc: String,
    pub http: String,
    /// Of its settings, kept as long as it runs.
    folder: Option<TempDir>,
}

impl Server {
    /// A node whose ladder is these models, on free ports.
    pub fn with_ladder(models: &[&str]) -> Self {
        let rung = |model: &&str| format!("[[ladder]]\nmodel = {model:?}\n");
        Self::with_config(&models.iter().map(rung).collect::<String>())
    }

    /// A node with these settings, on free ports.
    pub fn with_config(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The user's own ledger is none of the tests' business.
        let config = format!("ledger.enabled = false\n{config}");
        let file = written(folder.path(), "node.toml", &config);
        let mut server = Self::spawned(understudy(["serve", "--config", &file]));
        server.folder = Some(folder);
        server
    }

    /// The node of this `serve` command, on free ports.
    pub fn spawned(serve: Run) -> Self {
        let free = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut process = free.into_iter().fold(serve, Run::arg).spawn();
        let stdout = process.stdout.take().expect("a piped stdout");
        let mut stderr = process.stderr.take().expect("a piped stderr");
        // A full pipe would stop the node: its log is read for as long as it runs.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::stderr()));
        let (line, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let read = BufReader::new(stdout).read_line(&mut text);
            // The test may have given up.
            let _ = line.send(read.map(|_| text));
        });
        let ready = ready.recv_timeout(START).expect("a line within the start time").expect("a line");
        let word = |name: &str| ready.split_whitespace().find_map(|word| word.strip_prefix(name));
        let (Some(grpc), Some(http)) = (word("grpc="), word("http=")) else {
            panic!("not ready: {ready:?}");
        };
        assert!(ready.starts_with("ready "), "{ready}");
        Self { grpc: grpc.to_owned(), http: http.to_owned(), process, folder: None }
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.grpc, SOON).await.expect("the node accepts a connection")
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// How the process ended by itself; panics when it does not.
    pub fn ended(&mut self, within: Duration) -> Option<i32> {
        exit_code(&mut self.process, within).unwrap_or_else(|| panic!("the node still runs after {within:?}"))
    }

    /// Status line and body of a plain GET.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.http).expect("the node listens");
        stream.set_read_timeout(Some(SOON)).expect("a timeout can be set");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("a sent request");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("an answer");
        let (head, body) = said.split_once("\r\n\r\n").expect("a head and a body");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
