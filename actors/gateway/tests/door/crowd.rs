//! Ten thousand sockets.
//!
//! They belong to a second process, a copy of this one, so that each process needs ten thousand descriptors and not
//! twice as many.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::io::AsyncWriteExt as _;
use understudy_gateway::raise_file_limit;

use crate::town::{Town, answer, connect_from, eventually};

const CROWD: usize = 10_000;

/// How many sockets this machine has room for; says so when it is not the whole crowd.
fn crowd() -> usize {
    let limit = raise_file_limit().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let room = limit.saturating_sub(600).min(CROWD);
    if room < CROWD {
        println!("the limit of open files, {limit}, has room for {room} sockets and not for {CROWD}");
    }
    room
}

/// A process that holds sockets open until its input ends.
struct Holder {
    child: Child,
    input: Option<ChildStdin>,
    _output: BufReader<ChildStdout>,
}

impl Holder {
    /// Opens this many; answers once they are open.
    async fn open(addr: SocketAddr, count: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "crowd::hold", "--nocapture"])
            .env("UNDERSTUDY_CROWD", format!("{addr} {count}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut output = BufReader::new(output);
        let opened = tokio::task::spawn_blocking(move || {
            let came =
                output.by_ref().lines().map_while(Result::ok).any(|line| line.contains("crowd is there"));
            (came, output)
        });
        let (came, output) = opened.await.unwrap();
        assert!(came, "the crowd did not come");
        Self { child, input, _output: output }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// The other process. Not a test by itself.
#[test]
#[ignore = "run by the others"]
fn hold() {
    let Ok(what) = std::env::var("UNDERSTUDY_CROWD") else { return };
    let (addr, count) = what.split_once(' ').unwrap();
    let (addr, count): (SocketAddr, usize) = (addr.parse().unwrap(), count.parse().unwrap());
    raise_file_limit();
    let held: Vec<_> = (0..count)
        .map(|_| std::net::TcpStream::connect_timeout(&addr, Duration::from_secs(20)).unwrap())
        .collect();
    println!("crowd is there: {}", held.len());
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[tokio::test]
async fn ten_thousand_silent_sockets_are_borne_where_they_are_allowed() {
    let crowd = crowd();
    let listen = "[listen]\nconnections = 12000\nconnections_per_peer = 12000\nheader_ms = 120000\n";
    let town = Town::open(listen).await;
    let holder = Holder::open(town.http(), crowd).await;
    eventually("all are open", async || town.node.node.connections().await.open >= crowd).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begun = Instant::now();
        assert_eq!(town.get("/healthz", "").await.status, 200);
        slowest = slowest.max(begun.elapsed());
    }
    println!("beside {crowd} open sockets the slowest of 50 requests took {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    drop(holder);
    eventually("places are free again", async || town.node.node.connections().await.open == 0).await;
    town.goes_on().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn one_peer_cannot_take_all_places() {
    let crowd = crowd();
    let town = Town::open("[listen]\nheader_ms = 5000\n").await;
    let holder = Holder::open(town.http(), crowd).await;
    let counts = town.node.node.connections().await;
    assert!(counts.open <= 1024, "{counts:?}");
    eventually("the rest is turned away", async || {
        let counts = town.node.node.connections().await;
        // On a slow machine some are closed for their silence, and others take their places, while the crowd comes.
        counts.turned_peer >= (crowd / 2) as u64 && counts.turned_full == 0
    })
    .await;
    // Another address of this machine is another peer.
    let mut other = connect_from([127, 0, 0, 2], town.http()).await.unwrap();
    other.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut other).await.status, 200);
    // Whoever says nothing is shown out, even if it stays on the line.
    eventually("silent sockets are closed", async || town.node.node.connections().await.open == 0).await;
    drop(holder);
    town.goes_on().await;
}

#[tokio::test]
async fn a_full_node_turns_away_and_recovers() {
    let town = Town::open("[listen]\nconnections = 8\nheader_ms = 1000\n").await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(tokio::net::TcpStream::connect(town.http()).await.unwrap());
    }
    eventually("those beyond the cap are counted", async || {
        let counts = town.node.node.connections().await;
        counts.open == 8 && counts.turned_full == 12
    })
    .await;
    assert_eq!(town.get("/healthz", "").await.status, 0, "closed without a word");
    eventually("the silent ones are closed", async || town.node.node.connections().await.open == 0).await;
    town.goes_on().await;
}
