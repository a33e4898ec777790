//! Links that this node dials.

use std::{io, sync::Arc};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use understudy_membership::{Address, Attempt, Direction, Identity, LinkId, NodeId};
use understudy_proto::node::v1::peers_client::PeersClient;

use super::{HELLO_LIMIT, Half, LARGEST_MESSAGE, LinkEvent, agrees, follow, messages};
use crate::dial::{DialError, Dialler};

/// A dial that the membership asked for.
pub(crate) struct Dial {
    pub(crate) link: LinkId,
    pub(crate) attempt: Attempt,
    pub(crate) address: Address,
    /// Who should be there, where that is known.
    pub(crate) expected: Option<NodeId>,
    /// What this node says of itself.
    pub(crate) hello: Identity,
}

/// Dials, and follows the link until it ends.
pub(crate) async fn run(dial: Dial, dialler: Arc<Dialler>, events: mpsc::Sender<LinkEvent>) {
    let Dial { link, attempt, .. } = dial;
    if let Err(error) = linked(dial, &dialler, &events).await {
        tracing::debug!(attempt = attempt.0, %error, "no link");
        let refused = matches!(&error, LinkError::Dial(DialError::Connect(why)) if is_refusal(why));
        let _ = events.send(LinkEvent::DialFailed { attempt, refused }).await;
    }
    tracing::trace!(link = link.0, "link ended");
}

/// Why a dial led to no link.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0}")]
    Call(#[from] tonic::Status),
    #[error("it took too long to say hello")]
    Slow,
    #[error("another node is there")]
    Another,
    #[error("its hello is not that of its certificate")]
    Disagrees,
}

async fn linked(dial: Dial, dialler: &Dialler, events: &mpsc::Sender<LinkEvent>) -> Result<(), LinkError> {
    let Dial { link, attempt, address, expected, hello } = dial;
    let (channel, certified) = dialler.link(address.as_str()).await?;
    // A node that has another one's address now has links of its own: nothing is said to it.
    if expected.is_some_and(|expected| expected.0 != certified.node().0) {
        return Err(LinkError::Another);
    }
    let (half, outgoing) = Half::new();
    // The channel is new and has room.
    let _ = half.outgoing.try_send(messages::hello(&hello, Some(attempt)));
    let mut peers = PeersClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    let greeted = async {
        let mut incoming = peers.link(ReceiverStream::new(outgoing)).await?.into_inner();
        let first = incoming.message().await?;
        Ok::<_, LinkError>((first.and_then(messages::read_hello), incoming))
    };
    let (said, incoming) =
        tokio::time::timeout(HELLO_LIMIT, greeted).await.map_err(|_| LinkError::Slow)??;
    let Some((identity, _)) = said.filter(|(identity, _)| agrees(identity, &certified)) else {
        return Err(LinkError::Disagrees);
    };
    let closed = half.closed.clone();
    let direction = Direction::Outbound;
    let up = LinkEvent::Up { link, hello: identity, direction, attempt, handle: half.handle() };
    if events.send(up).await.is_ok() {
        follow(link, incoming, closed, events).await;
    }
    Ok(())
}

/// The host is there and says that nobody listens.
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

#[cfg(test)]
mod tests {
    use understudy_identity::{ClusterFiles, NodeKey, SystemClock};

    use super::*;
    use crate::{standing::Standing, testing};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dial_that_leads_to_another_node_than_meant_fails() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = ClusterFiles::at(there.path());
        files.init("lab", &SystemClock).unwrap();
        let other = testing::cluster(files);
        other.open().await.unwrap();
        let address = other.addresses().remove(0);
        let (code, key) = (other.invite(false).unwrap().code, NodeKey::generate().unwrap());
        let welcome = crate::join(&address, &code, &key, "b").await.unwrap();
        let files = ClusterFiles::at(here.path());
        let me = NodeId(files.join(key, *welcome, &SystemClock).unwrap().key.fingerprint().node().0);
        let standing = Arc::new(Standing::open(files, Arc::new(SystemClock)).unwrap());
        let dial = |expected: Option<NodeId>| Dial {
            link: LinkId(1),
            attempt: Attempt(1),
            address: Address::new(&address).unwrap(),
            expected,
            hello: Identity {
                node: me,
                fingerprint: understudy_membership::Fingerprint(
                    *standing.member.key.fingerprint().as_bytes(),
                ),
                generation: 1,
                name: "b".into(),
                addresses: Vec::new(),
                protocol: messages::PROTOCOLS,
                cluster: understudy_membership::ClusterId(standing.member.authority_certificate.cluster().0),
            },
        };
        let dialler = Arc::new(Dialler { standing: standing.clone() });
        for (expected, is_up) in [(Some(NodeId(77)), false), (None, true)] {
            let (sender, mut events) = mpsc::channel(8);
            let work = tokio::spawn(run(dial(expected), dialler.clone(), sender));
            let first = events.recv().await.unwrap();
            match is_up {
                true => assert!(matches!(first, LinkEvent::Up { .. })),
                false => assert!(matches!(first, LinkEvent::DialFailed { refused: false, .. })),
            }
            work.abort();
        }
        other.stop().await;
    }
}
