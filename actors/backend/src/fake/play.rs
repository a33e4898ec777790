//! A run of the fake, played in its own task.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use understudy_engine::verbs::{RunSpec, SeqKey, StopReason};

use super::sequences::Next;
use super::{FakeBackend, Fault};
use crate::{BackendError, RequestCtx, RunEvent};

impl FakeBackend {
    /// Plays a run until it stops, breaks, or nobody reads.
    pub(super) async fn play(
        self,
        ctx: RequestCtx,
        key: SeqKey,
        spec: RunSpec,
        closed: CancellationToken,
        events: mpsc::Sender<Result<RunEvent, BackendError>>,
    ) {
        let (mut rows, mut delay) = (0, self.first_delay(key));
        let ended = loop {
            tokio::select! {
                biased;
                () = ctx.cancel.cancelled() => break Ok(StopReason::Cancelled),
                () = closed.cancelled() => break Err(self.lost("the engine was replaced")),
                () = events.closed() => break Ok(StopReason::Cancelled),
                () = tokio::time::sleep(delay) => {}
            }
            if rows == u64::from(spec.max_tokens) {
                break Ok(StopReason::Length);
            }
            let step = self.lock().step(key, &spec);
            match step {
                Ok(Next::Token(step)) => {
                    rows += 1;
                    delay = self.token_delay(key);
                    if events.send(Ok(RunEvent::Step(step))).await.is_err() {
                        break Ok(StopReason::Cancelled);
                    }
                }
                Ok(Next::Stop(reason)) => break Ok(reason),
                Ok(Next::Fault(Fault::Error(error))) | Err(error) => break Err(error.into()),
                Ok(Next::Fault(Fault::Lost(why))) => {
                    self.lock().lose();
                    break Err(self.lost(why));
                }
                Ok(Next::Fault(Fault::Hang)) => {
                    tokio::select! {
                        () = events.closed() => {}
                        () = closed.cancelled() => {}
                    }
                    break Err(self.lost("it hung"));
                }
            }
        };
        let (len, prefill) = self.release(key);
        let cost = self.cost(prefill, rows);
        let last = ended.map(|reason| RunEvent::Stopped { reason, len, cost });
        // A reader that left needs no ending.
        let _ = events.send(last).await;
    }

    /// The run is over: length of the sequence (0 when it is gone) and prompt rows to pay.
    fn release(&self, key: SeqKey) -> (usize, u64) {
        self.lock().get(key).map_or((0, 0), |sequence| {
            sequence.busy = false;
            (sequence.tokens.len(), std::mem::take(&mut sequence.unpaid_rows))
        })
    }

    fn first_delay(&self, key: SeqKey) -> Duration {
        self.lock().delays(key).map_or(Duration::ZERO, |(first, each)| first + each)
    }

    pub(super) fn token_delay(&self, key: SeqKey) -> Duration {
        self.lock().delays(key).map_or(Duration::ZERO, |(_, each)| each)
    }
}
