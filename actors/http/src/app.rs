//! What every handler has at hand.

use std::sync::Arc;
use std::time::Instant;

use understudy_gateway::{Admission, ClusterService, Inference, Models, Node, Telemetry};

use crate::{ids, openai::Store};

/// A node's services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) inference: Inference,
    pub(crate) models: Models,
    pub(crate) admission: Admission,
    pub(crate) telemetry: Telemetry,
    /// The other nodes; `None` for a node of fakes.
    pub(crate) cluster: Option<ClusterService>,
    /// Responses that callers may ask for again.
    pub(crate) responses: Arc<Store>,
    /// When the node began to serve.
    pub(crate) begun: Instant,
    /// The same in seconds since 1970.
    pub(crate) since: u64,
}

impl App {
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            inference: node.inference().clone(),
            models: node.models().clone(),
            admission: node.admission().clone(),
            telemetry: node.telemetry().clone(),
            cluster: node.cluster_service(),
            responses: Arc::new(Store::default()),
            begun: Instant::now(),
            since: ids::now(),
        }
    }
}
