//! A cluster of one for the tests of this crate.

use std::sync::Arc;

use understudy_actors::{Constraints, scripted::ScriptedModels};
use understudy_backend::fake::FakeSlots;
use understudy_identity::{ClusterFiles, SystemClock};
use understudy_proto::node::v1::NodeFacts;
use understudy_remote::{CodecStore, Limits};

use crate::{Cluster, ClusterConfig, ClusterParts, OwnFacts};

/// A node that has nothing to tell.
pub(crate) struct Nothing;

impl OwnFacts for Nothing {
    fn facts(&self) -> NodeFacts {
        NodeFacts::default()
    }
}

/// A node's part, on a port of loopback; nothing runs yet.
pub(crate) fn cluster(files: ClusterFiles) -> Cluster {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = ClusterConfig { listen, discovery: false, ..ClusterConfig::default() };
    let parts = ClusterParts {
        local: Arc::new(FakeSlots::new()),
        constraints: Arc::new(Constraints::default()),
        facts: Arc::new(Nothing),
        codecs: Arc::new(CodecStore::new(None, Arc::new(ScriptedModels::default()))),
        limits: Limits::default(),
        clock: Arc::new(SystemClock),
    };
    Cluster::new(files, config, parts)
}
