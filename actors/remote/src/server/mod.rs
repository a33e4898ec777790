//! The verbs of this node's models, for its peers.
//!
//! A node answers for its own slots and never asks a third. Sequences belong to the peer that opened them; they end
//! when it closes them, when its request's deadline passes, when it is dropped, and after a while without use.

mod finding;
mod running;
mod table;
mod verbs;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::DropGuard;
use tonic::{Request, Status};
use understudy_actors::Constraints;
use understudy_backend::{Backend, BackendError, OpenGate, RequestCtx, Slots};
use understudy_engine::EngineError;
use understudy_engine::verbs::TokenId;
use understudy_proto::node::v1::{self, verbs_server::VerbsServer};

use crate::MOST_MESSAGE_BYTES;
use crate::wire::{count, error::status, pattern::gate_pattern, request::ctx_of};
use finding::Heads;
use table::{InUse, Table};

/// The node that calls, as whoever accepted its connection knows it: an extension of every request. A call without
/// one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerNode(pub u64);

/// What peers may ask of this node.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sequences of one peer that are open at once; the next one fails with `Overloaded`. Slots have bounds of
    /// their own: this one keeps the table of a peer that never closes small.
    pub sequences_per_peer: usize,
    /// A sequence that no verb used this long is closed.
    pub lease: Duration,
    /// Compiling a constraint may take this long.
    pub constraint_budget: Duration,
    /// A run or a search without news says so this often.
    pub sign_of_life: Duration,
}

impl Default for Limits {
    /// 256 sequences, leases of 10 minutes, 5 s for a constraint, a sign of life each second.
    fn default() -> Self {
        Self {
            sequences_per_peer: 256,
            lease: Duration::from_secs(600),
            constraint_budget: Duration::from_secs(5),
            sign_of_life: Duration::from_secs(1),
        }
    }
}

/// The service. Cheap to clone; clones share the table of sequences.
#[derive(Clone)]
pub struct VerbService(Arc<Inner>);

struct Inner {
    slots: Arc<dyn Slots>,
    constraints: Arc<Constraints>,
    limits: Limits,
    table: Arc<Table>,
    heads: Heads,
}

/// One verb's part in a sequence. Dropping it before the verb has answered cancels the verb.
struct Work {
    held: InUse,
    ctx: RequestCtx,
    _dropped: DropGuard,
}

impl VerbService {
    /// A service over the slots of this node alone. Must be called in a tokio runtime.
    pub fn new(slots: Arc<dyn Slots>, constraints: Arc<Constraints>, limits: Limits) -> Self {
        let table = Table::new(limits.sequences_per_peer, limits.lease);
        Self(Arc::new(Inner { slots, constraints, limits, table, heads: Heads::default() }))
    }

    /// The service for a tonic server, with its bounds on messages.
    pub fn server(&self) -> VerbsServer<Self> {
        VerbsServer::new(self.clone())
            .max_decoding_message_size(MOST_MESSAGE_BYTES)
            .max_encoding_message_size(MOST_MESSAGE_BYTES)
    }

    /// Closes every sequence of a peer and ends its runs: it is dead, or was started anew.
    pub fn drop_peer(&self, peer: PeerNode) {
        self.0.table.drop_peer(peer.0);
    }

    /// Sequences of peers that are open.
    pub fn open_sequences(&self) -> usize {
        self.0.table.count()
    }
}

impl Work {
    /// The verb's answer.
    fn told<T>(&self, result: Result<T, BackendError>) -> Result<T, Status> {
        told(result.map_err(|error| self.held.ended(error)))
    }
}

impl Inner {
    /// Begins a verb on a sequence.
    fn work(
        &self,
        peer: u64,
        seq: Option<v1::SeqRef>,
        context: Option<v1::RequestContext>,
    ) -> Result<Work, BackendError> {
        let held = self.table.get(peer, seq)?;
        let cancel = held.life.child_token();
        let ctx = ctx_of(context, cancel.clone())?;
        Ok(Work { held, ctx, _dropped: cancel.drop_guard() })
    }

    /// The slot that a peer means, made ready if it is not.
    async fn model(
        &self,
        ctx: &RequestCtx,
        model: Option<v1::ModelRef>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let model = model.unwrap_or_default();
        // Nobody listens: who wants to hear of progress searches for the model first.
        let (progress, _) = tokio::sync::mpsc::channel(1);
        let backend = ctx.bound(self.slots.backend(ctx, &model.name, progress)).await?;
        match model.digest.is_empty() || backend.card().digest == model.digest {
            true => Ok(backend),
            false => Err(BackendError::Unavailable {
                model: model.name,
                why: "the node has other weights under this name now".into(),
            }),
        }
    }

    /// A gate of this node's own for what a peer's gate was made of.
    async fn gate(
        &self,
        ctx: &RequestCtx,
        gate: v1::OpenGate,
        prompt: &[TokenId],
        backend: &dyn Backend,
    ) -> Result<OpenGate, BackendError> {
        let invalid = |why: String| BackendError::from(EngineError::InvalidArgument(why));
        let pattern = gate.pattern.ok_or_else(|| invalid("the gate has no pattern".into()))?;
        let pattern = gate_pattern(pattern).map_err(|wrong| invalid(wrong.to_string()))?;
        let emitted = count(gate.emitted);
        let before = prompt.len().checked_sub(emitted);
        let answer = before.and_then(|before| prompt.get(before..));
        let answer = answer.ok_or_else(|| invalid("more tokens were emitted than there are".into()))?;
        let limit = self.limits.constraint_budget;
        let made = self.constraints.gate(&pattern, backend.codec(), answer, gate.left, limit);
        let made = ctx.bound(async { made.await.map_err(|error| invalid(error.to_string())) }).await?;
        Ok(OpenGate { gate: made, pattern: Arc::new(pattern), emitted, left: gate.left })
    }
}

fn peer_of<T>(request: &Request<T>) -> Result<u64, Status> {
    let peer = request.extensions().get::<PeerNode>();
    peer.map(|peer| peer.0).ok_or_else(|| Status::unauthenticated("no node is known on this connection"))
}

/// A verb's failure as a call's.
fn told<T>(result: Result<T, impl Into<BackendError>>) -> Result<T, Status> {
    result.map_err(|error| status(&error.into()))
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
