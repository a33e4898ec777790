//! A node's public HTTP API that says what a test wants it to say, when the test wants it. Rare events come as often as asked for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

const SOON: Duration = Duration::from_secs(15);

pub const SPECIALIST: &str = "qwen2.5-coder-0.5b";
pub const TEACHER: &str = "qwen2.5-coder-1.5b";

/// A running fake; it ends with the test's runtime.
pub struct Fake {
    /// Such as `http://127.0.0.1:4000`.
    pub address: String,
    asked: mpsc::Receiver<Asked>,
    shared: Arc<Shared>,
}

struct Shared {
    asked: mpsc::Sender<Asked>,
    status: Mutex<Value>,
    key: Mutex<Option<String>>,
}

/// A request that waits for what the test answers.
pub struct Asked {
    /// Its body.
    pub body: Value,
    /// Its `authorization`.
    pub authorization: Option<String>,
    reply: oneshot::Sender<Response>,
}

/// An answer that is being streamed.
pub struct Answering {
    chunks: mpsc::Sender<Bytes>,
}

impl Fake {
    pub async fn start() -> Self {
        let (sender, asked) = mpsc::channel(4);
        let shared = Arc::new(Shared { asked: sender, status: Mutex::new(status()), key: Mutex::default() });
        let router = Router::new()
            .route("/v1/models", get(models))
            .route("/v1/chat/completions", post(chat))
            .route("/understudy/status", get(say_status))
            .with_state(shared.clone())
            .merge(understudy_http::console::routes());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked, shared }
    }

    /// The next request for an answer.
    pub async fn asked(&mut self) -> Asked {
        let asked = tokio::time::timeout(SOON, self.asked.recv()).await;
        asked.expect("a request in time").expect("a fake that lives")
    }

    /// What `/understudy/status` says from now on; null is an error.
    pub fn set_status(&self, status: Value) {
        *self.shared.status.lock().expect("status") = status;
    }

    /// Status and models are only for who has this key.
    pub fn set_key(&self, key: &str) {
        *self.shared.key.lock().expect("key") = Some(format!("Bearer {key}"));
    }
}

impl Asked {
    /// Refuses as the API does.
    pub fn refuse(self, code: u16, retry_after: Option<u32>, error: Value) {
        let mut response = Response::new(Body::from(json!({ "error": error }).to_string()));
        *response.status_mut() = StatusCode::from_u16(code).expect("a status");
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        let _ = self.reply.send(response);
    }

    /// Begins an answer by these models, with a policy's name.
    pub async fn stream(self, policy: &str, ladder: &[&str]) -> Answering {
        let (chunks, receiver) = mpsc::channel(64);
        let body = Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, std::convert::Infallible>));
        let headers = [(header::CONTENT_TYPE, "text/event-stream")];
        let _ = self.reply.send((headers, body).into_response());
        let answering = Answering { chunks };
        answering
            .event(json!({"type": "started", "request_id": "r1", "policy": policy, "ladder": ladder}))
            .await;
        answering
    }
}

impl Answering {
    /// A native event.
    pub async fn event(&self, event: Value) {
        self.chunk(json!({"choices": [], "understudy": event})).await;
    }

    /// Text that may still be withdrawn.
    pub async fn delta(&self, model: &str, text: &str) {
        self.piece(model, text, "written").await;
    }

    /// The same, of this origin.
    pub async fn piece(&self, model: &str, text: &str, origin: &str) {
        let tokens = text.split_whitespace().count();
        let delta =
            json!({"type": "delta", "model": model, "text": text, "tokens": tokens, "origin": origin});
        self.event(delta).await;
    }

    /// Text that stays.
    pub async fn content(&self, text: &str) {
        self.chunk(json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}))
            .await;
    }

    /// A decision of the policy.
    pub async fn decided(&self, kind: &str, from: &str, to: &str, reason: &str, confidence: f64) {
        self.event(json!({
            "type": "decided", "kind": kind, "from": from, "to": to, "reason": reason,
            "confidence": confidence, "threshold": 0.6,
        }))
        .await;
    }

    /// The end, with its account.
    pub async fn finish(self, finished: Value) {
        self.event(finished).await;
        let _ = self.chunks.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
    }

    /// An error within the stream.
    pub async fn fail(self, error: Value) {
        self.chunk(json!({ "error": error })).await;
    }

    /// Waits until the reader is gone.
    pub async fn left(&self) {
        tokio::time::timeout(SOON, self.chunks.closed()).await.expect("a reader that leaves");
    }

    async fn chunk(&self, chunk: Value) {
        let line = format!("data: {chunk}\n\n");
        let _ = self.chunks.send(line.into()).await;
    }
}

/// A `finished` event: spans are `(author, text, why)`.
pub fn finished(policy: &str, spans: &[(&str, &str, &str)], rungs: &[Value], ledger: Value) -> Value {
    let mut text = String::new();
    let mut listed = Vec::new();
    for (author, part, why) in spans {
        let start = text.len();
        text.push_str(part);
        let tokens = part.split_whitespace().count();
        listed
            .push(json!({"author": author, "start": start, "end": text.len(), "tokens": tokens, "why": why}));
    }
    let tokens: u64 = listed.iter().filter_map(|span| span["tokens"].as_u64()).sum();
    let mut whole =
        json!({"spans": listed, "rungs": rungs, "drafted": 0, "accepted": 0, "forced": 0, "decisions": []});
    for (key, value) in ledger.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    json!({
        "type": "finished", "text": text, "finish_reason": "stop", "policy": policy, "numerics": "cpu-int16",
        "model": spans.last().expect("a span").0,
        "usage": {"prompt_tokens": 40, "completion_tokens": tokens, "cached_prompt_tokens": 0},
        "timing": {"ttft_ms": 180.0, "total_ms": 2400.0, "decode_tok_s": 31.5},
        "ledger": whole,
    })
}

/// A rung's cost: passes of 400 MB for the specialist, of 1 GB for the teacher.
pub fn rung(model: &str, kept: u64, wasted: u64, ms: f64) -> Value {
    let passes = kept + wasted + 1;
    let each: u64 = if model == TEACHER { 1_000_000_000 } else { 400_000_000 };
    json!({
        "model": model, "prompt_tokens": 40, "tokens_kept": kept, "tokens_wasted": wasted,
        "forward_passes": passes, "bytes_read": passes * each, "ms": ms,
    })
}

/// A node at work.
pub fn status() -> Value {
    let model = |name: &str, state: &str, bytes: u64, speed: f64| {
        json!({
            "model": name, "state": state, "detail": "", "active": u8::from(speed > 0.0), "waiting": 0,
            "decode_tok_s": speed, "bytes": bytes, "numerics": "cpu-int16", "context": 4096, "restarts": 0,
            "done_bytes": 0, "gates": [],
        })
    };
    json!({
        "node": {"version": "0.1.0", "uptime_s": 7260, "draining": false},
        "models": [
            model(SPECIALIST, "ready", 400_000_000, 48.2),
            model(TEACHER, "ready", 1_000_000_000, 0.0),
            model("gemma-3-270m", "absent", 240_000_000, 0.0),
        ],
        "requests": {"running": 1, "waiting": {"interactive": 0, "agent": 2, "batch": 5}},
        "totals": {
            "requests": 1204, "tokens": 48_210, "teacher_tokens": 9_120, "wasted_tokens": 2_044,
            "bytes_read": 31_000_000_000_000_u64, "bytes_teacher_alone": 49_000_000_000_000_u64,
        },
    })
}

fn json_response(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn admitted(shared: &Shared, headers: &HeaderMap) -> bool {
    let key = shared.key.lock().expect("key");
    key.as_ref().is_none_or(|key| headers.get("authorization").is_some_and(|given| given == key))
}

async fn models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if !admitted(&shared, &headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let names = [
        SPECIALIST,
        TEACHER,
        "gemma-3-270m",
        "understudy/auto",
        "understudy/cascade",
        "understudy/friend",
        "understudy/speculate",
    ];
    let entry = |name: &&str| {
        let mut entry = json!({"id": name, "object": "model"});
        if !name.contains('/') {
            entry["understudy"] =
                json!({"state": if name.starts_with("gemma") { "absent" } else { "ready" }});
        }
        entry
    };
    let data: Vec<_> = names.iter().map(entry).collect();
    json_response(&json!({"object": "list", "data": data}))
}

async fn say_status(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if !admitted(&shared, &headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let status = shared.status.lock().expect("status").clone();
    if status.is_null() { StatusCode::SERVICE_UNAVAILABLE.into_response() } else { json_response(&status) }
}

async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = serde_json::from_slice(&body).expect("a JSON body");
    let (reply, response) = oneshot::channel();
    let asked = Asked { body, authorization, reply };
    shared.asked.send(asked).await.expect("a test that listens");
    response.await.expect("a test that answers")
}
