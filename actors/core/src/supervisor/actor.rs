//! The supervisor as a ractor actor.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::plan::{Action, ChildKind, Exit, Plan, PlanOptions};

/// The error type that actors under a [`Supervisor`] fail with. ractor turns a panic into
/// an untyped error, so anything else counts as a panic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// Why a supervisor itself failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupervisorError {
    /// Its children failed more often than its intensity allows.
    #[error("child {child:?} was restarted more than {restarts} times within {within:?}: {exit}")]
    TooManyRestarts {
        /// The child that broke the limit.
        child: String,
        /// The limit.
        restarts: u32,
        /// Its window.
        within: Duration,
        /// The child's last end.
        exit: String,
    },
}

type Starting = Pin<Box<dyn Future<Output = Result<ActorCell, SpawnErr>> + Send>>;

/// A child: its name, when to restart it, and how to start it.
#[derive(Clone)]
pub struct ChildSpec {
    name: String,
    kind: ChildKind,
    shutdown: Duration,
    start: Arc<dyn Fn(ActorCell) -> Starting + Send + Sync>,
    watcher: Option<Arc<dyn Fn(ChildEvent) + Send + Sync>>,
}

/// What became of a child, for whoever wants to know.
#[derive(Debug, Clone)]
pub enum ChildEvent {
    /// It runs.
    Started(ActorCell),
    /// It ended and will be started again.
    Restarting {
        /// How it ended.
        exit: Exit,
        /// When.
        after: Duration,
    },
    /// It ended too often and stays down until retried.
    GaveUp {
        /// How it ended last.
        exit: Exit,
    },
}

impl ChildSpec {
    /// A child made by `make` at every start. It gets 5 s to stop before it is killed.
    pub fn new<A: Actor>(
        name: impl Into<String>,
        kind: ChildKind,
        make: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Self {
        let start = move |supervisor: ActorCell| -> Starting {
            let (actor, arguments) = make();
            Box::pin(async move {
                let (child, _) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
                Ok(child.get_cell())
            })
        };
        Self {
            name: name.into(),
            kind,
            shutdown: Duration::from_secs(5),
            start: Arc::new(start),
            watcher: None,
        }
    }

    /// Time to stop before it is killed.
    pub fn shutdown_within(mut self, limit: Duration) -> Self {
        self.shutdown = limit;
        self
    }

    /// Calls `watcher` with what becomes of the child. It must not block.
    pub fn watched_by(mut self, watcher: impl Fn(ChildEvent) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Arc::new(watcher));
        self
    }

    fn tell(&self, event: ChildEvent) {
        if let Some(watcher) = &self.watcher {
            watcher(event);
        }
    }
}

/// The supervisor actor.
pub struct Supervisor;

/// What a supervisor starts with.
pub struct SupervisorArgs {
    /// Its rules.
    pub options: PlanOptions,
    /// Its children, in start order.
    pub children: Vec<ChildSpec>,
}

/// Requests to a supervisor.
pub enum SupervisorMsg {
    /// Add a child at the end of the order and start it. Answers `false` if the name is taken.
    Add(ChildSpec, oneshot::Sender<bool>),
    /// Stop a child and forget it.
    Remove(String, oneshot::Sender<()>),
    /// Forgive a child its failures and start it now.
    Retry(String),
    /// Names of running children, in start order.
    Running(oneshot::Sender<Vec<(String, ActorCell)>>),
    /// A wait is over (sent by the supervisor to itself).
    Due(u64),
}

/// A supervisor's own state.
pub struct SupervisorState {
    plan: Plan,
    options: PlanOptions,
    specs: HashMap<String, ChildSpec>,
    running: HashMap<String, ActorCell>,
    born: Instant,
}

#[async_trait]
impl Actor for Supervisor {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMsg>,
        args: SupervisorArgs,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let mut state = SupervisorState {
            plan: Plan::new(args.options),
            options: args.options,
            specs: HashMap::new(),
            running: HashMap::new(),
            born: Instant::now(),
        };
        for spec in args.children {
            if let Some(name) = state.register(spec) {
                state.start(&myself, &name).await?;
            }
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMsg::Add(spec, reply) => {
                let added = state.register(spec);
                if let Some(name) = &added {
                    state.start(&myself, name).await?;
                }
                // Whoever stopped waiting needs no answer, here and below.
                let _ = reply.send(added.is_some());
            }
            SupervisorMsg::Remove(name, reply) => {
                state.stop(&name).await;
                state.plan.remove(&name);
                state.specs.remove(&name);
                let _ = reply.send(());
            }
            SupervisorMsg::Retry(name) => {
                let actions = state.plan.retry(&name);
                state.carry_out(&myself, actions, &Exit::Normal).await?;
            }
            SupervisorMsg::Running(reply) => {
                let order = state.plan.order().into_iter();
                let running =
                    order.filter_map(|name| state.running.get(&name).cloned().map(|cell| (name, cell)));
                let _ = reply.send(running.collect());
            }
            SupervisorMsg::Due(ticket) => {
                // A start that fails makes a new batch, which takes the rest of this one along
                // where the strategy says so; hence ask again before each start.
                for name in state.plan.due(ticket) {
                    if state.plan.due(ticket).contains(&name) {
                        state.start(&myself, &name).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (id, exit) = match event {
            SupervisionEvent::ActorTerminated(child, _, reason) => match reason.as_deref() {
                Some("killed") => (child.get_id(), Exit::Killed),
                _ => (child.get_id(), Exit::Normal),
            },
            SupervisionEvent::ActorFailed(child, error) => (child.get_id(), exit_of(&error)),
            _ => return Ok(()),
        };
        match state.name_of(id) {
            Some(name) => {
                state.running.remove(&name);
                state.exited(&myself, &name, exit).await
            }
            // Stopped by ourselves.
            None => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<SupervisorMsg>,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        state.stop_all().await;
        Ok(())
    }
}

fn exit_of(error: &ActorProcessingErr) -> Exit {
    let is_typed = error.is::<Failure>() || error.is::<SupervisorError>();
    if is_typed { Exit::Failed(error.to_string()) } else { Exit::Panicked(error.to_string()) }
}

impl SupervisorState {
    fn register(&mut self, spec: ChildSpec) -> Option<String> {
        let name = spec.name.clone();
        self.plan.add(&name, spec.kind).then(|| {
            self.specs.insert(name.clone(), spec);
            name
        })
    }

    fn name_of(&self, id: ActorId) -> Option<String> {
        self.running.iter().find(|(_, cell)| cell.get_id() == id).map(|(name, _)| name.clone())
    }

    async fn start(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        name: &str,
    ) -> Result<(), ActorProcessingErr> {
        let Some(spec) = self.specs.get(name).cloned() else { return Ok(()) };
        match (spec.start)(myself.get_cell()).await {
            Ok(cell) => {
                tracing::debug!(child = name, "child started");
                self.running.insert(name.into(), cell.clone());
                self.plan.started(name, self.born.elapsed());
                spec.tell(ChildEvent::Started(cell));
                Ok(())
            }
            Err(error) => self.exited(myself, name, Exit::StartFailed(error.to_string())).await,
        }
    }

    async fn exited(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        name: &str,
        exit: Exit,
    ) -> Result<(), ActorProcessingErr> {
        let actions = self.plan.exited(name, &exit, self.born.elapsed());
        let spec = self.specs.get(name).cloned();
        let restart = actions.iter().find_map(|action| match action {
            Action::StartLater { after, .. } => Some(*after),
            _ => None,
        });
        if let (Some(spec), Some(after)) = (&spec, restart) {
            tracing::warn!(child = name, %exit, ?after, "child ended, restarting");
            spec.tell(ChildEvent::Restarting { exit: exit.clone(), after });
        }
        self.carry_out(myself, actions, &exit).await
    }

    async fn carry_out(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        actions: Vec<Action>,
        exit: &Exit,
    ) -> Result<(), ActorProcessingErr> {
        for action in actions {
            match action {
                Action::Stop(name) => self.stop(&name).await,
                Action::StartLater { ticket, after } => {
                    let myself = myself.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(after).await;
                        // A supervisor that is gone starts nobody.
                        let _ = myself.send_message(SupervisorMsg::Due(ticket));
                    });
                }
                Action::Forget(name) => {
                    self.specs.remove(&name);
                }
                Action::GiveUp(name) => {
                    tracing::error!(child = name, %exit, "child failed too often, giving up");
                    if let Some(spec) = self.specs.get(&name) {
                        spec.tell(ChildEvent::GaveUp { exit: exit.clone() });
                    }
                }
                Action::Escalate(child) => {
                    tracing::error!(child, %exit, "child failed too often, supervisor fails");
                    self.stop_all().await;
                    let intensity = self.options.intensity;
                    return Err(SupervisorError::TooManyRestarts {
                        child,
                        restarts: intensity.restarts,
                        within: intensity.within,
                        exit: exit.to_string(),
                    }
                    .into());
                }
            }
        }
        Ok(())
    }

    async fn stop_all(&mut self) {
        for name in self.plan.order().iter().rev() {
            self.stop(name).await;
        }
    }

    /// Stops a child: politely, then by force. Its exit event finds no name and is ignored.
    async fn stop(&mut self, name: &str) {
        let Some(cell) = self.running.remove(name) else { return };
        let limit = self.specs.get(name).map_or(Duration::ZERO, |spec| spec.shutdown);
        if cell.stop_and_wait(None, Some(limit)).await.is_err() {
            tracing::warn!(child = name, ?limit, "child did not stop in time, killing it");
            cell.kill();
        }
    }
}
