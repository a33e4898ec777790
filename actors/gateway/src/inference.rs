//! The `Inference` service: the same answers over gRPC and inside this process.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::http::HeaderMap;
use futures::{
    FutureExt as _,
    stream::{self, Stream, StreamExt as _},
};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use understudy_backend::{Backend, BackendError, RequestCtx, Slots};
use understudy_engine::{
    codec::{Codec, CodecError},
    verbs::TokenId,
};
use understudy_ledger::LedgerHandle;
use understudy_proto::v1::{
    self, EmbedRequest, EmbedResponse, FeedbackRequest, FeedbackResponse, GenerateCommand, GenerateEvent,
    GenerateRequest, ScoreRequest, ScoreResponse, TokenizeRequest, TokenizeResponse, generate_event::Event,
};
use understudy_router::{AnswerEvent, AnswerStream, Pattern, RouterError, RouterHandle};

use crate::{
    Admission, Caller, Failure,
    admission::Place,
    bidi, call, codes,
    notes::Note,
    partials::Partials,
    score::{self, ScoreWork},
    tools,
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

/// One answer, event by event. Dropping it cancels the request.
pub struct Answer {
    events: AnswerStream,
    admission: Admission,
    /// Its entry, if the node keeps a ledger.
    note: Option<Box<Note>>,
    /// Values of the text so far, if they are wanted.
    partials: Option<Partials>,
    /// Its request, if the answer may have calls.
    calls_of: Option<String>,
    /// An event that waits for the last of them.
    held: Option<Result<AnswerEvent, RouterError>>,
    ended: bool,
    _place: Place,
}

/// What comes next in an answer.
enum Step {
    Event(Option<Result<AnswerEvent, RouterError>>),
    /// The value of its text.
    Value(v1::Partial),
}

impl Answer {
    /// The next event; `None` after the last one or after an error.
    pub async fn next(&mut self) -> Option<Result<GenerateEvent, Failure>> {
        if self.ended {
            return None;
        }
        let event = match self.step().await {
            Step::Value(partial) => return Some(Ok(GenerateEvent { event: Some(Event::Partial(partial)) })),
            Step::Event(Some(Ok(event))) => {
                self.note.iter_mut().for_each(|note| note.follow(&event));
                let mut event = wire::generate_event(event);
                if let (Some(Event::Finished(end)), Some(request)) = (&mut event.event, &self.calls_of) {
                    tools::conclude(request, end);
                }
                Ok(event)
            }
            Step::Event(Some(Err(error))) => Err(self.explained(error.into())),
            Step::Event(None) => {
                Err(Failure::new(codes::INTERNAL, "the answer ended without its last event"))
            }
        };
        self.ended = !matches!(&event, Ok(GenerateEvent { event: Some(event) }) if !matches!(event, Event::Finished(_)));
        Some(event)
    }

    /// The router's next event; before it, if there is time or it is the last, news of the value.
    async fn step(&mut self) -> Step {
        if let Some(held) = self.held.take() {
            return Step::Event(Some(held));
        }
        let Some(partials) = &mut self.partials else { return Step::Event(self.events.next().await) };
        let waiting = self.events.next().now_or_never();
        let event = match waiting {
            Some(event) => event,
            None => match partials.news() {
                Some(news) => return Step::Value(news),
                None => self.events.next().await,
            },
        };
        if let Some(Ok(event)) = &event {
            partials.follow(event);
        }
        if let Some(Ok(AnswerEvent::Finished(_))) = &event
            && let Some(news) = partials.news()
        {
            self.held = event;
            return Step::Value(news);
        }
        Step::Event(event)
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<GenerateEvent, Failure>> + Send + 'static {
        stream::unfold(self, async |mut answer| answer.next().await.map(|event| (event, answer)))
    }

    /// Whoever was cancelled because the node stops should hear so.
    fn explained(&self, failure: Failure) -> Failure {
        if failure.code == codes::CANCELLED && self.admission.was_cut() {
            return Failure::new(codes::DRAINING, "the node stopped before the answer was complete");
        }
        failure
    }
}

impl Inference {
    /// Answers through `router`; the other verbs go to `slots` directly.
    pub fn new(
        router: RouterHandle,
        slots: Arc<dyn Slots>,
        admission: Admission,
        defaults: Defaults,
    ) -> Self {
        Self { router, slots, admission, defaults, ledger: None }
    }

    /// The same service, which keeps a ledger.
    pub fn with_ledger(self, ledger: LedgerHandle) -> Self {
        Self { ledger: Some(ledger), ..self }
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.admission.in_flight()
    }

    /// Whether the node stops: no more requests come in.
    pub fn is_draining(&self) -> bool {
        self.admission.closed().is_cancelled()
    }

    /// The context of a call over HTTP: its id, its deadline, whose it is.
    ///
    /// # Errors
    /// `REQUEST_INVALID` for a malformed id or deadline, `PROTOCOL_TOO_NEW`.
    pub fn context(&self, headers: &HeaderMap, caller: &Caller) -> Result<RequestCtx, Failure> {
        call::context(headers, caller, "", self.defaults.deadline)
    }

    /// One answer.
    ///
    /// # Errors
    /// Whatever is wrong with the request, `OVERLOADED`, `DRAINING`. Errors that come up
    /// later arrive in the answer.
    pub fn generate(&self, mut ctx: RequestCtx, request: GenerateRequest) -> Result<Answer, Failure> {
        ctx.priority = ctx.priority.max(wire::priority(&request));
        let place = self.admission.enter(&ctx)?;
        let partials = request.stream_partial.then(Partials::default);
        let mut request = wire::answer_request(request, self.defaults.max_tokens)?;
        // What nobody asks for now is what a calibration will ask for.
        request.collect_evidence |= self.ledger.is_some();
        let calls_of =
            matches!(request.constraint, Some(Pattern::Calls(_))).then(|| ctx.request_id.0.clone());
        let note = self.ledger.as_ref().map(|ledger| Box::new(Note::begin(ledger, &ctx, &request)));
        let events = self.router.answer(ctx, request)?;
        let admission = self.admission.clone();
        Ok(Answer { events, admission, note, partials, calls_of, held: None, ended: false, _place: place })
    }

    /// A text as a vector.
    ///
    /// # Errors
    /// `PROMPT_EMPTY`, `CONTEXT_OVERFLOW`, or why the model is not there.
    pub async fn embed(&self, ctx: RequestCtx, request: EmbedRequest) -> Result<EmbedResponse, Failure> {
        let _place = self.admission.enter(&ctx)?;
        if request.text.is_empty() {
            return Err(Failure::new(codes::PROMPT_EMPTY, "the text is empty").with_field("text", "is empty"));
        }
        let backend = self.backend(&ctx, &request.model).await?;
        let ids = encoded(&ctx, backend.codec(), move |codec| codec.encode_text(&request.text)).await?;
        let tokens = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let (values, _) = ctx.bound(backend.embed(&ctx, ids)).await?;
        Ok(EmbedResponse { model: backend.card().name.clone(), values, tokens })
    }

    /// Log-probabilities of candidate answers, or of a text as it stands. Any length that the
    /// context holds.
    ///
    /// # Errors
    /// `PROMPT_EMPTY`, `REQUEST_INVALID`, `CONTEXT_OVERFLOW`, or why the model is not there.
    pub async fn score(&self, ctx: RequestCtx, request: ScoreRequest) -> Result<ScoreResponse, Failure> {
        let _place = self.admission.enter(&ctx)?;
        let work = ScoreWork::of(request.messages, request.candidates, request.ids)?;
        let backend = self.backend(&ctx, &request.model).await?;
        let (prompt, candidates) = encoded(&ctx, backend.codec(), move |codec| work.tokens(codec)).await?;
        score::check(backend.codec().as_ref(), backend.card().context, &prompt, &candidates)?;
        let tokens = candidates.iter().map(|ids| u32::try_from(ids.len()).unwrap_or(u32::MAX)).collect();
        let logprobs = score::logprobs(&ctx, backend.as_ref(), prompt, candidates).await?;
        Ok(ScoreResponse { model: backend.card().name.clone(), logprobs, tokens })
    }

    /// A text as token ids.
    ///
    /// # Errors
    /// Why the model is not there.
    pub async fn tokenize(
        &self,
        ctx: RequestCtx,
        request: TokenizeRequest,
    ) -> Result<TokenizeResponse, Failure> {
        let _place = self.admission.enter(&ctx)?;
        let backend = self.backend(&ctx, &request.model).await?;
        let ids: Vec<TokenId> =
            encoded(&ctx, backend.codec(), move |codec| codec.encode_text(&request.text)).await?;
        Ok(TokenizeResponse { ids })
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
        let _place = self.admission.enter(&ctx)?;
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

    async fn backend(&self, ctx: &RequestCtx, model: &str) -> Result<Arc<dyn Backend>, Failure> {
        let model = if model.is_empty() { &self.defaults.model } else { model };
        if model.is_empty() {
            return Err(invalid("model", "is empty, and this node has no ladder"));
        }
        // Nobody is shown the progress: a unary call has one answer.
        let (progress, _) = mpsc::channel(1);
        Ok(ctx.bound(self.slots.backend(ctx, model, progress)).await?)
    }
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

#[tonic::async_trait]
impl v1::inference_server::Inference for Inference {
    type GenerateStream = Pin<Box<dyn Stream<Item = Result<GenerateEvent, Status>> + Send>>;

    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let ctx = call::of(&request, &request.get_ref().request_id, self.defaults.deadline)?;
        let answer = Inference::generate(self, ctx, request.into_inner())?;
        Ok(Response::new(answer.into_stream().map(|event| event.map_err(Status::from)).boxed()))
    }

    type GenerateBidiStream = Pin<Box<dyn Stream<Item = Result<GenerateEvent, Status>> + Send>>;

    async fn generate_bidi(
        &self,
        request: Request<Streaming<GenerateCommand>>,
    ) -> Result<Response<Self::GenerateBidiStream>, Status> {
        let ctx = call::of(&request, "", self.defaults.deadline)?;
        Ok(Response::new(bidi::answers(self.clone(), ctx, request.into_inner()).boxed()))
    }

    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        let ctx = call::of(&request, "", self.defaults.deadline)?;
        Ok(Response::new(Inference::embed(self, ctx, request.into_inner()).await?))
    }

    async fn score(&self, request: Request<ScoreRequest>) -> Result<Response<ScoreResponse>, Status> {
        let ctx = call::of(&request, "", self.defaults.deadline)?;
        Ok(Response::new(Inference::score(self, ctx, request.into_inner()).await?))
    }

    async fn tokenize(
        &self,
        request: Request<TokenizeRequest>,
    ) -> Result<Response<TokenizeResponse>, Status> {
        let ctx = call::of(&request, "", self.defaults.deadline)?;
        Ok(Response::new(Inference::tokenize(self, ctx, request.into_inner()).await?))
    }

    async fn feedback(
        &self,
        request: Request<FeedbackRequest>,
    ) -> Result<Response<FeedbackResponse>, Status> {
        let ctx = call::of(&request, "", self.defaults.deadline)?;
        Ok(Response::new(Inference::feedback(self, ctx, request.into_inner()).await?))
    }
}
