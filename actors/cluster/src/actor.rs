//! The cluster under supervision.

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio_util::task::AbortOnDropHandle;

use crate::Cluster;

/// Keeps a [`Cluster`] at work; started anew by its supervisor should that end.
pub struct ClusterActor;

/// The work has ended, which it does in a panic only.
pub struct Ended;

#[ractor::async_trait]
impl Actor for ClusterActor {
    type Msg = Ended;
    type State = AbortOnDropHandle<()>;
    type Arguments = Cluster;

    async fn pre_start(
        &self,
        myself: ActorRef<Ended>,
        cluster: Cluster,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(AbortOnDropHandle::new(tokio::spawn(async move {
            let work = tokio::spawn(async move { cluster.follow().await });
            let _ = AbortOnDropHandle::new(work).await;
            // An actor that is gone needs no news.
            let _ = myself.cast(Ended);
        })))
    }

    async fn handle(
        &self,
        _: ActorRef<Ended>,
        _: Ended,
        _: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        Err("the cluster's work has ended".into())
    }
}
