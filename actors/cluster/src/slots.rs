//! Models by name, wherever in the cluster they are.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::mpsc, time::Instant};
use understudy_backend::{Backend, BackendError, LoadEvent, NodeId, RequestCtx, Slots};
use understudy_proto::node::v1::ModelFacts;

use crate::placement::{self, Candidate, Readiness};
use crate::view::{ClusterView, NodeView};

/// A busy model is loaded at one more node at most so often: it takes a while until that one helps.
const GROWS_EVERY: Duration = Duration::from_secs(30);

/// The way to models of other nodes.
#[async_trait]
pub trait Remotes: Send + Sync + 'static {
    /// The cluster as it is known now.
    fn view(&self) -> Arc<ClusterView>;

    /// A model of another node, loaded there when needed.
    async fn backend(
        &self,
        ctx: &RequestCtx,
        node: NodeId,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError>;

    /// Asks another node to load a model, without waiting for it. Asking twice is asking once.
    fn prepare(&self, node: NodeId, model: &str);
}

/// [`Slots`] over this process and the other nodes.
pub struct ClusterSlots {
    local: Arc<dyn Slots>,
    remotes: Arc<dyn Remotes>,
    sent: Sent,
    /// When a model was last loaded at one more node. At most one entry for each model that was busy.
    grown: Mutex<HashMap<String, Instant>>,
    draws: AtomicU64,
}

impl ClusterSlots {
    /// Slots over `local` and whatever `remotes` reach.
    pub fn new(local: Arc<dyn Slots>, remotes: Arc<dyn Remotes>, seed: u64) -> Self {
        let (sent, grown) = Default::default();
        Self { local, remotes, sent, grown, draws: AtomicU64::new(seed) }
    }

    fn draw(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): each call another number, no lock.
        let mut x = self.draws.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// Has a busy model loaded at one more node.
    fn grow(&self, model: &str, candidates: &[Candidate], chosen: usize) {
        let Some(more) = placement::replica(candidates, chosen) else { return };
        {
            let mut grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner);
            grown.retain(|_, when| when.elapsed() < GROWS_EVERY);
            if grown.contains_key(model) {
                return;
            }
            grown.insert(model.to_owned(), Instant::now());
        }
        let node = NodeId(candidates[more].node);
        tracing::info!(model, node = node.0, "its places are taken; it is loaded at one more node");
        if node != NodeId::default() {
            return self.remotes.prepare(node, model);
        }
        let (slots, model) = (self.local.clone(), model.to_owned());
        tokio::spawn(async move {
            let (progress, _) = mpsc::channel(1);
            if let Err(error) = slots.backend(&RequestCtx::new("replica"), &model, progress).await {
                tracing::warn!(model, %error, "it could not be loaded here too");
            }
        });
    }

    /// This process would have to fetch it.
    fn is_absent(&self, model: &str) -> bool {
        let view = self.remotes.view();
        view.own.facts.models.iter().any(|found| found.model == model && found.state == "absent")
    }

    /// This process and the nodes that can serve the model; those to avoid are last resorts.
    fn candidates(&self, ctx: &RequestCtx, model: &str, tried: &[NodeId]) -> Vec<Candidate> {
        let view = self.remotes.view();
        let here = std::iter::once((NodeId::default(), &view.own));
        let there = view.usable().map(|node| (NodeId(node.node), node));
        let resumes = ctx.attempt > 0;
        let able = |(id, node)| {
            let place: Candidate = candidate(id, node, model)?;
            // Nobody waits for a download in the middle of an answer.
            if resumes && place.readiness == Readiness::Absent {
                return None;
            }
            Some(Candidate { load: place.load + self.sent.since(node, model), ..place })
        };
        let all: Vec<Candidate> = here.chain(there).filter_map(able).collect();
        let untried: Vec<Candidate> =
            all.into_iter().filter(|candidate| !tried.contains(&NodeId(candidate.node))).collect();
        // Nodes that never lost it, else those that did not lose it last, else whoever is there.
        let but = |avoided: &[NodeId]| -> Vec<Candidate> {
            let may = |candidate: &&Candidate| !avoided.contains(&NodeId(candidate.node));
            untried.iter().filter(may).cloned().collect()
        };
        let last = ctx.avoid.last().map_or(&[][..], std::slice::from_ref);
        let preferred = [ctx.avoid.as_slice(), last].into_iter().map(but).find(|wanted| !wanted.is_empty());
        preferred.unwrap_or(untried)
    }
}

#[async_trait]
impl Slots for ClusterSlots {
    async fn backend(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let mut tried = Vec::new();
        let mut failure = None;
        loop {
            let candidates = self.candidates(ctx, model, &tried);
            let Some(chosen) = placement::choose(&candidates, ctx.affinity, self.draw()) else {
                return match failure {
                    Some(failure) => Err(failure),
                    None if ctx.attempt > 0 && self.is_absent(model) => Err(nowhere(model)),
                    // Names that no facts mention, such as a file's path, are for this process to judge.
                    None => self.local.backend(ctx, model, progress).await,
                };
            };
            let node = NodeId(candidates[chosen].node);
            let found = match node {
                NodeId(0) => self.local.backend(ctx, model, progress.clone()).await,
                node => self.remotes.backend(ctx, node, model, progress.clone()).await,
            };
            match found {
                Ok(backend) => {
                    self.sent.note(&self.remotes.view(), node, model);
                    self.grow(model, &candidates, chosen);
                    return Ok(backend);
                }
                Err(error) if is_of_one_place(&error) => {
                    tracing::debug!(node = node.0, model, %error, "another place is asked");
                    tried.push(node);
                    failure = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn nowhere(model: &str) -> BackendError {
    BackendError::Unavailable { model: model.into(), why: "no node has it any more".into() }
}

/// Whether another place may do better.
fn is_of_one_place(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::EngineLost { .. }
            | BackendError::Unavailable { .. }
            | BackendError::Overloaded { .. }
            | BackendError::Load { .. }
    )
}

/// A node as a place for the model; `id` is 0 for this process.
fn candidate(id: NodeId, node: &NodeView, model: &str) -> Option<Candidate> {
    let found = node.facts.models.iter().find(|found| found.model == model)?;
    if node.facts.draining && id != NodeId::default() {
        return None;
    }
    Some(Candidate {
        node: id.0,
        readiness: readiness(found)?,
        places: found.places,
        load: found.active + found.waiting,
        step: Duration::from_micros(found.step_us),
        round_trip: node.round_trip,
        free_bytes: node.facts.free_bytes,
        bytes: found.bytes,
    })
}

/// `None`: it cannot serve.
fn readiness(found: &ModelFacts) -> Option<Readiness> {
    match found.state.as_str() {
        "ready" => Some(Readiness::Ready),
        "fetching" | "loading" | "warming" => Some(Readiness::Coming),
        "unloaded" => Some(Readiness::OnDisk),
        "absent" => Some(Readiness::Absent),
        _ => None,
    }
}

/// What was sent to nodes since their last facts: without it every node would send all its requests to whoever was
/// idle a moment ago.
#[derive(Default)]
struct Sent {
    /// At most one entry for each model of each node.
    counts: Mutex<HashMap<(u64, String), (u64, u32)>>,
}

impl Sent {
    fn note(&self, view: &ClusterView, node: NodeId, model: &str) {
        let there = if node == NodeId::default() { Some(&view.own) } else { view.node(node.0) };
        let Some(there) = there else { return };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Models of nodes that are gone.
        counts.retain(|(node, _), _| *node == view.own.node || view.node(*node).is_some());
        let entry = counts.entry((there.node, model.to_owned())).or_default();
        *entry = match *entry {
            (version, count) if version == there.facts_version => (version, count + 1),
            _ => (there.facts_version, 1),
        };
    }

    fn since(&self, there: &NodeView, model: &str) -> u32 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get(&(there.node, model.to_owned())) {
            Some((version, count)) if *version == there.facts_version => *count,
            _ => 0,
        }
    }
}
