//! A run on another node.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use understudy_backend::{BackendError, RequestCtx, RunEvent, RunStream, backend::RUN_CHANNEL_CAPACITY};
use understudy_proto::node::v1::{self, run_request::Step as Steer};

use super::link::{Kind, Link, SILENCE};
use crate::wire::result::run_events;

/// The start and at most one stop: neither ever waits.
const STEERS: usize = 2;
/// A run that has ended says no more than that; a node that keeps its stream open longer is not waited for.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

type Events = mpsc::Sender<Result<RunEvent, BackendError>>;

/// Starts a run. Dropping the stream cancels it; cancelling the request stops it, and what it cost is told.
pub(super) async fn start(
    link: &Link,
    ctx: &RequestCtx,
    start: v1::RunStart,
) -> Result<RunStream, BackendError> {
    let (steer, steering) = mpsc::channel(STEERS);
    // The channel is new and has room.
    let _ = steer.try_send(v1::RunRequest { step: Some(Steer::Start(start)) });
    let mut client = link.client();
    let begun = client.run(ReceiverStream::new(steering));
    let steps = link.call(ctx, Kind::Short, begun).await?;
    let (out, events) = mpsc::channel(RUN_CHANNEL_CAPACITY);
    let run = Run { link: link.clone(), steps, steer: Some(steer), out };
    tokio::spawn(run.follow(ctx.cancel.clone()));
    Ok(RunStream::new(link.model(), events))
}

struct Run {
    link: Link,
    steps: Streaming<v1::RunResponse>,
    /// None, once it was told to stop.
    steer: Option<mpsc::Sender<v1::RunRequest>>,
    out: Events,
}

/// What became of some events.
enum Passed {
    GoesOn,
    Ended,
    NobodyReads,
}

impl Run {
    /// Passes events on until the end, a failure, or until nobody reads.
    async fn follow(mut self, cancel: CancellationToken) {
        loop {
            let message = tokio::select! {
                biased;
                () = self.out.closed() => return,
                () = self.link.lost().cancelled() => Err(self.link.failed("its node is gone")),
                () = cancel.cancelled(), if self.steer.is_some() => {
                    self.stop();
                    continue;
                }
                message = next(&self.link, &mut self.steps) => message,
            };
            let events = message.and_then(|message| {
                // An event that is none: which came after it is unknown.
                run_events(message).map_err(|odd| self.link.failed(odd.to_string()))
            });
            match events {
                Ok(events) => match self.pass_on(events).await {
                    Passed::GoesOn => {}
                    Passed::NobodyReads => return,
                    Passed::Ended => {
                        // Read to its end: a stream that is dropped before counts as reset.
                        let _ = tokio::time::timeout(ENDS_WITHIN, self.steps.message()).await;
                        return;
                    }
                },
                Err(error) => {
                    let _ = self.out.send(Err(error)).await;
                    return;
                }
            }
        }
    }

    fn stop(&mut self) {
        if let Some(steer) = self.steer.take() {
            // There is room: nothing but the start was sent.
            let _ = steer.try_send(v1::RunRequest { step: Some(Steer::Stop(v1::RunStop {})) });
        }
    }

    async fn pass_on(&mut self, events: Vec<RunEvent>) -> Passed {
        for event in events {
            let is_last = matches!(event, RunEvent::Stopped { .. });
            if self.out.send(Ok(event)).await.is_err() {
                return Passed::NobodyReads;
            }
            if is_last {
                return Passed::Ended;
            }
        }
        Passed::GoesOn
    }
}

async fn next(link: &Link, steps: &mut Streaming<v1::RunResponse>) -> Result<v1::RunResponse, BackendError> {
    match tokio::time::timeout(SILENCE, steps.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(link.failed("its node ended the run without a word")),
        Ok(Err(status)) => Err(link.told(&status)),
        Err(_) => Err(link.failed(format!("its node said nothing for {SILENCE:?}"))),
    }
}
