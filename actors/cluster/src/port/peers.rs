//! What a node does for its peers besides the verbs of its models.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

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

/// Models that are loaded at a time because peers asked. Full: the wish is refused, and whoever had it asks again or
/// elsewhere.
const PREPARATIONS: usize = 8;

/// Models that are being loaded because peers asked, by name: each once, whoever asks.
#[derive(Clone, Default)]
pub(crate) struct Preparations(Arc<Mutex<BTreeSet<String>>>);

impl Preparations {
    /// Loads a model, unless that is under way. Whoever asks does not wait for it.
    ///
    /// # Errors
    /// Others take up all the places.
    fn begin(&self, slots: &Arc<dyn Slots>, model: String, for_peer: &str) -> Result<(), Status> {
        let mut under_way = self.lock();
        if under_way.contains(&model) {
            return Ok(());
        }
        if under_way.len() >= PREPARATIONS {
            return Err(Status::resource_exhausted("too many models are being loaded"));
        }
        under_way.insert(model.clone());
        let place = Preparation { all: self.clone(), model };
        let (slots, ctx) = (slots.clone(), RequestCtx::new(format!("prepare-{for_peer}")));
        tokio::spawn(async move {
            let (progress, _) = mpsc::channel(1);
            let ctx = ctx.with_timeout(LOAD_LIMIT);
            if let Err(error) = slots.backend(&ctx, &place.model, progress).await {
                tracing::warn!(model = place.model, %error, "a peer's model could not be loaded");
            }
        });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, given back however the load ends.
struct Preparation {
    all: Preparations,
    model: String,
}

impl Drop for Preparation {
    fn drop(&mut self) {
        self.all.lock().remove(&self.model);
    }
}

/// The service.
pub(crate) struct PeerService {
    pub(crate) greeter: Greeter,
    pub(crate) standing: Arc<Standing>,
    /// The models of this process: a peer's wish is never passed on.
    pub(crate) local: Arc<dyn Slots>,
    pub(crate) preparations: Preparations,
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
        self.preparations.begin(&self.local, model, &peer.node().to_string())?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use understudy_backend::{Backend, BackendError, LoadEvent};

    use super::*;

    /// Loads that end once they are let.
    struct Slow {
        begun: AtomicUsize,
        gate: tokio::sync::Semaphore,
    }

    #[async_trait]
    impl Slots for Slow {
        async fn backend(
            &self,
            _: &RequestCtx,
            model: &str,
            _: mpsc::Sender<LoadEvent>,
        ) -> Result<Arc<dyn Backend>, BackendError> {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let _ = self.gate.acquire().await;
            Err(BackendError::Unavailable { model: model.into(), why: "it is a test".into() })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_is_loaded_once_and_so_many_at_a_time() {
        let slow = Arc::new(Slow { begun: AtomicUsize::new(0), gate: tokio::sync::Semaphore::new(0) });
        let slots: Arc<dyn Slots> = slow.clone();
        let preparations = Preparations::default();
        let ask = |model: usize| preparations.begin(&slots, format!("m{model}"), "7");
        for _ in 0..3 {
            (0..PREPARATIONS).for_each(|model| ask(model).unwrap());
        }
        let refused = ask(PREPARATIONS).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(slow.begun.load(Ordering::SeqCst), PREPARATIONS, "each once");
        slow.gate.close();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(ask(PREPARATIONS).is_ok(), "there is room again");
    }
}
