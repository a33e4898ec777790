//! Which node gets a sequence, and what happens when one does not answer.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::mpsc;
use understudy_backend::{
    Backend, BackendError, LoadEvent, NodeId, RequestCtx, Slots as _,
    fake::{FakeBackend, FakeSlots},
};
use understudy_cluster::{ClusterSlots, ClusterView, Life, NodeView, Remotes};
use understudy_proto::node::v1::{ModelFacts, NodeFacts};

/// Nodes that answer or do not; who was asked is noted.
#[derive(Default)]
struct Nodes {
    view: ClusterView,
    broken: BTreeMap<u64, BackendError>,
    asked: Mutex<Vec<u64>>,
    prepared: Mutex<Vec<u64>>,
}

fn node(id: u64, state: &str, load: u32) -> NodeView {
    let model = ModelFacts {
        model: "m".into(),
        state: state.into(),
        places: 4,
        active: load,
        ..ModelFacts::default()
    };
    let facts = NodeFacts { models: vec![model], free_bytes: 1 << 30, ..NodeFacts::default() };
    let round_trip = Duration::from_micros(300);
    NodeView { node: id, life: Life::Alive, round_trip, facts, ..NodeView::default() }
}

impl Nodes {
    /// This process, where the model is in `state`, and others that have it ready with such loads.
    fn with(state: &str, others: &[(u64, u32)]) -> Self {
        let nodes = others.iter().map(|&(id, load)| node(id, "ready", load)).collect();
        let own = NodeView { round_trip: Duration::ZERO, ..node(99, state, 0) };
        Self { view: ClusterView { own, nodes }, ..Self::default() }
    }

    fn breaking(mut self, id: u64, error: BackendError) -> Self {
        self.broken.insert(id, error);
        self
    }
}

#[async_trait]
impl Remotes for Nodes {
    fn view(&self) -> Arc<ClusterView> {
        Arc::new(self.view.clone())
    }

    async fn backend(
        &self,
        _: &RequestCtx,
        node: NodeId,
        model: &str,
        _: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        self.asked.lock().unwrap().push(node.0);
        match self.broken.get(&node.0) {
            Some(error) => Err(error.clone()),
            None => Ok(Arc::new(FakeBackend::new(model))),
        }
    }

    fn prepare(&self, node: NodeId, _: &str) {
        self.prepared.lock().unwrap().push(node.0);
    }
}

fn unavailable() -> BackendError {
    BackendError::Unavailable { model: "m".into(), why: "test".into() }
}

/// The nodes asked for a sequence, the last of which gave it; 0 is this process.
async fn asked(nodes: Nodes, ctx: &RequestCtx) -> Result<Vec<u64>, BackendError> {
    let nodes = Arc::new(nodes);
    let local = Arc::new(FakeSlots::new().with(FakeBackend::new("m")));
    let slots = ClusterSlots::new(local, nodes.clone(), 7);
    let found = slots.backend(ctx, "m", mpsc::channel(1).0).await;
    let mut asked = nodes.asked.lock().unwrap().clone();
    let last_failed = asked.last().is_none_or(|last| nodes.broken.contains_key(last));
    found.map(|_| {
        if last_failed {
            asked.push(0);
        }
        asked
    })
}

#[tokio::test]
async fn a_ready_model_elsewhere_is_taken_before_one_that_must_be_loaded_here() {
    let ctx = RequestCtx::new("r");
    assert_eq!(asked(Nodes::with("ready", &[(1, 0)]), &ctx).await.unwrap(), [0], "this process is nearest");
    assert_eq!(asked(Nodes::with("unloaded", &[(1, 3)]), &ctx).await.unwrap(), [1]);
    assert_eq!(asked(Nodes::with("absent", &[(1, 3)]), &ctx).await.unwrap(), [1]);
    assert_eq!(asked(Nodes::with("absent", &[]), &ctx).await.unwrap(), [0], "then it is fetched");
}

#[tokio::test]
async fn whoever_cannot_serve_is_passed_over() {
    let ctx = RequestCtx::new("r");
    let one_breaks = Nodes::with("absent", &[(1, 0), (2, 4)]).breaking(1, unavailable());
    assert_eq!(asked(one_breaks, &ctx).await.unwrap(), [1, 2]);
    let all_break = Nodes::with("unloaded", &[(1, 0)]).breaking(1, unavailable());
    assert_eq!(asked(all_break, &ctx).await.unwrap(), [1, 0], "this process loads it");
    let over = Nodes::with("absent", &[(1, 0), (2, 4)]).breaking(1, BackendError::Cancelled);
    assert_eq!(asked(over, &ctx).await.unwrap_err(), BackendError::Cancelled, "that is nobody's fault");
    let mut suspect = Nodes::with("unloaded", &[(1, 0)]);
    suspect.view.nodes[0].life = Life::Suspect;
    assert_eq!(asked(suspect, &ctx).await.unwrap(), [0]);
    let mut draining = Nodes::with("unloaded", &[(1, 0)]);
    draining.view.nodes[0].facts.draining = true;
    assert_eq!(asked(draining, &ctx).await.unwrap(), [0]);
}

#[tokio::test]
async fn an_answer_goes_on_elsewhere_and_waits_for_no_download() {
    let lost_one = RequestCtx { attempt: 1, avoid: vec![NodeId(1)], ..RequestCtx::new("r") };
    assert_eq!(asked(Nodes::with("absent", &[(1, 0), (2, 4)]), &lost_one).await.unwrap(), [2]);
    assert_eq!(asked(Nodes::with("absent", &[(1, 0)]), &lost_one).await.unwrap(), [1], "the last resort");
    let both = RequestCtx { attempt: 2, avoid: vec![NodeId(2), NodeId(1)], ..RequestCtx::new("r") };
    assert_eq!(
        asked(Nodes::with("absent", &[(1, 0), (2, 4)]), &both).await.unwrap(),
        [2],
        "1 was the last to lose it"
    );
    let nowhere = asked(Nodes::with("absent", &[]), &lost_one).await.unwrap_err();
    assert!(matches!(nowhere, BackendError::Unavailable { .. }), "{nowhere:?}");
}

/// Between two tellings of their loads, requests do not all go to whoever was idle.
#[tokio::test]
async fn what_was_sent_counts_before_it_is_told() {
    let nodes = Arc::new(Nodes::with("absent", &[(1, 0), (2, 0), (3, 0)]));
    let slots = ClusterSlots::new(Arc::new(FakeSlots::new()), nodes.clone(), 3);
    for _ in 0..30 {
        slots.backend(&RequestCtx::new("r"), "m", mpsc::channel(1).0).await.unwrap();
    }
    let asked = nodes.asked.lock().unwrap().clone();
    for id in 1..=3 {
        let count = asked.iter().filter(|node| **node == id).count();
        assert!((7..=13).contains(&count), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_is_loaded_at_one_more_node_now_and_then() {
    let mut nodes = Nodes::with("absent", &[(1, 4), (2, 5)]);
    nodes.view.nodes.push(node(3, "unloaded", 0));
    let nodes = Arc::new(nodes);
    let slots = ClusterSlots::new(Arc::new(FakeSlots::new()), nodes.clone(), 3);
    let ask = async || {
        slots.backend(&RequestCtx::new("r"), "m", mpsc::channel(1).0).await.unwrap();
        nodes.prepared.lock().unwrap().clone()
    };
    assert_eq!(ask().await, [3]);
    assert_eq!(ask().await, [3], "it is on its way");
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(ask().await, [3, 3]);
}
