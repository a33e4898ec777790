//! What travels with every message, local and remote.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{BackendError, NodeId, RequestId};

/// Who goes first when work waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// A person waits.
    #[default]
    Interactive,
    /// A program waits.
    Agent,
    /// Nobody waits.
    Batch,
}

/// Identity, deadline and cancellation of one request.
#[derive(Debug, Clone)]
pub struct RequestCtx {
    /// The request.
    pub request_id: RequestId,
    /// 0 for the first try; grows with each failover.
    pub attempt: u32,
    /// Whose request it is; empty for the local user.
    pub tenant: String,
    /// Scheduling class.
    pub priority: Priority,
    /// When the answer stops being useful. On the wire: remaining milliseconds.
    pub deadline: Option<Instant>,
    /// Polled by engines at each decode step and prefill chunk.
    pub cancel: CancellationToken,
    /// The same for questions that begin alike, so that they go where that beginning has been read already.
    pub affinity: Option<u64>,
    /// Nodes that lost or refused this request: asked again only where no other is left.
    pub avoid: Vec<NodeId>,
    /// W3C trace context: the caller's, and inside a node its own, to pass on.
    pub traceparent: Option<String>,
}

impl RequestCtx {
    /// A context with no deadline, for the local user.
    pub fn new(request_id: impl Into<String>) -> Self {
        Self {
            request_id: RequestId(request_id.into()),
            attempt: 0,
            tenant: String::new(),
            priority: Priority::default(),
            deadline: None,
            cancel: CancellationToken::new(),
            affinity: None,
            avoid: Vec::new(),
            traceparent: None,
        }
    }

    /// The same request with a deadline this far away.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.deadline = Some(Instant::now() + timeout);
        self
    }

    /// Time left; `None` when there is no deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// What log lines about this request carry: its id, and its place in a trace where it has one. Enabled as
    /// long as errors are.
    pub fn log_span(&self) -> tracing::Span {
        let mut parts = self.traceparent.as_deref().unwrap_or_default().split('-').skip(1);
        let (trace_id, span_id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        tracing::error_span!("request", request_id = %self.request_id, trace_id, span_id)
    }

    /// Waits for `work`, but no longer than the deadline or a cancellation.
    pub async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(BackendError::Cancelled),
            () = deadline => Err(BackendError::Deadline),
            result = work => result,
        }
    }
}
