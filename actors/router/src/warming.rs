//! A model reads a request's prompt before it is asked, beside whoever writes: its keys and values are in the
//! prefix cache then, and what is left to read is what was written since.
//!
//! What that costs is booked with the model, whether it is asked in the end or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use understudy_backend::{OpenRequest, RequestCtx, RunEvent, Slots};
use understudy_engine::verbs::{Cost, RunSpec, SamplerSpec, SignalMode, StopWhen};

use crate::desk::{Desk, Trouble};
use crate::request::Conversation;
use crate::session::prompt_ids;

/// How long a cancelled one may take to say what it cost.
const CANCEL_LIMIT: Duration = Duration::from_millis(250);

/// A prompt being read. Dropped, it is cancelled.
pub(crate) struct Warming {
    model: String,
    task: JoinHandle<Result<Cost, Trouble>>,
    cancel: CancellationToken,
    _guard: DropGuard,
}

impl Warming {
    /// Begins.
    pub(crate) fn start(desk: &Desk<'_>, model: &str) -> Self {
        let job = desk.job;
        let cancel = job.ctx.cancel.child_token();
        let read = read_prompt(
            job.ctx.clone(),
            cancel.clone(),
            job.slots.clone(),
            model.to_owned(),
            job.request.conversation(),
        );
        Self {
            model: model.to_owned(),
            task: tokio::spawn(read),
            _guard: cancel.clone().drop_guard(),
            cancel,
        }
    }

    /// Waits until the prompt is read. A failure is the business of whoever asks the model next.
    pub(crate) async fn finish(self, desk: &mut Desk<'_>) {
        let read = self.task.await;
        if let Ok(Ok(cost)) = read {
            desk.books.account(&self.model).cost += cost;
        }
    }

    /// It is not needed after all.
    pub(crate) async fn cancel(self, desk: &mut Desk<'_>) {
        self.cancel.cancel();
        if let Ok(Ok(Ok(cost))) = tokio::time::timeout(CANCEL_LIMIT, self.task).await {
            desk.books.account(&self.model).cost += cost;
        }
    }
}

/// Reads until the end or until `cancel`; either way the engine says what it cost.
async fn read_prompt(
    listen: RequestCtx,
    cancel: CancellationToken,
    slots: Arc<dyn Slots>,
    model: String,
    conversation: Conversation,
) -> Result<Cost, Trouble> {
    let ctx = RequestCtx { cancel, ..listen.clone() };
    let (progress, _) = tokio::sync::mpsc::channel(1);
    let backend = ctx.bound(slots.backend(&ctx, &model, progress)).await?;
    let prompt = prompt_ids(conversation, backend.codec()).await?;
    let at = prompt.len();
    let request = OpenRequest { prompt, sampler: SamplerSpec::default(), gate: None };
    // Not tied to `cancel`: the sequence has to be there still when the run says what it cost.
    let opened = ctx.bound(backend.open(&listen, request)).await?;
    let spec = RunSpec { max_tokens: 0, stop_when: StopWhen::default(), signals: SignalMode::None };
    let read = async {
        let mut run = backend.run(&ctx, opened.seq, at, spec).await?;
        loop {
            if let RunEvent::Stopped { cost, .. } = run.next(&listen).await? {
                return Ok(cost);
            }
        }
    };
    let read = read.await;
    backend.close(opened.seq);
    read
}
