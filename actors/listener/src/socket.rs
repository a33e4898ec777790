//! Sockets as servers want them.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that the system holds ready for the loop. When more come at once, the system drops their first packet
/// and they try again a second later; with the usual 128 a burst of clients notices.
const BACKLOG: u32 = 1024;

/// Listens at an address.
///
/// # Errors
/// What the system says.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port may be taken again at once after its node ended; on Windows this would let two programs share it.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers are small and wanted at once; a peer that vanished is found by the system too, not by pings alone.
pub fn set_up(stream: &TcpStream, keepalive: Duration) {
    let probes = TcpKeepalive::new().with_time(keepalive).with_interval(keepalive);
    // A socket that refuses an option still works.
    let set = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_keepalive(&probes));
    if let Err(error) = set {
        tracing::debug!(%error, "socket option refused");
    }
}
