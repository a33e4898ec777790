//! One connection, from its first byte to its end.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tower::Service as _;

use super::{
    Peer, Rules,
    closing::Closing,
    opening::{self, Version},
    tls::Certificates,
};

/// Serves a connection until it ends, on its own or because the node closes.
pub(super) async fn serve(
    stream: TcpStream,
    mut peer: Peer,
    rules: Arc<Rules>,
    pages: Router,
    closing: Closing,
) {
    set_up(&stream, rules.keepalive);
    match rules.tls.clone() {
        None => opened(stream, peer, &rules, pages, &closing).await,
        Some(certificates) => {
            let encrypted = tokio::select! {
                () = closing.asked() => return,
                encrypted = handshake(stream, &peer, &rules, &certificates) => encrypted,
            };
            if let Some(encrypted) = encrypted {
                peer.name = certificates.name_of(encrypted.get_ref().1.peer_certificates());
                opened(encrypted, peer, &rules, pages, &closing).await;
            }
        }
    }
}

/// Answers are small and wanted at once; a peer that vanished is found by the system too, not by pings alone.
fn set_up(stream: &TcpStream, keepalive: Duration) {
    let probes = TcpKeepalive::new().with_time(keepalive).with_interval(keepalive);
    // A socket that refuses an option still works.
    let set = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_keepalive(&probes));
    if let Err(error) = set {
        tracing::debug!(%error, "socket option refused");
    }
}

async fn handshake(
    stream: TcpStream,
    peer: &Peer,
    rules: &Rules,
    certificates: &Certificates,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let _place = rules.handshakes.take(peer.addr.ip()).ok()?;
    let why = match timeout(rules.listen.handshake(), certificates.acceptor().accept(stream)).await {
        Ok(Ok(encrypted)) => return Some(encrypted),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    certificates.note_failure();
    tracing::debug!(peer = %peer.addr, why, "no TLS handshake");
    None
}

async fn opened<S>(stream: S, peer: Peer, rules: &Rules, pages: Router, closing: &Closing)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opening = tokio::select! {
        () = closing.asked() => return,
        opening = timeout(rules.listen.header(), opening::read(stream)) => opening,
    };
    let Ok(Ok((version, stream))) = opening else { return };
    let protocol = match version {
        Version::Http1 => rules.protocol.clone().http1_only(),
        Version::Http2 => rules.protocol.clone().http2_only(),
    };
    let shown = peer.clone();
    let answer = service_fn(move |request| answer(pages.clone(), shown.clone(), request));
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.asked() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer.addr, %error, "connection ended");
    }
}

async fn answer(mut pages: Router, peer: Peer, request: Request<Incoming>) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    pages.call(request).await
}
