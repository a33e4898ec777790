//! A run: steps out, at most a stop in.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use understudy_backend::{BackendError, RequestCtx, RunEvent, RunStream};
use understudy_engine::EngineError;
use understudy_engine::verbs::StopReason;
use understudy_proto::node::v1::{self, run_request::Step as Steer};

use super::{Inner, Work, told};
use crate::wire::{count, error::status, request::run_spec, result};

/// A peer that opens a run says within this time which.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);
/// A run that was stopped says within this time what it cost.
const STOPS_WITHIN: Duration = Duration::from_secs(1);
/// Steps of one message at most. More than a channel holds: whatever is ready goes.
const STEPS_AT_ONCE: usize = 64;

/// Starts a run of a peer. Dropping the stream cancels it.
pub(super) async fn run(
    service: Arc<Inner>,
    peer: u64,
    mut steering: Streaming<v1::RunRequest>,
) -> Result<impl Stream<Item = Result<v1::RunResponse, Status>> + Send + use<>, Status> {
    let first = tokio::time::timeout(BEGINS_WITHIN, steering.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("a run did not begin"))??;
    let Some(v1::RunRequest { step: Some(Steer::Start(mut start)) }) = first else {
        return told(Err(EngineError::InvalidArgument("a run begins with its start".into())));
    };
    let work = told(service.work(peer, start.seq, start.context.take()))?;
    let (held, spec) = (&work.held, run_spec(&start));
    let run = work.told(held.backend.run(&work.ctx, held.seq, count(start.at), spec).await)?;
    let running = Running {
        // A run that was stopped is read to its end.
        reading: RequestCtx { cancel: CancellationToken::new(), ..work.ctx.clone() },
        run,
        work,
        steering: Some(steering),
        sign_of_life: service.limits.sign_of_life,
        failed: None,
        is_over: false,
    };
    Ok(stream::unfold(running, |mut running| async move {
        let message = running.message().await?;
        Some((message, running))
    }))
}

struct Running {
    work: Work,
    run: RunStream,
    reading: RequestCtx,
    /// None, where the peer has said all.
    steering: Option<Streaming<v1::RunRequest>>,
    sign_of_life: Duration,
    /// What came after the steps of the last message.
    failed: Option<BackendError>,
    is_over: bool,
}

impl Running {
    /// The next message; `None` after the end.
    async fn message(&mut self) -> Option<Result<v1::RunResponse, Status>> {
        if self.is_over {
            return None;
        }
        if self.failed.is_none() {
            match self.event().await {
                Ok(Some(event)) => return Some(Ok(self.gather(event))),
                Ok(None) => return Some(Ok(v1::RunResponse::default())),
                Err(error) => self.failed = Some(error),
            }
        }
        self.is_over = true;
        self.failed.take().map(|failed| Err(status(&self.work.held.ended(failed))))
    }

    /// The next event; `None` where there has been none for a while.
    async fn event(&mut self) -> Result<Option<RunEvent>, BackendError> {
        let quiet = tokio::time::sleep(self.sign_of_life);
        tokio::pin!(quiet);
        loop {
            tokio::select! {
                biased;
                event = self.run.next(&self.reading) => return event.map(Some),
                steer = said(&mut self.steering) => self.heed(steer),
                () = &mut quiet => return Ok(None),
            }
        }
    }

    /// A peer that is gone stops its run, too.
    fn heed(&mut self, steer: Result<Option<v1::RunRequest>, Status>) {
        let is_stop = match steer {
            Ok(None) => {
                self.steering = None;
                return;
            }
            Ok(Some(request)) => matches!(request.step, Some(Steer::Stop(_))),
            Err(_) => {
                self.steering = None;
                true
            }
        };
        if is_stop && !self.work.ctx.cancel.is_cancelled() {
            self.work.ctx.cancel.cancel();
            let latest = Instant::now() + STOPS_WITHIN;
            self.reading.deadline = Some(self.reading.deadline.map_or(latest, |at| at.min(latest)));
        }
    }

    /// An event and those that are ready behind it.
    fn gather(&mut self, first: RunEvent) -> v1::RunResponse {
        let mut message = v1::RunResponse::default();
        let mut next = Some(Ok(first));
        while let Some(event) = next {
            match event {
                // Nobody cancelled the request: it goes on elsewhere.
                Ok(RunEvent::Stopped { reason: StopReason::Cancelled, .. })
                    if self.work.held.is_abandoned() =>
                {
                    self.failed = Some(EngineError::StaleSeq.into());
                    break;
                }
                Ok(RunEvent::Step(step)) => message.steps.push(result::step(step)),
                Ok(RunEvent::Stopped { reason, len, cost }) => {
                    message.stopped = Some(result::stopped(reason, len, cost));
                    self.is_over = true;
                    break;
                }
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
            next = (message.steps.len() < STEPS_AT_ONCE).then(|| self.run.ready()).flatten();
        }
        message
    }
}

async fn said(steering: &mut Option<Streaming<v1::RunRequest>>) -> Result<Option<v1::RunRequest>, Status> {
    match steering {
        Some(steering) => steering.message().await,
        None => std::future::pending().await,
    }
}
