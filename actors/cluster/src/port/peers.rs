//! What a node does for its peers besides the verbs of its models.

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use understudy_backend::{RequestCtx, Slots};
use understudy_identity::{IdentityError, NodeCertificate, PeerIdentity};
use understudy_proto::node::v1::{
    LinkMessage, PrepareRequest, PrepareResponse, RenewRequest, RenewResponse, peers_server::Peers,
};

use crate::{link::inbound::Greeter, standing::Standing};

/// How long a load may take that a peer asked for.
const LOAD_LIMIT: Duration = Duration::from_secs(3600);

/// The service.
pub(crate) struct PeerService {
    pub(crate) greeter: Greeter,
    pub(crate) standing: Arc<Standing>,
    /// The models of this process: a peer's wish is never passed on.
    pub(crate) local: Arc<dyn Slots>,
    /// Which start of this node this is.
    pub(crate) generation: u64,
}

#[tonic::async_trait]
impl Peers for PeerService {
    type LinkStream = BoxStream<'static, Result<LinkMessage, Status>>;

    async fn link(
        &self,
        request: Request<Streaming<LinkMessage>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let peer = peer(&request)?;
        Ok(Response::new(self.greeter.greet(&peer, request.into_inner()).await?))
    }

    async fn prepare(&self, request: Request<PrepareRequest>) -> Result<Response<PrepareResponse>, Status> {
        let peer = peer(&request)?;
        let PrepareRequest { model, generation } = request.into_inner();
        if generation != self.generation {
            return Err(Status::failed_precondition("another start of this node was meant"));
        }
        // Slots share one load, so asking twice is asking once; whoever asks does not wait for it.
        let slots = self.local.clone();
        tokio::spawn(async move {
            let ctx = RequestCtx::new(format!("prepare-{}", peer.node())).with_timeout(LOAD_LIMIT);
            let (progress, _) = mpsc::channel(1);
            if let Err(error) = slots.backend(&ctx, &model, progress).await {
                tracing::warn!(model, %error, "a peer's model could not be loaded");
            }
        });
        Ok(Response::new(PrepareResponse {}))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let peer = peer(&request)?;
        let Some(authority) = &self.standing.member.authority else {
            return Err(Status::failed_precondition("the authority's key is not on this node"));
        };
        let RenewRequest { csr, certificate } = request.into_inner();
        let old = NodeCertificate::parse(&certificate).map_err(refused)?;
        if old.fingerprint() != peer.fingerprint {
            return Err(Status::permission_denied("a node renews its own certificate only"));
        }
        let denied = self.standing.denied_list();
        let renewed = authority.renew(&old, &csr, &denied, self.standing.clock.now_s()).map_err(refused)?;
        tracing::info!(node = %peer.node(), "certificate renewed");
        Ok(Response::new(RenewResponse { certificate: renewed.der().to_vec() }))
    }
}

/// Whoever calls.
pub(crate) fn peer<T>(request: &Request<T>) -> Result<PeerIdentity, Status> {
    // The port puts it there for every connection that it serves.
    request.extensions().get().copied().ok_or_else(|| Status::unauthenticated("no certificate"))
}

fn refused(error: IdentityError) -> Status {
    Status::failed_precondition(error.to_string())
}
