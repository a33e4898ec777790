//! The loop that takes connections.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpStream};

use crate::{Closing, Places};

/// First and longest pause after the system had no connection to give, most often for want of file descriptors.
/// Without one the loop would spin until another connection ends.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Takes connections and serves each in a task of its own until `closing` is asked for. One that finds no place is
/// closed by dropping it.
pub async fn accept<S>(
    socket: TcpListener,
    places: Places,
    closing: Closing,
    serve: impl Fn(TcpStream, SocketAddr) -> S,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut pause = PAUSES.0;
    loop {
        let accepted = tokio::select! {
            () = closing.asked() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = PAUSES.0;
                match places.take(peer.ip()) {
                    Ok(place) => {
                        let served = serve(stream, peer);
                        closing.spawn(async move {
                            served.await;
                            drop(place);
                        });
                    }
                    Err(why) => tracing::debug!(%peer, ?why, "connection turned away"),
                }
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

/// Peers that left before we came to them say nothing about the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}
