//! A network that is as bad as a test wants: nodes reach each other through these proxies only.
//!
//! A connection behaves as TCP does over such a network. What is lost is sent again, so it comes late; behind a cut
//! nothing comes, ends of connections included, until it is mended.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Instant,
};

/// Bytes read at once: about a segment, so that each is delayed and lost by itself.
const CHUNK: usize = 1500;
/// How long TCP waits before it sends a lost segment again (the least of Linux).
const RESENT_AFTER: Duration = Duration::from_millis(200);
/// Chunks under way in one direction of a connection; full: the sender waits, as for its window.
const WINDOW: usize = 1024;
/// How often a held direction looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

/// How a direction treats what goes over it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way {
    /// How long it takes.
    pub delay: Duration,
    /// Up to so much longer, drawn for each chunk: connections overtake each other.
    pub jitter: Duration,
    /// How many of a hundred chunks are lost.
    pub loss_percent: u8,
    /// Nothing passes.
    pub is_cut: bool,
    /// The end of a connection is not told to the other side, which stays half-open.
    pub hides_ends: bool,
    /// The next chunk comes twice.
    pub repeats: bool,
}

/// Both directions between two nodes; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Cable(Arc<Mutex<[Way; 2]>>);

/// Which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the first node to the second.
    There,
    Back,
}

impl Cable {
    /// Changes one direction.
    pub fn one(&self, direction: Direction, change: impl FnOnce(&mut Way)) {
        change(&mut self.0.lock().unwrap()[direction as usize]);
    }

    /// Changes both.
    pub fn both(&self, change: impl Fn(&mut Way)) {
        self.0.lock().unwrap().iter_mut().for_each(change);
    }

    /// As new.
    pub fn mend(&self) {
        self.both(|way| *way = Way::default());
    }

    fn way(&self, direction: Direction) -> Way {
        self.0.lock().unwrap()[direction as usize]
    }

    async fn passes(&self, direction: Direction) {
        while self.way(direction).is_cut {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A chunk that comes twice.
    fn is_repeated(&self, direction: Direction) -> bool {
        std::mem::take(&mut self.0.lock().unwrap()[direction as usize].repeats)
    }

    /// Leads whoever connects to `target` over this cable. `towards` is the direction from whoever connects.
    pub async fn lead(&self, target: &str, towards: Direction) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cable, target) = (self.clone(), target.to_owned());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (cable, target) = (cable.clone(), target.clone());
                tokio::spawn(async move { cable.connect(near, &target, towards).await });
            }
        });
        address
    }

    async fn connect(&self, near: TcpStream, target: &str, towards: Direction) {
        // A way to the other side and one back are needed before there is a connection.
        self.passes(Direction::There).await;
        self.passes(Direction::Back).await;
        // Nobody listens: whoever connects sees its connection end.
        let Ok(far) = TcpStream::connect(target).await else { return };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        let (there, back) = match towards {
            Direction::There => (Direction::There, Direction::Back),
            Direction::Back => (Direction::Back, Direction::There),
        };
        tokio::join!(self.carry(near_read, far_write, there), self.carry(far_read, near_write, back));
    }

    /// Carries bytes one way until they end.
    async fn carry(
        &self,
        mut from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
        direction: Direction,
    ) {
        let (sender, chunks) = mpsc::channel(WINDOW);
        let reading = async {
            let mut buffer = [0; CHUNK];
            loop {
                let count = from.read(&mut buffer).await.unwrap_or(0);
                let way = self.way(direction);
                let mut due = Instant::now() + way.delay + way.jitter.mul_f64(fastrand::f64());
                if fastrand::u8(0..100) < way.loss_percent {
                    due += RESENT_AFTER;
                }
                // An empty chunk is the end.
                if sender.send((due, buffer[..count].to_vec())).await.is_err() || count == 0 {
                    return;
                }
            }
        };
        tokio::join!(reading, self.deliver(chunks, to, direction));
    }

    async fn deliver(
        &self,
        mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>,
        mut to: impl AsyncWrite + Unpin,
        direction: Direction,
    ) {
        while let Some((due, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            self.passes(direction).await;
            if chunk.is_empty() {
                while self.way(direction).hides_ends {
                    tokio::time::sleep(LOOK).await;
                }
                let _ = to.shutdown().await;
                return;
            }
            let times = if self.is_repeated(direction) { 2 } else { 1 };
            for _ in 0..times {
                if to.write_all(&chunk).await.is_err() {
                    return;
                }
            }
        }
    }
}
