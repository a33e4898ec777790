//! From a stranger's connection to requests: one loop for both sockets.
//!
//! | module | what it holds |
//! |---|---|
//! | [`exposure`] | at which addresses a node may listen at all |
//! | [`accept`] | takes connections, and goes on when the system refuses to give any |
//! | [`places`] | how many connections at once, over all and per peer |
//! | [`connection`] | one connection: handshake, first bytes, requests, end |
//! | [`tls`] | certificates and their reload |
//! | [`opening`] | HTTP/1 or HTTP/2, by the first bytes |
//! | [`closing`] | how connections end when the node does |
//! | [`files`] | the limit of open files |
//!
//! **Invariants.** Whatever a peer does or leaves undone, the loop goes on accepting. Each stage before a request
//! has a time limit: the handshake, the first bytes, the head. Whoever is beyond a cap is closed at once and counted;
//! nobody waits for a place. A place is freed when its connection ends, however it ends.

pub(crate) mod accept;
pub(crate) mod closing;
mod connection;
pub(crate) mod exposure;
mod files;
mod opening;
pub(crate) mod places;
pub(crate) mod tls;

use std::{net::SocketAddr, sync::Arc};

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};

use crate::{NodeConfig, config::Listen};
use places::{Places, Turned};
use tls::Certificates;

pub use files::raise_file_limit;

/// Bytes of a request's head: room for a key, trace headers and cookies of a proxy, ten times over.
const LARGEST_HEAD: usize = 64 << 10;
/// Headers of one HTTP/1 request. HTTP/2 bounds their bytes, counting 32 for each.
const MOST_HEADERS: usize = 100;
/// Streams that a peer reset before we looked at them; more end the connection (rapid reset).
const MOST_RESETS: usize = 20;
/// Streams that we reset for the peer's errors; more end the connection.
const MOST_ERRORS: usize = 128;
/// Peers in a TLS handshake at once, over all and per peer. Each costs a signature, a millisecond of a processor.
const HANDSHAKES: (usize, usize) = (1024, 256);

/// Who is at the other end of a connection, in the extensions of its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// The name in the certificate that it has shown, where certificates stand for keys.
    pub name: Option<Arc<str>>,
}

impl Peer {
    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        self.addr.ip().to_canonical().is_loopback()
    }
}

/// Connections of a node: how many are open, and how many were turned away since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounts {
    /// Open now.
    pub open: usize,
    /// Closed at once: `listen.connections` were open.
    pub turned_full: u64,
    /// Closed at once: `listen.connections_per_peer` were open from that peer.
    pub turned_peer: u64,
    /// Closed at once: too many peers were in the handshake.
    pub turned_handshakes: u64,
    /// Handshakes that failed or took too long.
    pub failed_handshakes: u64,
}

/// What all connections of a node share.
pub(crate) struct Rules {
    listen: Listen,
    keepalive: std::time::Duration,
    tls: Option<Arc<Certificates>>,
    connections: Places,
    handshakes: Places,
    protocol: auto::Builder<TokioExecutor>,
}

impl Rules {
    pub(crate) fn new(config: &NodeConfig, tls: Option<Arc<Certificates>>) -> Self {
        let most = files::room_for(config.listen.connections);
        let keepalive = config.timeouts.keepalive();
        Self {
            listen: config.listen.clone(),
            keepalive,
            tls,
            connections: Places::new(most, config.listen.connections_per_peer),
            handshakes: Places::new(HANDSHAKES.0, HANDSHAKES.1),
            protocol: protocol(config),
        }
    }

    pub(crate) fn counts(&self) -> ConnectionCounts {
        ConnectionCounts {
            open: self.connections.taken(),
            turned_full: self.connections.turned(Turned::Full),
            turned_peer: self.connections.turned(Turned::Peer),
            turned_handshakes: self.handshakes.turned(Turned::Full) + self.handshakes.turned(Turned::Peer),
            failed_handshakes: self.tls.as_ref().map_or(0, |tls| tls.failed()),
        }
    }
}

/// Both versions of HTTP, with every limit that hyper knows.
fn protocol(config: &NodeConfig) -> auto::Builder<TokioExecutor> {
    let keepalive = config.timeouts.keepalive();
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.listen.header())
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEAD);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.limits.streams_per_connection)
        .max_header_list_size(LARGEST_HEAD as u32)
        .max_pending_accept_reset_streams(MOST_RESETS)
        .max_local_error_reset_streams(MOST_ERRORS)
        .keep_alive_interval(keepalive)
        .keep_alive_timeout(keepalive);
    protocol
}
