//! Pairing, with sockets: the two state machines are those of [`understudy_identity::pairing`].

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, server::TlsStream};
use understudy_identity::{
    Binding, InviteCode, Inviter, Joiner, NodeKey, PairingError,
    pairing::{Frames, Host, Next, STEP_LIMIT, Turn, Welcome, framed},
    tls::{joining, server_name},
};

use super::Port;
use crate::dial::{DialError, tcp};

/// Bytes read at once.
const CHUNK: usize = 4096;

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The other node is not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The conversation failed.
    #[error(transparent)]
    Pairing(#[from] PairingError),
    /// The other node ended it, most likely because no invite is open there.
    #[error("the other node ended the conversation: is an invite open there? ({0})")]
    Ended(#[source] io::Error),
    /// A step took too long.
    #[error("the other node took too long")]
    Slow,
}

/// Lets a node in that knows a code.
pub(super) async fn host(stream: TlsStream<TcpStream>, port: &Port, from: SocketAddr) {
    let conversation = async {
        let binding = Binding::of(stream.get_ref().1).map_err(PairingError::from)?;
        let Port { standing, invites, hello, .. } = port;
        let addresses = hello.borrow().addresses.iter().map(ToString::to_string).collect();
        // As of now: somebody may have been turned out since the node began.
        let member = standing.files.open().map_err(PairingError::from)?;
        let host = Host::of(&member, invites.clone(), addresses, standing.clock.clone())
            .map_err(PairingError::from)?;
        let mut inviter = Inviter::new(Arc::new(host), binding);
        converse(stream, None, |frame| inviter.receive(frame)).await
    };
    match conversation.await {
        Ok(guest) => {
            let node = guest.certificate.node();
            tracing::info!(%node, name = guest.name, with_authority = guest.with_authority, "a node was let in");
        }
        Err(error) => tracing::warn!(%from, %error, "nobody was let in"),
    }
}

/// Asks a node to be let in.
///
/// # Errors
/// [`JoinError`]; nothing was kept then.
pub async fn join(
    address: &str,
    code: &InviteCode,
    key: &NodeKey,
    name: &str,
) -> Result<Box<Welcome>, JoinError> {
    let stream = tcp(&[address.to_owned()]).await?;
    let config = joining().map_err(PairingError::from)?;
    let secured = TlsConnector::from(config).connect(server_name(), stream);
    let stream =
        timeout(STEP_LIMIT, secured).await.map_err(|_| JoinError::Slow)?.map_err(JoinError::Ended)?;
    let binding = Binding::of(stream.get_ref().1).map_err(PairingError::from)?;
    let (mut joiner, hello) = Joiner::start(code, key, name, binding).map_err(PairingError::from)?;
    converse(stream, Some(hello), |frame| joiner.receive(frame)).await
}

/// Carries frames until one side is done.
async fn converse<T>(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    first: Option<Vec<u8>>,
    mut receive: impl FnMut(&[u8]) -> Turn<T>,
) -> Result<T, JoinError> {
    let mut frames = Frames::default();
    if let Some(first) = first {
        say(&mut stream, &first).await?;
    }
    loop {
        let heard =
            timeout(STEP_LIMIT, hear(&mut stream, &mut frames)).await.map_err(|_| JoinError::Slow)??;
        let Turn { send, next } = receive(&heard);
        if let Some(frame) = send {
            say(&mut stream, &frame).await?;
        }
        match next {
            Next::Wait => {}
            Next::Done(result) => {
                // What was said last is there before the connection ends.
                let _ = timeout(STEP_LIMIT, stream.shutdown()).await;
                return Ok(result);
            }
            Next::Failed(error) => {
                let _ = timeout(STEP_LIMIT, stream.shutdown()).await;
                return Err(error.into());
            }
        }
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> Result<(), JoinError> {
    let said = async {
        stream.write_all(&framed(frame)).await?;
        stream.flush().await
    };
    timeout(STEP_LIMIT, said).await.map_err(|_| JoinError::Slow)?.map_err(JoinError::Ended)
}

async fn hear(stream: &mut (impl AsyncRead + Unpin), frames: &mut Frames) -> Result<Vec<u8>, JoinError> {
    let too_long = |_| JoinError::Pairing(PairingError::OutOfOrder("a frame is too long"));
    let mut chunk = [0; CHUNK];
    loop {
        if let Some(frame) = frames.next_frame().map_err(too_long)? {
            return Ok(frame);
        }
        let count = stream.read(&mut chunk).await.map_err(JoinError::Ended)?;
        if count == 0 {
            return Err(JoinError::Ended(io::ErrorKind::UnexpectedEof.into()));
        }
        let taken = frames.take_in(&chunk[..count]).map_err(too_long)?;
        if taken < count {
            return Err(JoinError::Pairing(PairingError::OutOfOrder("two frames at once")));
        }
    }
}
