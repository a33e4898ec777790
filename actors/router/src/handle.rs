//! The way in and out of the router.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use ractor::{Actor, ActorRef};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_util::sync::DropGuard;
use understudy_actors::Constraints;
use understudy_backend::{RequestCtx, Slots};

use crate::actor::{Admission, RouterActor, RouterMessage};
use crate::costs::Costs;
use crate::desk::Job;
use crate::drafters::Records;
use crate::plan::Plan;
use crate::screen::AnswerItem;
use crate::{AnswerEvent, AnswerRequest, Finished, RouterConfig, RouterError};

/// Events of one answer that may wait for its reader. When they are this many, the request
/// waits too, and behind it the engine parks the run. The end has room of its own.
pub const ANSWER_CHANNEL_CAPACITY: usize = 64;

/// Asks the router. Cheap to clone; survives a restart of the [`RouterActor`], which puts
/// itself back behind it.
#[derive(Clone)]
pub struct RouterHandle {
    pub(crate) shared: Arc<Shared>,
}

/// What handle and actor share.
pub(crate) struct Shared {
    pub(crate) config: watch::Sender<Arc<RouterConfig>>,
    pub(crate) actor: RwLock<Option<ActorRef<RouterMessage>>>,
    slots: Arc<dyn Slots>,
    constraints: Arc<Constraints>,
    records: Arc<Records>,
    costs: Arc<Costs>,
    /// One permit per running request: travels in the admission and frees on drop. Bounds
    /// the actor's mailbox, which itself has no bound.
    requests: Arc<Semaphore>,
    max_requests: usize,
}

impl RouterHandle {
    /// A handle with no actor behind it yet: spawn [`RouterActor`] with a clone of it,
    /// under a supervisor. Until then requests fail with [`RouterError::NotRunning`].
    ///
    /// # Errors
    /// [`RouterError::Invalid`] when the configuration is.
    pub fn new(config: RouterConfig, slots: Arc<dyn Slots>) -> Result<Self, RouterError> {
        Self::sharing(config, slots, Arc::default())
    }

    /// The same with a store of constraints that others use too.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn sharing(
        config: RouterConfig,
        slots: Arc<dyn Slots>,
        constraints: Arc<Constraints>,
    ) -> Result<Self, RouterError> {
        config.check()?;
        let max_requests = config.max_requests.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            shared: Arc::new(Shared {
                config: watch::Sender::new(Arc::new(config)),
                actor: RwLock::new(None),
                slots,
                constraints,
                records: Arc::default(),
                costs: Arc::default(),
                requests: Arc::new(Semaphore::new(max_requests)),
                max_requests,
            }),
        })
    }

    /// A router without a supervisor, for tools and tests. It stops with
    /// [`stop`](Self::stop) or with the runtime.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`RouterError::NotRunning`] when the actor does not start.
    pub async fn spawn(config: RouterConfig, slots: Arc<dyn Slots>) -> Result<Self, RouterError> {
        let handle = Self::new(config, slots)?;
        let started: Result<(_, JoinHandle<()>), _> = Actor::spawn(None, RouterActor, handle.clone()).await;
        started.map_err(|error| RouterError::Internal(error.to_string()))?;
        Ok(handle)
    }

    /// Starts an answer. Returns at once; the work is done by an actor of its own.
    /// Dropping the stream cancels it, and so does `ctx.cancel`.
    ///
    /// # Errors
    /// [`RouterError::Invalid`], [`RouterError::Overloaded`] or [`RouterError::NotRunning`];
    /// nothing was done then.
    pub fn answer(&self, ctx: RequestCtx, request: AnswerRequest) -> Result<AnswerStream, RouterError> {
        let shared = &self.shared;
        let config = shared.config.borrow().clone();
        let plan = Plan::of(&request, &config)?;
        let overloaded = |_| RouterError::Overloaded { limit: shared.max_requests };
        let permit = shared.requests.clone().try_acquire_owned().map_err(overloaded)?;

        let (sender, events) = mpsc::channel(ANSWER_CHANNEL_CAPACITY + 1);
        let last = sender.clone().try_reserve_owned().map_err(|_| RouterError::NotRunning)?;
        let affinity = ctx.affinity.or_else(|| Some(beginning(&request)));
        let ctx = RequestCtx { cancel: ctx.cancel.child_token(), affinity, ..ctx };
        let cancel = ctx.cancel.clone().drop_guard();
        let (slots, constraints) = (shared.slots.clone(), shared.constraints.clone());
        let (records, costs) = (shared.records.clone(), shared.costs.clone());
        let job = Job { ctx, request, config, slots, constraints, records, costs };
        let admission = Admission { job, plan, events: sender, last, begun: Instant::now(), permit };
        let actor = shared
            .actor
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(RouterError::NotRunning)?;
        let message = RouterMessage::Admit(Box::new(admission));
        actor.cast(message).map_err(|_| RouterError::NotRunning)?;
        Ok(AnswerStream { events, ended: false, _cancel: cancel })
    }

    /// Replaces ladder, thresholds and limits for requests that come later.
    /// `max_requests` stays as it was at the start.
    ///
    /// # Errors
    /// [`RouterError::Invalid`] or [`RouterError::NotRunning`]; nothing changed then.
    pub fn reconfigure(&self, config: RouterConfig) -> Result<(), RouterError> {
        config.check()?;
        let actor = self.shared.actor.read().unwrap_or_else(PoisonError::into_inner).clone();
        let message = RouterMessage::Reconfigure(Arc::new(config));
        actor.ok_or(RouterError::NotRunning)?.cast(message).map_err(|_| RouterError::NotRunning)
    }

    /// The configuration now, and its changes.
    pub fn config(&self) -> watch::Receiver<Arc<RouterConfig>> {
        self.shared.config.subscribe()
    }

    /// Requests running now.
    pub fn running(&self) -> usize {
        self.shared.max_requests - self.shared.requests.available_permits()
    }

    /// Stops the actor; requests in progress end with [`RouterError::NotRunning`].
    pub fn stop(&self) {
        let actor = self.shared.actor.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(actor) = actor {
            actor.stop(None);
        }
    }
}

/// The same for all turns of a conversation, and for questions that begin as it did.
fn beginning(request: &AnswerRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    let first = request.messages.iter().position(|message| message.role == "user").unwrap_or(0);
    request.messages.iter().take(first + 1).for_each(|message| message.content.hash(&mut hasher));
    hasher.finish()
}

/// The events of one answer. Dropping it cancels the request.
///
/// Ends after [`crate::AnswerEvent::Finished`] or after an error, whichever comes.
#[derive(Debug)]
pub struct AnswerStream {
    events: mpsc::Receiver<AnswerItem>,
    ended: bool,
    _cancel: DropGuard,
}

impl AnswerStream {
    /// The next event; `None` after the end.
    pub async fn next(&mut self) -> Option<AnswerItem> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Cancels the request and reads on to its end, which says what it took; `None` where it failed, or has ended.
    pub async fn abandon(self) -> Option<Box<Finished>> {
        let Self { mut events, _cancel: cancel, .. } = self;
        drop(cancel);
        while let Some(event) = events.recv().await {
            if let Ok(AnswerEvent::Finished(end)) = event {
                return Some(end);
            }
        }
        None
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<AnswerItem>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.events.poll_recv(cx).map(|event| {
            // A request actor that is killed with its router cannot say goodbye.
            let event = event.unwrap_or(Err(RouterError::NotRunning));
            self.ended = matches!(event, Ok(AnswerEvent::Finished(_)) | Err(_));
            Some(event)
        })
    }
}

impl Stream for AnswerStream {
    type Item = AnswerItem;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}
