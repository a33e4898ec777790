//! The loop that takes connections.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use tokio::net::{TcpListener, TcpStream};

use super::{Peer, Rules, closing::Closing, connection};

/// First and longest pause after the system had no connection to give, most often for want of file descriptors.
/// Without one the loop would spin until another connection ends.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Takes connections until the node closes.
pub(crate) async fn accept(socket: TcpListener, rules: Arc<Rules>, pages: Router, closing: Closing) {
    let mut pause = PAUSES.0;
    loop {
        let accepted = tokio::select! {
            () = closing.asked() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                pause = PAUSES.0;
                admit(stream, Peer { addr, name: None }, &rules, &pages, &closing);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, pause_ms = pause.as_millis(), "no connection could be taken");
                tokio::select! {
                    () = closing.asked() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// A connection that finds no place is closed by dropping it.
fn admit(stream: TcpStream, peer: Peer, rules: &Arc<Rules>, pages: &Router, closing: &Closing) {
    match rules.connections.take(peer.addr.ip()) {
        Ok(place) => {
            let served = connection::serve(stream, peer, rules.clone(), pages.clone(), closing.clone());
            closing.spawn(async move {
                served.await;
                drop(place);
            });
        }
        Err(why) => tracing::debug!(peer = %peer.addr, ?why, "connection turned away"),
    }
}

/// Peers that left before we came to them say nothing about the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}
