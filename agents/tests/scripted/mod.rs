//! A node that plays a script.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};
use understudy_agents::Client;
use understudy_proto::v1::inference_server::{Inference, InferenceServer};
use understudy_proto::v1::{
    EmbedRequest, EmbedResponse, FeedbackRequest, FeedbackResponse, Finished, GenerateCommand, GenerateEvent,
    GenerateRequest, Ledger, ResumeRequest, ScoreRequest, ScoreResponse, Timing, TokenizeRequest,
    TokenizeResponse, Usage, generate_event::Event,
};

const SOON: Duration = Duration::from_secs(10);

/// What the node says to a question that contains a word.
#[derive(Clone)]
pub enum Says {
    Text(&'static str),
    Refusal(&'static str),
    /// Refused so often, with a time to try again; then the text.
    Later(u32, &'static str),
}

/// One token is one byte. An answer takes 100 ms by its own account, a scored token costs half
/// a nat, and the first of a text is given.
#[derive(Clone, Default)]
pub struct Node {
    script: Arc<Mutex<BTreeMap<&'static str, Says>>>,
    asked: Arc<Mutex<Vec<GenerateRequest>>>,
}

impl Node {
    pub fn scripted<const N: usize>(script: [(&'static str, Says); N]) -> Self {
        let node = Self::default();
        node.say(script);
        node
    }

    pub fn say<const N: usize>(&self, script: [(&'static str, Says); N]) {
        self.script.lock().unwrap().extend(script);
    }

    pub fn asked(&self) -> Vec<GenerateRequest> {
        self.asked.lock().unwrap().clone()
    }

    pub fn questions(&self) -> Vec<String> {
        self.asked().iter().map(question).collect()
    }

    pub fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }

    pub async fn serve(&self) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(InferenceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Client::connect(&addr.to_string(), SOON).await.unwrap()
    }

    fn answer(&self, question: &str) -> Result<&'static str, Status> {
        let mut script = self.script.lock().unwrap();
        let says = script.iter_mut().find(|(word, _)| question.contains(**word)).map(|(_, says)| says);
        match says {
            None => Ok("I do not know"),
            Some(Says::Text(text) | Says::Later(0, text)) => Ok(text),
            Some(Says::Refusal(code)) => Err(refusal(code, None)),
            Some(Says::Later(left, _)) => {
                *left -= 1;
                Err(refusal("OVERLOADED", Some(Duration::from_millis(1))))
            }
        }
    }
}

fn question(request: &GenerateRequest) -> String {
    request.messages.last().unwrap().content.clone()
}

fn refusal(code: &str, retry: Option<Duration>) -> Status {
    let mut details = ErrorDetails::with_error_info(code, "understudy", []);
    if retry.is_some() {
        details.set_retry_info(retry);
    }
    Status::with_error_details(Code::Internal, "refused", details)
}

#[tonic::async_trait]
impl Inference for Node {
    type GenerateStream = Pin<Box<dyn Stream<Item = Result<GenerateEvent, Status>> + Send>>;

    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let request = request.into_inner();
        let asked = question(&request);
        self.asked.lock().unwrap().push(request);
        let text = self.answer(&asked)?;
        let completion_tokens = text.len() as u32;
        let finished = Finished {
            text: text.into(),
            finish_reason: "stop".into(),
            model: "small".into(),
            policy: "direct".into(),
            usage: Some(Usage { prompt_tokens: 7, completion_tokens, cached_prompt_tokens: 0 }),
            timing: Some(Timing { ttft_ms: 1.0, total_ms: 100.0, decode_tok_s: 10.0 }),
            numerics: "cpu-f32".into(),
            ledger: Some(Ledger::default()),
            tool_calls: Vec::new(),
        };
        let event = GenerateEvent { event: Some(Event::Finished(finished)), sequence: 1 };
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(event)))))
    }

    type GenerateBidiStream = Self::GenerateStream;

    async fn generate_bidi(
        &self,
        _: Request<Streaming<GenerateCommand>>,
    ) -> Result<Response<Self::GenerateBidiStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    type ResumeStream = Self::GenerateStream;

    async fn resume(&self, _: Request<ResumeRequest>) -> Result<Response<Self::ResumeStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn embed(&self, _: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn feedback(&self, _: Request<FeedbackRequest>) -> Result<Response<FeedbackResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn score(&self, request: Request<ScoreRequest>) -> Result<Response<ScoreResponse>, Status> {
        let tokens = request.into_inner().ids.len() as u32 - 1;
        let logprobs = vec![-0.5 * tokens as f32];
        Ok(Response::new(ScoreResponse { model: "small".into(), logprobs, tokens: vec![tokens] }))
    }

    async fn tokenize(
        &self,
        request: Request<TokenizeRequest>,
    ) -> Result<Response<TokenizeResponse>, Status> {
        let ids = request.into_inner().text.bytes().map(u32::from).collect();
        Ok(Response::new(TokenizeResponse { ids }))
    }
}
