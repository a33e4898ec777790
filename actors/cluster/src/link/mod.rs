//! The links between nodes: one stream of messages in each direction, on a connection of its own, so that tokens on
//! their way never hold a sign of life up.
//!
//! | module | what it holds |
//! |---|---|
//! | [`messages`] | between what is sent and what the membership says |
//! | [`outbound`] | links that this node dials |
//! | [`inbound`] | links that others dial |
//!
//! **Invariants.** A link is nobody's before its hello agrees with its certificate. Whatever a peer sends, or leaves
//! unread, costs a bounded amount of memory: [`OUTGOING`] messages in this direction, [`EVENTS`] over all links in
//! the other.

pub(crate) mod inbound;
pub mod messages;
pub(crate) mod outbound;

use std::{pin::pin, time::Duration};

use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use understudy_identity::PeerIdentity;
use understudy_membership::{Attempt, Direction, Identity, LinkEnd, LinkId, Message};
use understudy_proto::node::v1::{LinkMessage, link_message::Kind};

/// Messages on their way to one peer: four seconds of heartbeats and what comes with them. Full: the message is
/// dropped; a peer that reads so slowly is about to be suspect, and each message is said again.
pub(crate) const OUTGOING: usize = 64;

/// News of all links on their way to the agent. Full: links wait, so a peer that floods is read more slowly.
pub(crate) const EVENTS: usize = 1024;

/// Largest message of a link: facts with what is around them.
pub(crate) const LARGEST_MESSAGE: usize = 256 << 10;

/// How long the other side may take to say hello.
pub(crate) const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// How long a link that is closed on this side may take to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// News of a link.
pub(crate) enum LinkEvent {
    /// Both hellos have crossed it.
    Up { link: LinkId, hello: Identity, direction: Direction, attempt: Attempt, handle: LinkHandle },
    /// It is gone.
    Down { link: LinkId, kind: LinkEnd },
    /// A message of the membership came.
    Received { link: LinkId, message: Message },
    /// Entries of a deny list came.
    Denied { entries: Vec<Vec<u8>> },
    /// A dial led to no link.
    DialFailed { attempt: Attempt, refused: bool },
}

/// The sending side of a link. Dropping it closes the link, after what was sent.
pub(crate) struct LinkHandle {
    outgoing: mpsc::Sender<LinkMessage>,
    _closing: DropGuard,
}

impl LinkHandle {
    /// Sends a message unless too many are on their way.
    pub(crate) fn send(&self, message: LinkMessage) {
        if self.outgoing.try_send(message).is_err() {
            tracing::debug!("a message to a slow peer is dropped");
        }
    }
}

/// A link in the making: where its messages to the peer go, and when it is closed on this side.
struct Half {
    outgoing: mpsc::Sender<LinkMessage>,
    closed: CancellationToken,
}

impl Half {
    fn new() -> (Self, mpsc::Receiver<LinkMessage>) {
        let (outgoing, messages) = mpsc::channel(OUTGOING);
        (Self { outgoing, closed: CancellationToken::new() }, messages)
    }

    fn handle(self) -> LinkHandle {
        LinkHandle { outgoing: self.outgoing, _closing: self.closed.drop_guard() }
    }
}

#[cfg(test)]
impl LinkHandle {
    /// Of a link whose other end reads nothing.
    pub(crate) fn to_nobody() -> Self {
        Half::new().0.handle()
    }
}

/// Whether a hello is that of the node whose certificate it came with.
fn agrees(hello: &Identity, certified: &PeerIdentity) -> bool {
    hello.node.0 == certified.node().0 && hello.fingerprint.0 == *certified.fingerprint.as_bytes()
}

/// Tells of everything that comes, until the link ends on either side.
async fn follow(
    link: LinkId,
    messages: impl Stream<Item = Result<LinkMessage, Status>>,
    closed: CancellationToken,
    events: &mpsc::Sender<LinkEvent>,
) {
    let mut messages = pin!(messages);
    let kind = loop {
        let next = tokio::select! {
            () = closed.cancelled() => break LinkEnd::Stopped,
            next = messages.next() => next,
        };
        let event = match next {
            None => break LinkEnd::Ended,
            Some(Err(_)) => break LinkEnd::Reset,
            Some(Ok(LinkMessage { kind: Some(Kind::Denied(list)) })) => {
                LinkEvent::Denied { entries: list.entries }
            }
            Some(Ok(message)) => match messages::read(message) {
                Some(message) => LinkEvent::Received { link, message },
                // A newer peer's, or nonsense: neither says anything to this node.
                None => continue,
            },
        };
        if events.send(event).await.is_err() {
            return;
        }
    };
    if kind == LinkEnd::Stopped {
        // Reading on lets what was sent last go out; dropping the stream would reset it.
        let rest = async { while let Some(Ok(_)) = messages.next().await {} };
        let _ = tokio::time::timeout(LAST_WORDS, rest).await;
    }
    let _ = events.send(LinkEvent::Down { link, kind }).await;
}
