//! Nodes in processes of their own, to be killed, frozen and cut off.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use understudy_agents::Client;
use understudy_cluster::{
    identity::{ClusterFiles, NodeKey, SystemClock},
    join,
};

use crate::SOON;

/// How the nodes of a test are.
#[derive(Clone)]
pub struct Kind {
    pub tick_ms: u64,
    pub sequences: usize,
    pub models: Vec<String>,
}

/// Where a node is, and how others reach it.
#[derive(Clone)]
pub struct Place {
    /// The address of its port for nodes.
    pub cluster: String,
    /// Further words for the node: `advertise=ADDR`, `peer=ADDR`, `grpc=IP`, `discovery=on`, `tick=MS`.
    pub words: Vec<String>,
    /// Its models, if not those of its kind.
    pub models: Option<Vec<String>>,
    /// A program, with arguments, that starts the node.
    pub before: Vec<String>,
}

impl Place {
    /// A port of loopback that nobody has now.
    pub fn free() -> Self {
        Self { cluster: format!("127.0.0.1:{}", free_port()), words: vec![], models: None, before: vec![] }
    }
}

/// A node, which ends with the test.
pub struct Process {
    pub home: PathBuf,
    pub cluster: String,
    pub client: Client,
    kind: Kind,
    place: Place,
    child: Child,
    stdin: Option<ChildStdin>,
}

fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().unwrap().parent().unwrap().join("examples").join("scripted_node");
    assert!(built.exists(), "{} is built with the tests of this crate", built.display());
    built
}

/// A port that nobody has and that is given out once. Systems take those of outgoing connections from further up, so
/// that it is still free when a node starts, and when it starts again.
fn free_port() -> u16 {
    const PORTS: (u16, u16) = (10_000, 30_000);
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(PORTS.0..PORTS.1)));
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let next = || PORTS.0 + NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS.1 - PORTS.0);
    std::iter::repeat_with(next).find(is_free).unwrap()
}

impl Process {
    /// Starts one, in no cluster yet unless the home is of a member.
    pub async fn start(home: &Path, kind: &Kind) -> Self {
        Self::start_at(home, kind, &Place::free()).await
    }

    pub async fn start_at(home: &Path, kind: &Kind, place: &Place) -> Self {
        std::fs::create_dir_all(home).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(home.join("log")).unwrap();
        let command = place.before.iter().map(Into::into).chain([program().into_os_string()]);
        let command: Vec<std::ffi::OsString> = command.collect();
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .args([
                home.to_str().unwrap(),
                &place.cluster,
                &kind.tick_ms.to_string(),
                &kind.sequences.to_string(),
            ])
            .args(&place.words)
            .args(place.models.as_ref().unwrap_or(&kind.models))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let (said, mut ready) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            use std::io::BufRead as _;
            for line in std::io::BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                let _ = said.send(line);
            }
        });
        let first = tokio::time::timeout(SOON, ready.recv()).await.expect("a ready line").unwrap();
        let grpc = first.strip_prefix("ready grpc=").unwrap().to_owned();
        let client = Client::connect(&grpc, SOON).await.unwrap();
        let (cluster, place) = (place.cluster.clone(), place.clone());
        Self { home: home.into(), cluster, client, kind: kind.clone(), place, child, stdin }
    }

    /// The same node again, after it was killed.
    pub async fn restart(&mut self) {
        self.kill();
        let again = Self::start_at(&self.home.clone(), &self.kind.clone(), &self.place.clone()).await;
        *self = again;
    }

    pub fn files(&self) -> ClusterFiles {
        ClusterFiles::at(self.home.join("cluster"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, name: &str) {
        let done =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Waits until the process has ended by itself.
    pub async fn ends(&mut self, within: Duration) {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < within, "it still runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What this node and its neighbours have logged.
    fn logs(&self) -> String {
        let homes = std::fs::read_dir(self.home.parent().unwrap()).unwrap().flatten();
        let log = |home: std::fs::DirEntry| std::fs::read_to_string(home.path().join("log")).ok();
        homes.filter_map(log).collect::<Vec<_>>().join("\n---\n")
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The node's own view of the others: how many are in this state.
    pub async fn count(&self, state: &str) -> usize {
        let status = self.client.cluster_status(SOON).await.unwrap();
        status.nodes.iter().filter(|node| node.state == state).count()
    }

    /// Waits until so many others are alive, and as many of them have each model ready.
    pub async fn sees(&self, others: usize) {
        let begun = Instant::now();
        loop {
            let status = self.client.cluster_status(SOON).await.unwrap();
            let alive = status.nodes.iter().filter(|node| node.state == "alive");
            let able = alive.filter(|node| {
                self.kind.models.iter().all(|name| {
                    node.models.iter().any(|model| model.model == *name && model.state == "ready")
                })
            });
            if able.count() == others {
                return;
            }
            assert!(begun.elapsed() < 2 * SOON, "{status:#?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// So many nodes of one kind, joined.
pub async fn joined(folder: &Path, count: usize, kind: &Kind) -> Vec<Process> {
    let places: Vec<Place> = (0..count).map(|_| Place::free()).collect();
    joined_at(folder, &places, kind).await
}

/// Nodes of one kind at these places, joined.
pub async fn joined_at(folder: &Path, places: &[Place], kind: &Kind) -> Vec<Process> {
    let mut nodes = Vec::new();
    for (index, place) in places.iter().enumerate() {
        nodes.push(Process::start_at(&folder.join(format!("n{index}")), kind, place).await);
    }
    nodes[0].files().init("town", &SystemClock).unwrap();
    let first = &nodes[0];
    let begun = Instant::now();
    for node in &nodes[1..] {
        let invited = loop {
            match first.client.invite(false, SOON).await {
                Ok(invited) => break invited,
                // It looks once a second.
                Err(error) => assert!(error.code == "CLUSTER_NONE" && begun.elapsed() < SOON, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let key = NodeKey::generate().unwrap();
        let name = node.home.file_name().unwrap().to_str().unwrap();
        let welcome = join(&first.cluster, &invited.code.parse().unwrap(), &key, name).await.unwrap();
        node.files().join(key, *welcome, &SystemClock).unwrap();
    }
    // One in another namespace takes this process for a stranger, who may not look.
    for node in nodes.iter().filter(|node| node.place.before.is_empty()) {
        let of_kind = |place: &&Place| place.models.is_none() && place.cluster != node.cluster;
        let others = places.iter().filter(of_kind).count();
        // Of nodes with models of their own only the caller knows what to wait for.
        if others > 0 {
            node.sees(others).await;
        }
    }
    nodes
}
