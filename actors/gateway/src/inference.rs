//! The `Inference` service: the same answers over gRPC and inside this process.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::http::HeaderMap;
use futures::stream::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataValue};
use understudy_backend::{Backend, BackendError, RequestCtx, Slots};
use understudy_cluster::Cluster;
use understudy_engine::{
    codec::{Codec, CodecError},
    verbs::TokenId,
};
use understudy_ledger::LedgerHandle;
use understudy_proto::{
    names,
    v1::{
        self, EmbedRequest, EmbedResponse, FeedbackRequest, FeedbackResponse, GenerateCommand, GenerateEvent,
        GenerateRequest, ResumeRequest, ScoreRequest, ScoreResponse, TokenizeRequest, TokenizeResponse,
    },
};
use understudy_router::{PolicySpec, RouterHandle};
use understudy_telemetry::{Observation, Operation, Telemetry};

use crate::{
    Admission, Answer, Caller, Failure,
    answer::Telling,
    bidi, call, codes,
    meter::Metered,
    notes::Note,
    partials::Partials,
    resume::{Beginning, course::Course},
    score::{self, ScoreWork},
    tools::Callable,
    wire::{self, invalid},
};

/// What a node answers with. Cheap to clone.
#[derive(Clone)]
pub struct Inference {
    router: RouterHandle,
    slots: Arc<dyn Slots>,
    admission: Admission,
    defaults: Defaults,
    ledger: Option<LedgerHandle>,
    /// Where requests are noted, so that others can answer them.
    cluster: Option<Cluster>,
    telemetry: Telemetry,
}

/// Bytes of the name of who gives feedback.
const LONGEST_SOURCE: usize = 64;

/// What a request gets that names nothing else.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// Model of `Embed`, `Score` and `Tokenize`.
    pub model: String,
    /// Tokens of an answer.
    pub max_tokens: u32,
    /// The longest deadline, and the deadline of a call that names none.
    pub deadline: Duration,
}

impl Inference {
    /// Answers through `router`; the other verbs go to `slots` directly.
    pub fn new(
        router: RouterHandle,
        slots: Arc<dyn Slots>,
        admission: Admission,
        defaults: Defaults,
        telemetry: Telemetry,
    ) -> Self {
        Self { router, slots, admission, defaults, ledger: None, cluster: None, telemetry }
    }

    /// The same service, which keeps a ledger.
    pub fn with_ledger(self, ledger: LedgerHandle) -> Self {
        Self { ledger: Some(ledger), ..self }
    }

    /// The same service, whose callers can go on at other nodes.
    pub(crate) fn with_cluster(self, cluster: Cluster) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    /// The context of a call over HTTP: its id, its deadline, whose it is.
    ///
    /// # Errors
    /// `REQUEST_INVALID` for a malformed id or deadline, `PROTOCOL_TOO_NEW`.
    pub fn context(&self, headers: &HeaderMap, caller: &Caller) -> Result<RequestCtx, Failure> {
        self.admission.meet(caller);
        call::context(headers, caller, "", self.defaults.deadline)
    }

    /// The policy that a request names, or gets.
    ///
    /// # Errors
    /// `POLICY_UNKNOWN`, `REQUEST_INVALID`.
    pub fn policy(request: &GenerateRequest) -> Result<PolicySpec, Failure> {
        wire::policy(request)
    }

    /// One answer, once there is a place for it. Dropping the future gives the wait up.
    ///
    /// # Errors
    /// Whatever is wrong with the request, `OVERLOADED`, `TENANT_LIMIT`, `DRAINING`, `DEADLINE` while it waited. Errors that
    /// come up later arrive in the answer.
    pub async fn generate(&self, ctx: RequestCtx, request: GenerateRequest) -> Result<Answer, Failure> {
        self.generate_from(ctx, request, Beginning::default()).await
    }

    /// One answer, for somebody who has its beginning.
    pub(crate) async fn generate_from(
        &self,
        mut ctx: RequestCtx,
        request: GenerateRequest,
        beginning: Beginning,
    ) -> Result<Answer, Failure> {
        ctx.priority = ctx.priority.max(wire::priority(&request));
        let admitted = self.admit(ctx, request, beginning).await;
        admitted.inspect_err(|failure| self.telemetry.refused(failure.code.name))
    }

    async fn admit(
        &self,
        mut ctx: RequestCtx,
        mut request: GenerateRequest,
        beginning: Beginning,
    ) -> Result<Answer, Failure> {
        let waiting = self.telemetry.waiting(ctx.priority);
        // Before anything is parsed: a refusal has to be cheap.
        let place = self.admission.enter(&ctx).await?;
        drop(waiting);
        let partials = request.stream_partial.then(Partials::default);
        // Another node may have another default.
        request.max_tokens.get_or_insert(self.defaults.max_tokens);
        let noted = self.cluster.as_ref().and_then(|cluster| cluster.note(&ctx, &request));
        let mut request = wire::answer_request(request, self.defaults.max_tokens)?;
        // What nobody asks for now is what a calibration will ask for.
        request.collect_evidence |= self.ledger.is_some();
        let callable = Callable::of(&ctx.request_id.0, request.constraint.as_ref());
        let note = self.ledger.as_ref().map(|ledger| Box::new(Note::begin(ledger, &ctx, &request)));
        let mut observation = Box::new(self.telemetry.answering(&mut ctx, &request, place.waited()));
        let tenant = ctx.tenant.clone();
        let events = self.router.answer(ctx, request).map_err(|error| {
            let failure = Failure::from(error);
            observation.fail(failure.code.name);
            failure
        })?;
        let events = Metered::new(events, self.admission.clone(), tenant);
        let course = Course::new(beginning, noted);
        Ok(Answer::new(Telling::new(events, note, observation, partials, callable, course), place))
    }

    /// A text as a vector. Afterwards `ctx` names the call's span.
    ///
    /// # Errors
    /// `PROMPT_EMPTY`, `CONTEXT_OVERFLOW`, or why the model is not there.
    pub async fn embed(&self, ctx: &mut RequestCtx, request: EmbedRequest) -> Result<EmbedResponse, Failure> {
        let observation = self.telemetry.calling(ctx, Operation::Embeddings, self.named(&request.model));
        served(observation, self.embedded(ctx, request).await)
    }

    async fn embedded(
        &self,
        ctx: &RequestCtx,
        request: EmbedRequest,
    ) -> Result<Served<EmbedResponse>, Failure> {
        let _place = self.admission.enter(ctx).await?;
        if request.text.is_empty() {
            return Err(Failure::new(codes::PROMPT_EMPTY, "the text is empty").with_field("text", "is empty"));
        }
        let backend = self.backend(ctx, &request.model).await?;
        let ids = encoded(ctx, backend.codec(), move |codec| codec.encode_text(&request.text)).await?;
        let tokens = self.charged(ctx, ids.len());
        let (values, _) = ctx.bound(backend.embed(ctx, ids)).await?;
        let model = backend.card().name.clone();
        Ok(Served { model: model.clone(), tokens, answer: EmbedResponse { model, values, tokens } })
    }

    /// Log-probabilities of candidate answers, or of a text as it stands. Any length that the
    /// context holds. Afterwards `ctx` names the call's span.
    ///
    /// # Errors
    /// `PROMPT_EMPTY`, `REQUEST_INVALID`, `CONTEXT_OVERFLOW`, or why the model is not there.
    pub async fn score(&self, ctx: &mut RequestCtx, request: ScoreRequest) -> Result<ScoreResponse, Failure> {
        let observation = self.telemetry.calling(ctx, Operation::Score, self.named(&request.model));
        served(observation, self.scored(ctx, request).await)
    }

    async fn scored(
        &self,
        ctx: &RequestCtx,
        request: ScoreRequest,
    ) -> Result<Served<ScoreResponse>, Failure> {
        let _place = self.admission.enter(ctx).await?;
        let work = ScoreWork::of(request.messages, request.candidates, request.ids)?;
        let backend = self.backend(ctx, &request.model).await?;
        let (prompt, candidates) = encoded(ctx, backend.codec(), move |codec| work.tokens(codec)).await?;
        score::check(backend.codec().as_ref(), backend.card().context, &prompt, &candidates)?;
        let lengths: Vec<u32> = candidates.iter().map(|ids| count(ids.len())).collect();
        let read = self.charged(ctx, prompt.len() + candidates.iter().map(Vec::len).sum::<usize>());
        let logprobs = score::logprobs(ctx, backend.as_ref(), prompt, candidates).await?;
        let model = backend.card().name.clone();
        let answer = ScoreResponse { model: model.clone(), logprobs, tokens: lengths };
        Ok(Served { model, tokens: read, answer })
    }

    /// A text as token ids. No model reads them, so they cost nothing. Afterwards `ctx` names the call's span.
    ///
    /// # Errors
    /// Why the model is not there.
    pub async fn tokenize(
        &self,
        ctx: &mut RequestCtx,
        request: TokenizeRequest,
    ) -> Result<TokenizeResponse, Failure> {
        let observation = self.telemetry.calling(ctx, Operation::Tokenize, self.named(&request.model));
        served(observation, self.tokenized(ctx, request).await)
    }

    async fn tokenized(
        &self,
        ctx: &RequestCtx,
        request: TokenizeRequest,
    ) -> Result<Served<TokenizeResponse>, Failure> {
        let _place = self.admission.visit(ctx)?;
        let backend = self.backend(ctx, &request.model).await?;
        let ids: Vec<TokenId> =
            encoded(ctx, backend.codec(), move |codec| codec.encode_text(&request.text)).await?;
        Ok(Served { model: backend.card().name.clone(), tokens: 0, answer: TokenizeResponse { ids } })
    }

    /// Notes whether an answer was right.
    ///
    /// # Errors
    /// `REQUEST_INVALID`, `LEDGER_UNAVAILABLE`, `OVERLOADED`.
    pub async fn feedback(
        &self,
        ctx: RequestCtx,
        request: FeedbackRequest,
    ) -> Result<FeedbackResponse, Failure> {
        let _place = self.admission.visit(&ctx)?;
        if !(1..=LONGEST_SOURCE).contains(&request.source.len()) {
            return Err(invalid("source", "must have 1 to 64 bytes"));
        }
        let Some(ledger) = &self.ledger else {
            return Err(Failure::new(codes::LEDGER_UNAVAILABLE, "this node keeps no ledger"));
        };
        let noted = ledger.feedback(&request.request_id, request.ok, &request.source);
        let known = ctx.bound(async { Ok::<_, BackendError>(noted.await) }).await??;
        Ok(FeedbackResponse { known })
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    fn call<T>(&self, request: &Request<T>, named: &str) -> Result<RequestCtx, Failure> {
        call::of(&self.admission, request, named, self.defaults.deadline)
    }

    /// The model that a request means.
    fn named<'a>(&'a self, model: &'a str) -> &'a str {
        if model.is_empty() { &self.defaults.model } else { model }
    }

    /// Charges the tokens that a model is about to read, whatever becomes of the call.
    fn charged(&self, ctx: &RequestCtx, tokens: usize) -> u32 {
        let tokens = count(tokens);
        self.admission.charge(&ctx.tenant, tokens.into());
        tokens
    }

    async fn backend(&self, ctx: &RequestCtx, model: &str) -> Result<Arc<dyn Backend>, Failure> {
        let model = self.named(model);
        if model.is_empty() {
            return Err(invalid("model", "is empty, and this node has no ladder"));
        }
        // Nobody is shown the progress: a unary call has one answer.
        let (progress, _) = mpsc::channel(1);
        Ok(ctx.bound(self.slots.backend(ctx, model, progress)).await?)
    }
}

/// What came of a call with a single answer.
struct Served<T> {
    /// Who answered.
    model: String,
    /// How many tokens it has read.
    tokens: u32,
    answer: T,
}

fn served<T>(mut observation: Observation, outcome: Result<Served<T>, Failure>) -> Result<T, Failure> {
    match outcome {
        Ok(Served { model, tokens, answer }) => {
            observation.served(&model, tokens);
            Ok(answer)
        }
        Err(failure) => {
            observation.fail(failure.code.name);
            Err(failure)
        }
    }
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// Runs a tokenizer off the async threads: a text of megabytes takes it a while.
async fn encoded<T: Send + 'static>(
    ctx: &RequestCtx,
    codec: Arc<dyn Codec>,
    work: impl FnOnce(&dyn Codec) -> Result<T, CodecError> + Send + 'static,
) -> Result<T, Failure> {
    let job = tokio::task::spawn_blocking(move || work(codec.as_ref()));
    let finished = ctx.bound(async { Ok::<_, BackendError>(job.await) }).await?;
    let encoded =
        finished.map_err(|error| Failure::new(codes::INTERNAL, format!("the tokenizer failed: {error}")))?;
    Ok(encoded?)
}

/// A response whose metadata name its span.
fn traced<T>(traceparent: Option<&str>, message: T) -> Response<T> {
    let mut response = Response::new(message);
    if let Some(traceparent) = traceparent.and_then(|header| header.parse().ok()) {
        response.metadata_mut().insert(names::TRACEPARENT_METADATA, traceparent);
    }
    response
}

type EventStream = Pin<Box<dyn Stream<Item = Result<GenerateEvent, Status>> + Send>>;

/// An answer whose metadata name its span and its wait.
fn streamed(answer: Answer) -> Response<EventStream> {
    let traceparent = answer.traceparent().to_owned();
    let queued = MetadataValue::from(u64::try_from(answer.waited().as_micros()).unwrap_or(u64::MAX));
    let events: EventStream = answer.map(|event| event.map_err(Status::from)).boxed();
    let mut response = traced(Some(&traceparent), events);
    response.metadata_mut().insert(names::QUEUED_METADATA, queued);
    response
}

#[tonic::async_trait]
impl v1::inference_server::Inference for Inference {
    type GenerateStream = EventStream;

    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let ctx = self.call(&request, &request.get_ref().request_id)?;
        Ok(streamed(Inference::generate(self, ctx, request.into_inner()).await?))
    }

    type ResumeStream = EventStream;

    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<EventStream>, Status> {
        let ctx = self.call(&request, &request.get_ref().request_id)?;
        Ok(streamed(Inference::resume(self, ctx, request.into_inner()).await?))
    }

    type GenerateBidiStream = EventStream;

    async fn generate_bidi(
        &self,
        request: Request<Streaming<GenerateCommand>>,
    ) -> Result<Response<Self::GenerateBidiStream>, Status> {
        let ctx = self.call(&request, "")?;
        Ok(Response::new(bidi::answers(self.clone(), ctx, request.into_inner()).boxed()))
    }

    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        let mut ctx = self.call(&request, "")?;
        let answer = Inference::embed(self, &mut ctx, request.into_inner()).await?;
        Ok(traced(ctx.traceparent.as_deref(), answer))
    }

    async fn score(&self, request: Request<ScoreRequest>) -> Result<Response<ScoreResponse>, Status> {
        let mut ctx = self.call(&request, "")?;
        let answer = Inference::score(self, &mut ctx, request.into_inner()).await?;
        Ok(traced(ctx.traceparent.as_deref(), answer))
    }

    async fn tokenize(
        &self,
        request: Request<TokenizeRequest>,
    ) -> Result<Response<TokenizeResponse>, Status> {
        let mut ctx = self.call(&request, "")?;
        let answer = Inference::tokenize(self, &mut ctx, request.into_inner()).await?;
        Ok(traced(ctx.traceparent.as_deref(), answer))
    }

    async fn feedback(
        &self,
        request: Request<FeedbackRequest>,
    ) -> Result<Response<FeedbackResponse>, Status> {
        let ctx = self.call(&request, "")?;
        Ok(Response::new(Inference::feedback(self, ctx, request.into_inner()).await?))
    }
}
