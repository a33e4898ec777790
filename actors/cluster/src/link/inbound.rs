//! Links that others dial.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::{StreamExt as _, stream::BoxStream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use understudy_identity::PeerIdentity;
use understudy_membership::{Direction, Identity, LinkId};
use understudy_proto::node::v1::LinkMessage;

use super::{HELLO_LIMIT, Half, LinkEvent, agrees, follow, messages};

/// Numbers links, whoever dialled.
#[derive(Debug, Default)]
pub(crate) struct LinkIds(AtomicU64);

impl LinkIds {
    pub(crate) fn next(&self) -> LinkId {
        LinkId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Takes links that others dial.
#[derive(Clone)]
pub(crate) struct Greeter {
    pub(crate) ids: Arc<LinkIds>,
    pub(crate) events: mpsc::Sender<LinkEvent>,
    /// What this node says of itself.
    pub(crate) hello: watch::Receiver<Identity>,
}

impl Greeter {
    /// Greets whoever dialled, whose certificate is `certified`, and follows the link.
    pub(crate) async fn greet(
        &self,
        certified: &PeerIdentity,
        mut incoming: Streaming<LinkMessage>,
    ) -> Result<BoxStream<'static, Result<LinkMessage, Status>>, Status> {
        let first = tokio::time::timeout(HELLO_LIMIT, incoming.message()).await;
        let said = first.map_err(|_| Status::deadline_exceeded("no hello came in time"))??;
        let said = said.and_then(messages::read_hello);
        let Some((identity, attempt)) = said.filter(|(identity, _)| agrees(identity, certified)) else {
            return Err(Status::permission_denied("the hello is not that of the certificate"));
        };
        let (half, outgoing) = Half::new();
        // The channel is new and has room.
        let _ = half.outgoing.try_send(messages::hello(&self.hello.borrow(), None));
        let closed = half.closed.clone();
        let link = self.ids.next();
        let up = LinkEvent::Up {
            link,
            hello: identity,
            direction: Direction::Inbound,
            attempt,
            handle: half.handle(),
        };
        let events = self.events.clone();
        if events.send(up).await.is_err() {
            return Err(Status::unavailable("the node is leaving"));
        }
        tokio::spawn(async move { follow(link, incoming, closed, &events).await });
        Ok(ReceiverStream::new(outgoing).map(Ok).boxed())
    }
}
