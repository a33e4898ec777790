//! A node with pages of its own, keys, and a log that is looked through at the end.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::Extension,
    http::HeaderMap,
    routing::{get, post, put},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tracing::subscriber::DefaultGuard;
use understudy_backend::fake::{FakeBackend, Reply};
use understudy_gateway::{
    Caller, Failure, Keyring, Pages,
    caller::Scope,
    keys::{ApiKey, KeyFile, KeyRecord, Level},
    pages::refusal,
};

use crate::common::{Harness, SOON, ask_small, read, start_behind};

/// In every prompt here; never in a log.
pub const PROMPT: &str = "the-prompt-is-nobodys-business";

/// A node and everything that a test wants to know of it.
pub struct Town {
    pub node: Harness,
    /// Names and keys, in the order in which they were made.
    keys: Vec<(String, ApiKey)>,
    home: TempDir,
    log: Log,
    _listening: DefaultGuard,
}

impl Town {
    /// A node without keys.
    pub async fn open(settings: &str) -> Self {
        Self::with_keys(settings, &[]).await
    }

    /// A node with one key for each of these names.
    pub async fn with_keys(settings: &str, holders: &[(&str, &[Scope])]) -> Self {
        let log = Log::default();
        // What `serve -vv` shows.
        let filter = tracing_subscriber::EnvFilter::new("debug,h2=info,hyper=info,tower=info");
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        let listening = tracing::subscriber::set_default(subscriber);
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys.toml");
        let keys: Vec<_> = holders
            .iter()
            .map(|(name, scopes)| ((*name).to_owned(), make_key(&path, name, scopes)))
            .collect();
        let small = FakeBackend::new("small").when("2+2", Reply::text("4")).when(PROMPT, Reply::text("4"));
        let ring = Keyring::load(&path).unwrap();
        let node = start_behind(settings, small, ring, pages()).await;
        Self { node, keys, home, log, _listening: listening }
    }

    pub fn key(&self, name: &str) -> &str {
        self.keys.iter().find(|(held, _)| held == name).unwrap().1.reveal()
    }

    pub fn keys_file(&self) -> std::path::PathBuf {
        self.home.path().join("keys.toml")
    }

    pub fn keyring(&self) -> Keyring {
        Keyring::load(&self.keys_file()).unwrap()
    }

    pub fn http(&self) -> SocketAddr {
        self.node.addresses.http
    }

    pub fn grpc(&self) -> SocketAddr {
        self.node.addresses.grpc
    }

    /// Status, head and body of a request over a connection of its own.
    pub async fn ask(&self, head: &str, body: &[u8]) -> Answer {
        ask(self.http(), &[head.as_bytes(), body].concat()).await
    }

    /// GET with these headers (each ends with CRLF).
    pub async fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask(
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"),
            b"",
        )
        .await
    }

    /// Others are answered, soon, and the log kept its mouth shut.
    pub async fn goes_on(self) {
        let begun = Instant::now();
        assert_eq!(self.get("/healthz", "").await.status, 200);
        let client = self.node.client().await;
        let client = match self.keys.first() {
            Some((_, key)) => client.with_key(key.reveal()).unwrap(),
            None => client,
        };
        assert_eq!(read(client.generate(ask_small(PROMPT), SOON).await.unwrap()).await.0, "4");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let log = self.log.text();
        assert!(!log.contains(PROMPT), "a prompt is in the log:\n{log}");
        for (name, key) in &self.keys {
            assert!(!log.contains(&key.reveal()[6..]), "the key of {name} is in the log:\n{log}");
        }
        assert!(!log.contains("sk-us-"), "something like a key is in the log:\n{log}");
    }

    pub fn log(&self) -> String {
        self.log.text()
    }
}

/// Makes a key in this file.
pub fn make_key(path: &std::path::Path, name: &str, scopes: &[Scope]) -> ApiKey {
    let key = ApiKey::generate().unwrap();
    let record = KeyRecord {
        name: name.to_owned(),
        sha256: key.digest(),
        scopes: scopes.to_vec(),
        priority: Level::Agent,
        requests_per_minute: Some(600),
        burst: None,
        tokens_per_minute: None,
        concurrency: Some(8),
        created: 0,
    };
    KeyFile::change(path, |file| {
        file.keys.push(record);
        Ok(())
    })
    .unwrap();
    key
}

/// Pages that tell what reaches a handler, and which of them was refused.
fn pages() -> Pages {
    let length = async |body: Bytes| body.len().to_string();
    let who = async |headers: HeaderMap, Extension(caller): Extension<Caller>| {
        let key = headers.contains_key("authorization") || headers.contains_key("x-api-key");
        format!(
            "tenant={} priority={:?} limits={:?} key={key}",
            caller.tenant, caller.priority, caller.limits
        )
    };
    let router = Router::new()
        .route("/", get(async || "page"))
        .route("/v1/length", post(length))
        .route("/v1/who", get(who))
        .route("/api/length", post(length))
        .route("/understudy/log", put(async || "log"));
    let words = |path: &str, failure: &Failure| refusal(failure, format!("no {path}: {}", failure.code.name));
    Pages { router, words }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends these bytes and reads until the node closes.
pub async fn ask(addr: SocketAddr, bytes: &[u8]) -> Answer {
    let mut peer = TcpStream::connect(addr).await.unwrap();
    // The node may refuse before it has read everything.
    let _ = peer.write_all(bytes).await;
    answer(&mut peer).await
}

/// Reads until the node closes; status 0 when it closed without a word.
pub async fn answer(peer: &mut (impl tokio::io::AsyncRead + Unpin)) -> Answer {
    let mut heard = Vec::new();
    let closed = tokio::time::timeout(SOON, peer.read_to_end(&mut heard)).await;
    assert!(closed.is_ok(), "the node does not close: {:?}", String::from_utf8_lossy(&heard));
    let heard = String::from_utf8_lossy(&heard).into_owned();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap_or((&heard, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A connection from another address of this machine.
pub async fn connect_from(from: [u8; 4], to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Until it is so.
pub async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < SOON, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
