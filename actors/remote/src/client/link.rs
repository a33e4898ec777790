//! Calls that end: in time, by the request, or with the node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};
use understudy_backend::{BackendError, NodeId, Pace, RequestCtx, SeqId};
use understudy_engine::EngineError;
use understudy_proto::node::v1::{self, verbs_client::VerbsClient};

use super::Peer;
use crate::MOST_MESSAGE_BYTES;
use crate::wire::{error, request, result};

/// A stream without a word for so long has no sender any more: it says something each second.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// Share of a new round trip in the average.
const NEWEST: f64 = 0.2;

/// How long a call may take where its request has no deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It computes nothing: 30 s, also where the deadline is later.
    Short,
    /// It waits for a place or computes: 10 minutes. A node that is gone is noticed much earlier.
    Long,
}

/// A model on another node, and the way to it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    client: VerbsClient<Channel>,
    node: NodeId,
    model: String,
    lost: CancellationToken,
    road: Mutex<Road>,
}

/// What was learned of the other end.
#[derive(Default)]
struct Road {
    pace: Pace,
    /// Seconds there and back, without the time that the other end took. An average.
    round_trip: Option<f64>,
}

impl Link {
    pub(super) fn new(peer: &Peer, model: &str) -> Self {
        Self(Arc::new(Inner {
            client: super::client(&peer.channel),
            node: peer.node,
            model: model.to_owned(),
            lost: peer.lost.clone(),
            road: Mutex::default(),
        }))
    }

    pub(super) fn client(&self) -> VerbsClient<Channel> {
        self.0.client.clone()
    }

    pub(super) fn node(&self) -> NodeId {
        self.0.node
    }

    pub(super) fn model(&self) -> &str {
        &self.0.model
    }

    /// Fires when the node is dead.
    pub(super) fn lost(&self) -> &CancellationToken {
        &self.0.lost
    }

    /// The outcome is unknown.
    pub(super) fn failed(&self, why: impl Into<String>) -> BackendError {
        error::lost(&self.0.model, why)
    }

    /// What a status says.
    pub(super) fn told(&self, status: &Status) -> BackendError {
        error::failure(&self.0.model, status)
    }

    /// The name of a sequence there, if it is of that node.
    pub(super) fn own(&self, seq: SeqId) -> Result<v1::SeqRef, EngineError> {
        if seq.node == self.0.node { Ok(request::seq_ref(seq)) } else { Err(EngineError::StaleSeq) }
    }

    /// The message, if the other end would take it.
    pub(super) fn fits<M: prost::Message>(&self, message: M) -> Result<M, EngineError> {
        match message.encoded_len() {
            0..=MOST_MESSAGE_BYTES => Ok(message),
            bytes => Err(EngineError::InvalidArgument(format!(
                "{bytes} bytes are too many for a message to another node, which has at most {MOST_MESSAGE_BYTES}"
            ))),
        }
    }

    /// Waits for an answer, no longer than the request, the kind of call and the node allow.
    pub(super) async fn call<T>(
        &self,
        ctx: &RequestCtx,
        kind: Kind,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, BackendError> {
        let limit = match (kind, ctx.deadline) {
            (Kind::Short, _) => Duration::from_secs(30),
            (Kind::Long, None) => Duration::from_secs(600),
            // Bound by the request below.
            (Kind::Long, Some(_)) => Duration::MAX,
        };
        let answer = async { answer.await.map(Response::into_inner).map_err(|status| self.told(&status)) };
        ctx.bound(self.within(limit, answer)).await
    }

    /// The same, with the time that it took.
    pub(super) async fn timed<T>(
        &self,
        ctx: &RequestCtx,
        kind: Kind,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<(T, Duration), BackendError> {
        let began = Instant::now();
        let answer = self.call(ctx, kind, answer).await?;
        Ok((answer, began.elapsed()))
    }

    /// The next message of a stream that has not ended.
    pub(super) async fn next<T>(
        &self,
        ctx: &RequestCtx,
        stream: &mut Streaming<T>,
    ) -> Result<T, BackendError> {
        let next = self.next_or_end(ctx, stream).await?;
        next.ok_or_else(|| self.failed("its node ended without an answer"))
    }

    /// The next message of a stream, `None` at its end.
    pub(super) async fn next_or_end<T>(
        &self,
        ctx: &RequestCtx,
        stream: &mut Streaming<T>,
    ) -> Result<Option<T>, BackendError> {
        let next = async { stream.message().await.map_err(|status| self.told(&status)) };
        ctx.bound(self.within(SILENCE, next)).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        tokio::select! {
            biased;
            () = self.0.lost.cancelled() => Err(self.failed("its node is gone")),
            done = tokio::time::timeout(limit, work) => {
                done.unwrap_or_else(|_| Err(self.failed(format!("its node said nothing for {limit:?}"))))
            }
        }
    }

    /// Notes what an answer says of the other end, and of the way: how long it took from here, and there.
    pub(super) fn note_pace(&self, pace: Option<v1::Pace>, took: Option<(Duration, u64)>) {
        let mut road = self.road();
        if let Some(pace) = pace {
            road.pace = result::pace_of(&pace);
        }
        if let Some((took, served_us)) = took {
            let newest = took.saturating_sub(Duration::from_micros(served_us)).as_secs_f64();
            road.round_trip =
                Some(road.round_trip.map_or(newest, |average| average + NEWEST * (newest - average)));
        }
    }

    pub(super) fn pace(&self) -> Pace {
        let (on_the_way, road) = (self.round_trip(), self.road());
        Pace::measured(road.pace.pairs().map(|(rows, seconds)| (rows, seconds + on_the_way)))
    }

    /// Seconds there and back, lately; 0 before anything was measured.
    pub(super) fn round_trip(&self) -> f64 {
        self.road().round_trip.unwrap_or_default()
    }

    fn road(&self) -> MutexGuard<'_, Road> {
        self.0.road.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
