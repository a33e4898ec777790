//! The router's actors: one that admits, and one per request.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};

use futures::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use crate::answer::{Answer, AnswerItem};
use crate::generate::Job;
use crate::plan::Plan;
use crate::{AnswerEvent, RouterConfig, RouterError, RouterHandle, policies};

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
            serve(*admission).await;
        }
        myself.stop(None);
        Ok(())
    }
}

async fn serve(admission: Admission) {
    let Admission { job, plan, events, last, begun, permit } = admission;
    let started = AnswerEvent::Started {
        request_id: job.ctx.request_id.0.clone(),
        policy: plan.policy.into(),
        ladder: plan.rungs.iter().map(|rung| rung.model.clone()).collect(),
    };
    let mut answer = Answer::new(job.ctx.clone(), events, last, begun);
    // The channel is empty: this cannot wait. A reader that left is noticed by the policy.
    let _ = answer.send(started).await;
    let policy = AssertUnwindSafe(policies::run(&job, &plan, &mut answer)).catch_unwind().await;
    let first_model = plan.rungs.first().map_or("", |rung| rung.model.as_str());
    match policy {
        Ok(Ok(reason)) => answer.finish(reason, plan.policy, first_model),
        Ok(Err(error)) => {
            tracing::info!(request = %job.ctx.request_id, %error, "request failed");
            answer.fail(error);
        }
        Err(panic) => {
            let why = panic_message(panic.as_ref());
            tracing::error!(request = %job.ctx.request_id, why, "policy panicked");
            answer.fail(RouterError::Internal(why.into()));
        }
    }
    drop(permit);
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic without a message")
}
