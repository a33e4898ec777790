//! The `Cluster` service: the nodes, every change of them, and invites.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use understudy_backend::RequestCtx;
use understudy_cluster::{Cluster, ClusterView};
use understudy_proto::v1::{
    self, ClusterStatusRequest, ClusterStatusResponse, InviteRequest, InviteResponse, NodeStatus,
    WatchClusterRequest,
};

use crate::{Admission, Failure, call, watching};

/// A call that changes or looks.
const SHORT: Duration = Duration::from_secs(30);

/// Tells of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct ClusterService {
    cluster: Cluster,
    watchers: Admission,
}

impl ClusterService {
    /// Watchers have places of their own.
    pub(crate) fn new(cluster: Cluster, watchers: Admission) -> Self {
        Self { cluster, watchers }
    }

    /// Every node, this one first.
    pub fn status(&self) -> ClusterStatusResponse {
        match self.cluster.name() {
            Some(cluster) => {
                ClusterStatusResponse { cluster, nodes: statuses(&self.cluster.watch().borrow()) }
            }
            None => ClusterStatusResponse::default(),
        }
    }

    fn watch(
        &self,
        ctx: RequestCtx,
    ) -> Result<impl Stream<Item = Result<NodeStatus, Failure>> + Send + 'static, Failure> {
        let place = self.watchers.visit(&ctx)?;
        let list = |view: &Arc<ClusterView>| statuses(view);
        let gone = |last: NodeStatus| {
            let left = NodeStatus { state: "left".into(), detail: "it is known no more".into(), ..last };
            // One that left before it was forgotten has been told of.
            (last.state != left.state).then_some(left)
        };
        Ok(watching::changes(self.cluster.watch(), list, |status| &status.node, gone, ctx, place))
    }
}

/// Every node, this one first; none while it is alone.
fn statuses(view: &ClusterView) -> Vec<NodeStatus> {
    if view.own.node == 0 {
        return Vec::new();
    }
    let own = NodeStatus { state: "self".into(), ..view.own.status() };
    std::iter::once(own).chain(view.nodes.iter().map(understudy_cluster::NodeView::status)).collect()
}

type StatusStream = Pin<Box<dyn Stream<Item = Result<NodeStatus, Status>> + Send>>;

#[tonic::async_trait]
impl v1::cluster_server::Cluster for ClusterService {
    type WatchStream = StatusStream;

    async fn status(
        &self,
        request: Request<ClusterStatusRequest>,
    ) -> Result<Response<ClusterStatusResponse>, Status> {
        call::of(&self.watchers, &request, "", SHORT)?;
        Ok(Response::new(ClusterService::status(self)))
    }

    async fn watch(&self, request: Request<WatchClusterRequest>) -> Result<Response<StatusStream>, Status> {
        let ctx = call::of(&self.watchers, &request, "", watching::LONGEST)?;
        let statuses = ClusterService::watch(self, ctx)?;
        Ok(Response::new(statuses.map(|status| status.map_err(Status::from)).boxed()))
    }

    async fn invite(&self, request: Request<InviteRequest>) -> Result<Response<InviteResponse>, Status> {
        call::of(&self.watchers, &request, "", SHORT)?;
        let shown = self.cluster.invite(request.into_inner().with_authority).map_err(Failure::from)?;
        Ok(Response::new(InviteResponse {
            code: shown.code.to_string(),
            until: shown.until_ms / 1000,
            addresses: self.cluster.addresses(),
        }))
    }
}
