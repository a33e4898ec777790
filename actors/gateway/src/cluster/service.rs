//! The `Cluster` service: the nodes, every change of them, and invites.

use std::{collections::HashMap, collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use futures::stream::{self, Stream, StreamExt as _};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use understudy_backend::{BackendError, RequestCtx};
use understudy_cluster::{Cluster, ClusterView};
use understudy_proto::v1::{
    self, ClusterStatusRequest, ClusterStatusResponse, InviteRequest, InviteResponse, NodeStatus,
    WatchClusterRequest,
};

use crate::{Admission, Failure, admission::Place, call};

/// A call that changes or looks.
const SHORT: Duration = Duration::from_secs(30);
/// A watcher that names no deadline comes again after a day.
const LONGEST_WATCH: Duration = Duration::from_secs(24 * 3600);

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
        let views = self.cluster.watch();
        let watcher =
            Watcher { views, shown: HashMap::new(), news: VecDeque::new(), ended: false, ctx, _place: place };
        let first = watcher.refreshed();
        Ok(stream::unfold(first, async |mut watcher| watcher.next().await.map(|status| (status, watcher))))
    }
}

fn statuses(view: &ClusterView) -> Vec<NodeStatus> {
    let own = NodeStatus { state: "self".into(), ..view.own.status() };
    std::iter::once(own).chain(view.nodes.iter().map(understudy_cluster::NodeView::status)).collect()
}

/// A reader of changes. A slow one skips what came in between: at most one status for each node waits.
struct Watcher {
    views: watch::Receiver<Arc<ClusterView>>,
    shown: HashMap<String, NodeStatus>,
    news: VecDeque<NodeStatus>,
    ended: bool,
    ctx: RequestCtx,
    _place: Place,
}

impl Watcher {
    fn refreshed(mut self) -> Self {
        self.refresh();
        self
    }

    fn refresh(&mut self) {
        for status in statuses(&self.views.borrow_and_update().clone()) {
            if self.shown.get(&status.node) != Some(&status) {
                self.shown.insert(status.node.clone(), status.clone());
                self.news.push_back(status);
            }
        }
    }

    async fn next(&mut self) -> Option<Result<NodeStatus, Failure>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(status) = self.news.pop_front() {
                return Some(Ok(status));
            }
            let views = &mut self.views;
            let changed = async { views.changed().await.map_err(|_| BackendError::Cancelled) };
            match self.ctx.bound(changed).await {
                Ok(()) => self.refresh(),
                // The node ends.
                Err(BackendError::Cancelled) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            }
        }
    }
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
        let ctx = call::of(&self.watchers, &request, "", LONGEST_WATCH)?;
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
