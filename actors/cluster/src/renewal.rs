//! A certificate that lasts: renewed by this node's own authority, or by a peer that has it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use tonic::{Request, transport::Channel};
use understudy_identity::{Fingerprint, IdentityError, NodeCertificate};
use understudy_proto::node::v1::{RenewRequest, peers_client::PeersClient};

use crate::{
    dial::Dialler,
    standing::Standing,
    view::{ClusterView, NodeView},
};

/// How often the certificate is looked at. It is renewed ten days before it ends.
const LOOK: Duration = Duration::from_secs(600);
/// How long a peer may take.
const RENEW_LIMIT: Duration = Duration::from_secs(10);

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the node with the authority says: {0}")]
    Peer(#[from] tonic::Status),
    #[error("no node with the cluster's authority is reached")]
    Nobody,
}

/// Renews the certificate whenever it is time, until the node's part in the cluster ends.
pub(crate) async fn keep_valid(
    standing: Arc<Standing>,
    dialler: Arc<Dialler>,
    mut view: watch::Receiver<Arc<ClusterView>>,
) {
    let mut certificate = standing.member.certificate.clone();
    loop {
        if certificate.wants_renewal(standing.clock.now_s()) {
            let seen = view.borrow().clone();
            match renewed(&standing, &dialler, &seen, &certificate).await {
                Ok(new) => {
                    tracing::info!("certificate renewed");
                    certificate = new;
                }
                Err(error @ RenewalError::Nobody) => {
                    tracing::warn!(%error, "certificate not renewed yet");
                    // A node that was off for weeks meets the one with the authority moments after its start.
                    let met = view.wait_for(|view| with_authority(view).next().is_some());
                    if matches!(timeout(LOOK, met).await, Ok(Err(_))) {
                        return;
                    }
                    continue;
                }
                Err(error) => tracing::warn!(%error, "certificate not renewed; it is tried again"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn with_authority(view: &ClusterView) -> impl Iterator<Item = &NodeView> {
    view.usable().filter(|node| node.facts.has_authority)
}

async fn renewed(
    standing: &Standing,
    dialler: &Arc<Dialler>,
    view: &ClusterView,
    old: &NodeCertificate,
) -> Result<NodeCertificate, RenewalError> {
    let csr = standing.member.key.request()?;
    let new = match &standing.member.authority {
        // Its own, so that one that was asleep for a month helps itself.
        Some(authority) => authority.issue(&csr, standing.clock.now_s())?,
        None => {
            let ask = RenewRequest { csr, certificate: old.der().to_vec() };
            first_to_answer(with_authority(view), |there| {
                let expected = Fingerprint::from_bytes(there.fingerprint);
                asked(dialler.channel(there.addresses.clone(), expected, Arc::default()), ask.clone())
            })
            .await?
        }
    };
    standing.renew(&new)?;
    Ok(new)
}

/// Asks one after the other until one gives a certificate; what the last one says, where none does.
async fn first_to_answer<'a, F>(
    nodes: impl Iterator<Item = &'a NodeView>,
    ask: impl Fn(&'a NodeView) -> F,
) -> Result<NodeCertificate, RenewalError>
where
    F: Future<Output = Result<NodeCertificate, RenewalError>>,
{
    let mut last = RenewalError::Nobody;
    for there in nodes {
        match ask(there).await {
            Ok(certificate) => return Ok(certificate),
            Err(error) => {
                tracing::debug!(node = there.node, %error, "it does not renew the certificate");
                last = error;
            }
        }
    }
    Err(last)
}

async fn asked(channel: Channel, ask: RenewRequest) -> Result<NodeCertificate, RenewalError> {
    let mut request = Request::new(ask);
    request.set_timeout(RENEW_LIMIT);
    let asking = timeout(RENEW_LIMIT, PeersClient::new(channel).renew(request)).await;
    let answer = asking.map_err(|_| tonic::Status::deadline_exceeded("no answer in time"))??;
    Ok(NodeCertificate::parse(&answer.into_inner().certificate)?)
}

#[cfg(test)]
mod tests {
    use understudy_identity::{Authority, NodeKey};

    use super::*;

    #[tokio::test]
    async fn each_node_with_the_authority_is_asked_until_one_answers() {
        let authority = Authority::create(1_800_000_000).unwrap();
        let csr = NodeKey::generate().unwrap().request().unwrap();
        let certificate = authority.issue(&csr, 1_800_000_000).unwrap();
        let node = |node| NodeView { node, ..NodeView::default() };
        let nodes = [node(1), node(2), node(3)];
        for (answers, expected) in [(Some(1), "1"), (Some(3), "123"), (None, "123")] {
            let asked = std::cell::RefCell::new(String::new());
            let got = first_to_answer(nodes.iter(), |there| {
                asked.borrow_mut().push_str(&there.node.to_string());
                let answer = match answers == Some(there.node) {
                    true => Ok(certificate.clone()),
                    false => Err(tonic::Status::unavailable("gone").into()),
                };
                std::future::ready(answer)
            })
            .await;
            assert_eq!(got.is_ok(), answers.is_some());
            assert_eq!(asked.into_inner(), expected);
        }
        let nobody = first_to_answer([].iter(), |_| std::future::ready(Ok(certificate.clone()))).await;
        assert!(matches!(nobody, Err(RenewalError::Nobody)));
    }
}
