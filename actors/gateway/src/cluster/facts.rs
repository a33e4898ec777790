//! What this node tells the others of its cluster.

use std::sync::{Arc, OnceLock};

use understudy_actors::memory::MemoryBudget;
use understudy_cluster::OwnFacts;
use understudy_proto::node::v1::{ModelFacts, NodeFacts};

use crate::{Admission, ModelControl};

/// This node, to be looked at.
pub(crate) struct Facts {
    pub(crate) control: Arc<dyn ModelControl>,
    pub(crate) memory: Arc<MemoryBudget>,
    /// What computes.
    pub(crate) device: String,
    /// Sequences that a model decodes at once.
    pub(crate) places: u32,
    /// Whoever admits requests; set once there is a node around it.
    pub(crate) admission: OnceLock<Admission>,
}

impl OwnFacts for Facts {
    fn facts(&self) -> NodeFacts {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let admission = self.admission.get();
        let waiting: usize = admission.map_or(0, |admission| admission.waiting().iter().sum());
        let model = |model: understudy_proto::v1::ModelStatus| ModelFacts {
            places: self.places,
            model: model.model,
            digest: model.digest,
            state: model.state,
            active: model.active,
            waiting: model.waiting,
            decode_tok_s: model.decode_tok_s,
            step_us: model.step_us,
            bytes: model.bytes,
        };
        NodeFacts {
            version: env!("CARGO_PKG_VERSION").into(),
            device: self.device.clone(),
            free_bytes: self.memory.free(),
            running: admission.map_or(0, |admission| count(admission.in_flight().saturating_sub(waiting))),
            waiting: count(waiting),
            draining: admission.is_some_and(Admission::is_closed),
            models: self.control.list().into_iter().map(model).collect(),
            // The cluster's own business.
            has_authority: false,
        }
    }
}
