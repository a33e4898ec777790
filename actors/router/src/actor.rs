//! The router's actors: one that admits, and one per request.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};

use futures::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tracing::Instrument;

use crate::bias;
use crate::desk::{Desk, Job, Trouble};
use crate::judge::judge;
use crate::plan::{Cast, Plan};
use crate::policies::Written;
use crate::prompt;
use crate::screen::{AnswerItem, Screen};
use crate::{AnswerEvent, FinishReason, Finished, Ledger, RouterConfig, RouterError, RouterHandle};

/// What the router's actor is told.
pub enum RouterMessage {
    /// Start a request.
    Admit(Box<Admission>),
    /// Use this configuration from now on.
    Reconfigure(Arc<RouterConfig>),
}

/// A request on its way to its actor.
pub struct Admission {
    pub(crate) job: Job,
    pub(crate) plan: Plan,
    pub(crate) events: mpsc::Sender<AnswerItem>,
    pub(crate) last: mpsc::OwnedPermit<AnswerItem>,
    pub(crate) begun: Instant,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Holds the routing table and starts an actor per request; never does a request's work.
/// Its argument is the [`RouterHandle`] that it serves.
pub struct RouterActor;

#[ractor::async_trait]
impl Actor for RouterActor {
    type Msg = RouterMessage;
    type State = RouterHandle;
    type Arguments = RouterHandle;

    async fn pre_start(
        &self,
        myself: ActorRef<RouterMessage>,
        handle: RouterHandle,
    ) -> Result<RouterHandle, ActorProcessingErr> {
        *handle.shared.actor.write().unwrap_or_else(PoisonError::into_inner) = Some(myself);
        Ok(handle)
    }

    async fn handle(
        &self,
        myself: ActorRef<RouterMessage>,
        message: RouterMessage,
        handle: &mut RouterHandle,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RouterMessage::Admit(admission) => {
                // A request that does not start drops its channel, which its reader sees.
                if let Err(error) =
                    RequestActor::spawn_linked(None, RequestActor, admission, myself.get_cell()).await
                {
                    tracing::error!(%error, "a request actor did not start");
                }
            }
            RouterMessage::Reconfigure(config) => {
                handle.shared.config.send_replace(config);
            }
        }
        Ok(())
    }

    /// Requests are temporary: none is restarted, and none takes the router with it.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<RouterMessage>,
        event: SupervisionEvent,
        _: &mut RouterHandle,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(who, error) = event {
            tracing::error!(actor = %who.get_id(), %error, "a request actor failed");
        }
        Ok(())
    }
}

/// Runs one request from beginning to end, then stops.
struct RequestActor;

/// The only thing a request actor is told, by itself.
struct Begin;

#[ractor::async_trait]
impl Actor for RequestActor {
    type Msg = Begin;
    type State = Option<Box<Admission>>;
    type Arguments = Box<Admission>;

    async fn pre_start(
        &self,
        myself: ActorRef<Begin>,
        admission: Box<Admission>,
    ) -> Result<Self::State, ActorProcessingErr> {
        myself.cast(Begin)?;
        Ok(Some(admission))
    }

    /// Waits on channels only: tokens are made on engine threads. Cancellation is a token,
    /// so nothing needs to reach this actor's mailbox meanwhile.
    async fn handle(
        &self,
        myself: ActorRef<Begin>,
        _: Begin,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(admission) = state.take() {
            let span = admission.job.ctx.log_span();
            serve(*admission).instrument(span).await;
        }
        myself.stop(None);
        Ok(())
    }
}

async fn serve(admission: Admission) {
    let Admission { job, plan, events, last, begun, permit } = admission;
    let started = AnswerEvent::Started {
        request_id: job.ctx.request_id.0.clone(),
        policy: plan.name.clone(),
        ladder: plan.cast.rungs.iter().map(|rung| rung.model.clone()).collect(),
    };
    let mut desk = Desk::new(&job, Screen::new(job.ctx.clone(), events, begun));
    // The channel is empty: this cannot wait. A reader that left is noticed by the policy.
    let _ = desk.screen.send(started).await;
    let written = AssertUnwindSafe(answer(&mut desk, &plan)).catch_unwind().await;
    let end = match written {
        Ok(Ok(reason)) => Ok(AnswerEvent::Finished(Box::new(finished(desk, reason, &plan)))),
        Ok(Err(error)) => {
            tracing::info!(request = %job.ctx.request_id, %error, "request failed");
            Err(error)
        }
        Err(panic) => {
            let why = panic_message(panic.as_ref());
            tracing::error!(request = %job.ctx.request_id, why, "policy panicked");
            Err(RouterError::Internal(why.into()))
        }
    };
    last.send(end);
    drop(permit);
}

/// Runs the request's policy. Text and books are complete when it returns.
async fn answer(desk: &mut Desk<'_>, plan: &Plan) -> Result<FinishReason, RouterError> {
    let mut candidate = desk.candidate();
    let written = match desk.job.ctx.bound(async { Ok(bias::check(desk, &plan.cast).await) }).await {
        Ok(Ok(())) => plan.policy.write(desk, &plan.cast, &mut candidate).await,
        Ok(Err(trouble)) => Err(trouble),
        Err(over) => Err(over.into()),
    };
    let trouble = match written {
        Ok(Written::Done(reason)) => match evidence(desk, &plan.cast, &candidate).await {
            Ok(()) => return Ok(reason),
            Err(trouble) => trouble,
        },
        // Nobody was left to take over.
        Ok(Written::Hopeless(_)) => return Ok(FinishReason::Length),
        Err(trouble) => trouble,
    };
    match trouble {
        Trouble::Over(reason) => Ok(reason),
        Trouble::Lost(_) => Ok(FinishReason::Interrupted),
        Trouble::Refused(error) => Err(error),
    }
}

/// What is to be said of the answer that no policy has judged.
async fn evidence(
    desk: &mut Desk<'_>,
    cast: &Cast,
    candidate: &crate::candidate::Candidate,
) -> Result<(), Trouble> {
    let is_judged = desk.books.candidates.iter().any(|(of, _)| *of == candidate.revision());
    if desk.job.request.collect_evidence && desk.books.prompt.is_empty() {
        prompt::evidence(desk).await?;
    }
    if desk.job.request.collect_evidence && !is_judged {
        let model = desk.screen.author().unwrap_or(cast.model(0)).to_owned();
        judge(desk, &model, candidate).await?;
    }
    Ok(())
}

fn finished(desk: Desk<'_>, reason: FinishReason, plan: &Plan) -> Finished {
    let costs = &desk.job.costs;
    let Desk { books, screen, why, .. } = &desk;
    let spans = screen.spans(why);
    let model = match (screen.author(), books.last_asked()) {
        (Some(author), _) => author,
        // Nobody wrote anything.
        (None, Some(asked)) => asked,
        (None, None) => plan.cast.model(0),
    };
    let account = books.find(model);
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let rungs = books.rungs(&spans, screen.begun());
    costs.note(&rungs);
    let shown = screen.owner();
    let candidates = books.candidates.iter().map(|(of, record)| {
        let mut record = record.clone();
        record.chosen = Some(*of) == shown;
        record
    });
    Finished {
        reason,
        model: model.to_owned(),
        policy: plan.name.clone(),
        prompt_tokens: account.map_or(0, |account| account.prompt_tokens as u32),
        completion_tokens: spans.iter().map(|span| span.tokens).sum(),
        cached_prompt_tokens: account.map_or(0, |account| account.spared_prompt_tokens()),
        ttft_ms: ms(screen.first_text()),
        total_ms: ms(screen.elapsed()),
        decode_tok_s: account.map_or(0.0, |account| account.decode_tok_s()),
        numerics: account.map_or(String::new(), |account| account.numerics.clone()),
        ledger: Ledger {
            spans,
            rungs,
            drafted: books.drafts.iter().map(|drafts| drafts.drafted).sum(),
            accepted: books.drafts.iter().map(|drafts| drafts.accepted).sum(),
            forced: books.forced(),
            candidates: candidates.collect(),
            decisions: books.decisions.clone(),
            prompt: books.prompt.clone(),
        },
        text: screen.text().to_owned(),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic without a message")
}
