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
                    let met = view.wait_for(|view| with_authority(view).is_some());
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

fn with_authority(view: &ClusterView) -> Option<&NodeView> {
    view.usable().find(|node| node.facts.has_authority)
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
            let there = with_authority(view).ok_or(RenewalError::Nobody)?;
            let expected = Fingerprint::from_bytes(there.fingerprint);
            let channel = dialler.channel(there.addresses.clone(), expected, Arc::default());
            asked(channel, RenewRequest { csr, certificate: old.der().to_vec() }).await?
        }
    };
    standing.renew(&new)?;
    Ok(new)
}

async fn asked(channel: Channel, ask: RenewRequest) -> Result<NodeCertificate, RenewalError> {
    let mut request = Request::new(ask);
    request.set_timeout(RENEW_LIMIT);
    let asking = PeersClient::new(channel).renew(request).await;
    Ok(NodeCertificate::parse(&asking?.into_inner().certificate)?)
}
