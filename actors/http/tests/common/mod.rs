//! A node over scripted models, and calls to its routes without a socket.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
    response::Response,
};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;
use understudy_backend::{
    Backend, BackendError, LoadEvent, RequestCtx, Slots as _,
    fake::{FakeBackend, FakeSlots, Reply},
};
use understudy_gateway::{
    Caller, Failure, Keyring, ModelControl, Node, NodeConfig, Parts, admission::tenant::TenantLimits,
};
use understudy_proto::v1::ModelStatus;
use understudy_router::RouterHandle;

/// `small` is ready, `large` is on disk, `absent` is not.
struct Listed(FakeSlots, watch::Sender<u64>);

#[async_trait]
impl ModelControl for Listed {
    fn list(&self) -> Vec<ModelStatus> {
        let status = |(model, state): (&str, &str)| ModelStatus {
            model: model.into(),
            state: state.into(),
            ..ModelStatus::default()
        };
        [("small", "ready"), ("large", "unloaded"), ("absent", "absent")].map(status).to_vec()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }

    async fn load(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        self.0.backend(ctx, model, progress).await
    }

    async fn unload(&self, _: &RequestCtx, _: &str) -> Result<ModelStatus, Failure> {
        Ok(ModelStatus::default())
    }
}

/// A node's routes, and the model that tests look at.
pub struct Api {
    routes: Router,
    pub small: FakeBackend,
    pub node: Node,
    caller: Caller,
}

/// `small` and `large` as a ladder; `small` says what the script has for a prompt.
pub async fn api(script: &[(&str, Reply)]) -> Api {
    api_with("", script).await
}

/// With these settings.
pub async fn api_with(settings: &str, script: &[(&str, Reply)]) -> Api {
    assembled(settings, script, Keyring::default()).await
}

/// With these keys, which count once the node serves.
pub async fn api_behind(keys: Keyring) -> Api {
    let anywhere = "[listen]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n";
    assembled(anywhere, &[], keys).await
}

async fn assembled(settings: &str, script: &[(&str, Reply)], keys: Keyring) -> Api {
    let ladder = "[[ladder]]\nmodel = \"small\"\n[[ladder]]\nmodel = \"large\"\n";
    let config = NodeConfig::parse(&format!("{settings}\n{ladder}"), "test").unwrap();
    let unsure = Reply::text("perhaps").logprob(-3.0).signals(3.0, 0.05);
    let small = FakeBackend::new("small")
        .when("2+2", Reply::text("4"))
        .when("unsure", unsure)
        .when("slow", Reply::text("x".repeat(100)).token_delay(Duration::from_millis(100)));
    let small = script.iter().fold(small, |small, (needle, reply)| small.when(*needle, reply.clone()));
    let large = FakeBackend::new("large").when("unsure", Reply::text("certainly"));
    let slots = FakeSlots::new().with(small.clone()).with(large);
    let router = RouterHandle::spawn(config.router().unwrap(), Arc::new(slots.clone())).await.unwrap();
    let control = Arc::new(Listed(slots.clone(), watch::Sender::new(0)));
    let node = Node::assemble(config, Parts { router, slots: Arc::new(slots), control }).with_keys(keys);
    Api { routes: understudy_http::routes(&node).router, small, node, caller: Caller::default() }
}

/// What came back.
pub struct Said {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Api {
    /// The same node, called by this tenant.
    pub fn tenant(&mut self, tenant: &str) {
        self.limited(tenant, TenantLimits::default());
    }

    /// By a tenant that may take so much.
    pub fn limited(&mut self, tenant: &str, limits: TenantLimits) {
        self.caller = Caller { tenant: tenant.into(), limits, ..Caller::default() };
    }

    pub async fn post(&self, path: &str, body: impl ToString) -> Said {
        said(self.open("POST", path, body).await).await
    }

    pub async fn get(&self, path: &str) -> Said {
        said(self.open("GET", path, "").await).await
    }

    pub async fn delete(&self, path: &str) -> Said {
        said(self.open("DELETE", path, "").await).await
    }

    /// The response while its body may still come.
    pub async fn open(&self, method: &str, path: &str, body: impl ToString) -> Response {
        self.send(Request::builder().method(method).uri(path).body(Body::from(body.to_string())).unwrap())
            .await
    }

    pub async fn send(&self, mut request: Request<Body>) -> Response {
        request.extensions_mut().insert(self.caller.clone());
        self.routes.clone().oneshot(request).await.unwrap()
    }

    /// Waits until nothing runs any more.
    pub async fn becomes_idle(&self) {
        for _ in 0..200 {
            if self.node.in_flight() == 0 && self.small.open_sequences() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} in flight, {} open", self.node.in_flight(), self.small.open_sequences());
    }
}

pub async fn said(response: Response) -> Said {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Said {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The body of an answer.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()
    }

    /// Field and code of a refusal.
    #[track_caller]
    pub fn refused(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", self.body);
        let error = self.json()["error"].take();
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        assert!(!text("message").is_empty() && !text("type").is_empty(), "{error}");
        (text("param"), text("code"))
    }

    /// The events of a stream that ends with `[DONE]`.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let mut data = self.data();
        assert_eq!(data.pop().as_deref(), Some("[DONE]"), "{}", self.body);
        data.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    pub fn data(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
    }

    /// The lines of a stream of Ollama's.
    pub fn lines(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The text that chunks add up to.
pub fn text_of(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}
