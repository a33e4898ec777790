//! The port of the cluster: whoever connects is asked for its certificate, then served as a peer, or paired.
//!
//! | module | what it holds |
//! |---|---|
//! | [`peers`] | the service of peers |
//! | [`pairing`] | a node with a code |
//!
//! **Invariants.** Each step before a peer is known has a time limit; strangers take up [`HANDSHAKES`] places at
//! most, so that silent ones keep nobody out for longer than that limit. A connection ends with the certificate that
//! it began with.

pub(crate) mod pairing;
pub(crate) mod peers;

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tower::Service as _;
use understudy_identity::{Invites, PeerIdentity, Protocol};
use understudy_listener::{Closing, Places, socket};
use understudy_membership::Identity;

use crate::standing::Standing;

/// Connections at once, over all and per address: a node has two to each other one, and a pairing is one.
pub(crate) const CONNECTIONS: (usize, usize) = (1024, 256);
/// Peers in the handshake at once, over all and per address.
const HANDSHAKES: (usize, usize) = (256, 128);
/// How long a stranger may take to show who it is.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(3);
/// Streams of a peer at once: each run is one.
const STREAMS: u32 = 1024;
/// A silent connection is asked for a sign of life after so long, and is over after as long again.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// What all connections of the port share.
pub(crate) struct Port {
    pub(crate) standing: Arc<Standing>,
    pub(crate) invites: Arc<Invites>,
    pub(crate) routes: Router,
    pub(crate) handshakes: Places,
    /// Changes when somebody was denied: connections look whether it was their peer.
    pub(crate) denied: watch::Receiver<u64>,
    pub(crate) closing: Closing,
    /// What this node says of itself: those that join are told where it is reached.
    pub(crate) hello: watch::Receiver<Identity>,
}

impl Port {
    pub(crate) fn handshakes() -> Places {
        Places::new(HANDSHAKES.0, HANDSHAKES.1)
    }

    /// Serves a connection until it ends.
    pub(crate) async fn serve(self: Arc<Self>, stream: TcpStream, from: SocketAddr) {
        socket::set_up(&stream, KEEPALIVE);
        let Some(stream) = self.secured(stream, from).await else { return };
        let (_, session) = stream.get_ref();
        match (Protocol::of(session), self.standing.doors.peer(session)) {
            (Some(Protocol::Join), _) => pairing::host(stream, &self, from).await,
            (Some(_), Some(peer)) => self.serve_peer(stream, peer).await,
            // The handshake lets nobody without a certificate as far as this.
            _ => {}
        }
    }

    async fn secured(&self, stream: TcpStream, from: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let Ok(_place) = self.handshakes.take(from.ip()) else {
            tracing::debug!(%from, "too many strangers in the handshake");
            return None;
        };
        let handshake = async {
            let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
            let config = self.standing.doors.choose(&start.client_hello(), self.invites.any_open());
            let config = config.ok_or_else(|| std::io::Error::other("no protocol that is spoken here"))?;
            start.into_stream(config).await
        };
        match timeout(HANDSHAKE_LIMIT, handshake).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%from, %error, "no handshake"),
            Err(_) => tracing::debug!(%from, "a handshake took too long"),
        }
        None
    }

    async fn serve_peer(&self, stream: TlsStream<TcpStream>, peer: PeerIdentity) {
        let routes = self.routes.clone();
        let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(understudy_remote::PeerNode(peer.node().0));
            routes.clone().call(request)
        });
        let protocol = protocol();
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), answer));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            why = self.until_unwelcome(&peer) => {
                tracing::info!(node = %peer.node(), why, "connection closed");
                return;
            }
            () = self.closing.asked() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(node = %peer.node(), %error, "connection ended");
        }
    }

    /// Waits until the peer would not be let in any more.
    async fn until_unwelcome(&self, peer: &PeerIdentity) -> String {
        let mut denied = self.denied.clone();
        loop {
            if let Err(problem) = self.standing.doors.recheck(peer) {
                return problem.to_string();
            }
            let left = peer.not_after.saturating_sub(self.standing.clock.now_s());
            tokio::select! {
                changed = denied.changed() => if changed.is_err() { std::future::pending::<()>().await },
                // Not later than a day, since clocks are set.
                () = tokio::time::sleep(Duration::from_secs(left.clamp(1, 86_400))) => {}
            }
        }
    }
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new()).http2_only();
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    protocol
}
