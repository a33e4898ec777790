//! The `Models` service: what is there, what is loaded, and every change of it.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::stream::{Stream, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use understudy_backend::{Backend, BackendError, LoadEvent, RequestCtx};
use understudy_engine::tick::EngineStats;
use understudy_proto::v1::{
    self, ListModelsRequest, ListModelsResponse, LoadModelRequest, ModelStatus, UnloadModelRequest,
    WatchModelsRequest,
};

use crate::{Admission, Failure, admission::Place, call, watching};

/// Progress of a load waits here for its reader. Full: progress is skipped (it is
/// informative only), the end waits.
const LOAD_CHANNEL_CAPACITY: usize = 32;

/// The models of a node, as the service needs them.
#[async_trait]
pub trait ModelControl: Send + Sync + 'static {
    /// Loaded models and the rest of the catalogue, in a stable order.
    fn list(&self) -> Vec<ModelStatus>;

    /// Changes whenever some status of [`list`](Self::list) does.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Counters of the engines that run, by model.
    fn engines(&self) -> Vec<(String, EngineStats)> {
        Vec::new()
    }

    /// Makes a model ready, also one that failed too often to be tried again by itself.
    /// What does not fit into `progress` is skipped.
    async fn load(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError>;

    /// Drains and unloads a model; answers its status afterwards.
    async fn unload(&self, ctx: &RequestCtx, model: &str) -> Result<ModelStatus, Failure>;
}

/// Lists, loads, unloads and watches models. Cheap to clone.
#[derive(Clone)]
pub struct Models {
    control: Arc<dyn ModelControl>,
    admission: Admission,
    watchers: Admission,
    longest_call: Duration,
}

impl Models {
    /// Loads and unloads count as requests of `admission`; watchers have places of their
    /// own, so that dashboards cannot keep requests out.
    pub fn new(
        control: Arc<dyn ModelControl>,
        admission: Admission,
        watchers: Admission,
        longest_call: Duration,
    ) -> Self {
        Self { control, admission, watchers, longest_call }
    }

    /// Every model of the catalogue and every loaded slot.
    pub fn list(&self) -> Vec<ModelStatus> {
        self.control.list()
    }

    /// Loads a model; the last status is `ready`. Dropping the stream gives up waiting.
    ///
    /// # Errors
    /// `OVERLOADED`, `DRAINING`. Why it cannot be loaded arrives in the stream.
    pub fn load(
        &self,
        ctx: RequestCtx,
        model: String,
    ) -> Result<ReceiverStream<Result<ModelStatus, Failure>>, Failure> {
        let place = self.admission.visit(&ctx)?;
        let (statuses, receiver) = mpsc::channel(LOAD_CHANNEL_CAPACITY);
        tokio::spawn(self.clone().follow_load(ctx, model, statuses, place));
        Ok(ReceiverStream::new(receiver))
    }

    async fn follow_load(
        self,
        ctx: RequestCtx,
        model: String,
        statuses: mpsc::Sender<Result<ModelStatus, Failure>>,
        _place: Place,
    ) {
        let (progress, mut events) = mpsc::channel(LOAD_CHANNEL_CAPACITY);
        let mut load = std::pin::pin!(ctx.bound(self.control.load(&ctx, &model, progress)));
        let last = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => {
                    // Informative: skipped when the reader is slow.
                    let _ = statuses.try_send(Ok(progress_status(event)));
                }
                loaded = &mut load => break loaded,
                () = statuses.closed() => return,
            }
        };
        let last = last.map(|backend| {
            let card = backend.card();
            self.listed(&card.name).unwrap_or_else(|| ModelStatus {
                model: card.name.clone(),
                state: "ready".into(),
                numerics: card.numerics.clone(),
                context: u32::try_from(card.context).unwrap_or(u32::MAX),
                ..Default::default()
            })
        });
        tokio::select! {
            // A reader that left needs no ending.
            _ = statuses.send(last.map_err(Failure::from)) => {}
            () = ctx.cancel.cancelled() => {}
        }
    }

    fn context<T>(&self, request: &Request<T>, longest: Duration) -> Result<RequestCtx, Failure> {
        call::of(&self.admission, request, "", longest)
    }

    fn listed(&self, model: &str) -> Option<ModelStatus> {
        self.control.list().into_iter().find(|status| status.model == model)
    }

    /// Drains and unloads a model.
    ///
    /// # Errors
    /// `MODEL_UNKNOWN`, `DEADLINE`, `OVERLOADED`, `DRAINING`.
    pub async fn unload(&self, ctx: RequestCtx, model: &str) -> Result<ModelStatus, Failure> {
        let _place = self.admission.visit(&ctx)?;
        let control = &self.control;
        ctx.bound(async { Ok(control.unload(&ctx, model).await) }).await?
    }

    /// The present status of every model, then every change until the deadline or the
    /// node's end.
    ///
    /// # Errors
    /// `OVERLOADED`, `DRAINING`.
    pub fn watch(
        &self,
        ctx: RequestCtx,
    ) -> Result<impl Stream<Item = Result<ModelStatus, Failure>> + Send + 'static, Failure> {
        let place = self.watchers.visit(&ctx)?;
        let control = self.control.clone();
        let list = move |_: &u64| control.list();
        Ok(watching::changes(self.control.changes(), list, |status| &status.model, |_| None, ctx, place))
    }
}

fn progress_status(event: LoadEvent) -> ModelStatus {
    match event {
        LoadEvent::Fetching { model, source, done, total } => ModelStatus {
            model,
            state: "fetching".into(),
            detail: format!("from {source}"),
            done_bytes: done,
            bytes: total,
            ..Default::default()
        },
        LoadEvent::Loading { model } => ModelStatus { model, state: "loading".into(), ..Default::default() },
    }
}

type StatusStream = Pin<Box<dyn Stream<Item = Result<ModelStatus, Status>> + Send>>;

#[tonic::async_trait]
impl v1::models_server::Models for Models {
    type LoadStream = StatusStream;
    type WatchStream = StatusStream;

    async fn list(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        self.context(&request, self.longest_call)?;
        Ok(Response::new(ListModelsResponse { models: Models::list(self) }))
    }

    async fn load(&self, request: Request<LoadModelRequest>) -> Result<Response<StatusStream>, Status> {
        let ctx = self.context(&request, self.longest_call)?;
        let statuses = Models::load(self, ctx, request.into_inner().model)?;
        Ok(Response::new(statuses.map(|status| status.map_err(Status::from)).boxed()))
    }

    async fn unload(&self, request: Request<UnloadModelRequest>) -> Result<Response<ModelStatus>, Status> {
        let ctx = self.context(&request, self.longest_call)?;
        Ok(Response::new(Models::unload(self, ctx, &request.into_inner().model).await?))
    }

    async fn watch(&self, request: Request<WatchModelsRequest>) -> Result<Response<StatusStream>, Status> {
        let ctx = self.context(&request, watching::LONGEST)?;
        let statuses = Models::watch(self, ctx)?;
        Ok(Response::new(statuses.map(|status| status.map_err(Status::from)).boxed()))
    }
}
