//! Connections to other nodes.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;
use understudy_identity::{Fingerprint, IdentityError, PeerIdentity, Protocol, tls::server_name};
use understudy_listener::socket;

use crate::{reach::Reach, standing::Standing};

/// How long an address may take to accept and the other side to finish the handshake, together.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Addresses of a name that are tried.
const MOST_RESOLVED: usize = 8;
/// A silent connection is asked for a sign of life after so long, and is over after as long again. Links notice
/// earlier; this ends what nobody uses.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No address answers.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// Something answers, but not as a member of this cluster.
    #[error("no secure connection: {0}")]
    Handshake(#[source] io::Error),
    /// It shows no certificate.
    #[error("the other side shows no certificate")]
    Nobody,
    /// It was tried before, in vain.
    #[error("its port cannot be reached")]
    Shut,
    /// Connecting took too long.
    #[error("no answer within {} s", CONNECT_LIMIT.as_secs())]
    Slow,
    /// This node's own certificate or key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// HTTP/2 did not begin.
    #[error("no HTTP/2: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Connects to members.
pub(crate) struct Dialler {
    pub(crate) standing: Arc<Standing>,
}

impl Dialler {
    /// A connection for one link. It is not made anew when it ends.
    pub(crate) async fn link(&self, address: &str) -> Result<(Channel, PeerIdentity), DialError> {
        let (stream, peer) = self.secured(&[address.to_owned()], None).await?;
        let mut only = Some(TokioIo::new(stream));
        let connector = service_fn(move |_: Uri| {
            let stream = only.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
            std::future::ready(stream)
        });
        Ok((endpoint().connect_with_connector(connector).await?, peer))
    }

    /// The way to a node at any of these addresses; a connection is made when it is first used, and anew when it was
    /// lost. While `reach` says that the port is shut, nothing is tried.
    pub(crate) fn channel(
        self: &Arc<Self>,
        addresses: Vec<String>,
        expected: Fingerprint,
        reach: Arc<Reach>,
    ) -> Channel {
        let (dialler, addresses) = (self.clone(), Arc::new(addresses));
        let connector = service_fn(move |_: Uri| {
            let (dialler, addresses, reach) = (dialler.clone(), addresses.clone(), reach.clone());
            async move {
                if reach.is_shut() {
                    return Err(DialError::Shut);
                }
                let secured = dialler.secured(&addresses, Some(expected)).await;
                reach.note(secured.as_ref().err());
                Ok(TokioIo::new(secured?.0))
            }
        });
        endpoint().connect_with_connector_lazy(connector)
    }

    /// Tries, beside those who ask, whether a port that was shut is open now.
    pub(crate) fn probe(self: &Arc<Self>, addresses: Vec<String>, expected: Fingerprint, reach: Arc<Reach>) {
        let dialler = self.clone();
        tokio::spawn(async move {
            reach.note(dialler.secured(&addresses, Some(expected)).await.err().as_ref());
        });
    }

    /// All addresses are tried at once, and whoever first proves to be the one that is meant is taken: the way that is
    /// shortest, not an address that leads to somebody else.
    async fn secured(
        &self,
        addresses: &[String],
        expected: Option<Fingerprint>,
    ) -> Result<(TlsStream<TcpStream>, PeerIdentity), DialError> {
        let config = self.standing.doors.client(Protocol::Data, expected)?;
        let connector = TlsConnector::from(config);
        let prove = |address| {
            let connector = connector.clone();
            async move {
                let secured = connector.connect(server_name(), connected(address).await?);
                let stream = secured.await.map_err(DialError::Handshake)?;
                let peer = self.standing.doors.peer(stream.get_ref().1).ok_or(DialError::Nobody)?;
                Ok((stream, peer))
            }
        };
        first_of(addresses, prove).await
    }
}

/// A TCP connection to whichever address answers first.
pub(crate) async fn tcp(addresses: &[String]) -> Result<TcpStream, DialError> {
    first_of(addresses, connected).await
}

async fn connected(address: SocketAddr) -> Result<TcpStream, DialError> {
    let stream = TcpStream::connect(address).await.map_err(DialError::Connect)?;
    socket::set_up(&stream, KEEPALIVE);
    Ok(stream)
}

/// What `try_one` makes of the address with which it is done first, of all at once.
async fn first_of<T, Try: Future<Output = Result<T, DialError>>>(
    addresses: &[String],
    try_one: impl Fn(SocketAddr) -> Try,
) -> Result<T, DialError> {
    let tries = async {
        let mut last = DialError::Connect(io::Error::new(io::ErrorKind::NotFound, "there is no such host"));
        let mut found: Vec<SocketAddr> = Vec::new();
        for address in addresses {
            match lookup_host(address).await {
                Ok(resolved) => found.extend(resolved.take(MOST_RESOLVED)),
                Err(error) => last = DialError::Connect(error),
            }
        }
        let mut tries: FuturesUnordered<_> = found.into_iter().map(&try_one).collect();
        while let Some(tried) = tries.next().await {
            match tried {
                Ok(made) => return Ok(made),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    timeout(CONNECT_LIMIT, tries).await.map_err(|_| DialError::Slow)?
}

fn endpoint() -> Endpoint {
    // The connector knows where to; this name is never looked up.
    Endpoint::from_static("http://node.understudy")
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(false)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
}
