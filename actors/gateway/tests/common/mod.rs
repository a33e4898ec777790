//! A real node on loopback over scripted models, and a real client.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use understudy_agents::{Client, ClientError, Events};
use understudy_backend::{
    Backend, BackendError, LoadEvent, RequestCtx, Slots as _,
    fake::{FakeBackend, FakeSlots, Reply},
};
use understudy_gateway::{Addresses, Failure, Keyring, ModelControl, Node, NodeConfig, Pages, Parts, codes};
use understudy_proto::v1::{Finished, GenerateEvent, GenerateRequest, ModelStatus, generate_event::Event};
use understudy_router::RouterHandle;

pub const SOON: Duration = Duration::from_secs(10);

/// Models whose states a test sets.
pub struct ScriptedControl {
    statuses: Mutex<Vec<ModelStatus>>,
    changed: watch::Sender<u64>,
    slots: FakeSlots,
}

impl ScriptedControl {
    pub fn new(slots: FakeSlots, states: &[(&str, &str)]) -> Arc<Self> {
        let status = |(model, state): &(&str, &str)| ModelStatus {
            model: (*model).into(),
            state: (*state).into(),
            ..Default::default()
        };
        let statuses = Mutex::new(states.iter().map(status).collect());
        Arc::new(Self { statuses, changed: watch::Sender::new(0), slots })
    }

    pub fn set(&self, model: &str, state: &str) {
        for status in self.statuses.lock().unwrap().iter_mut().filter(|status| status.model == model) {
            status.state = state.into();
        }
        self.changed.send_modify(|generation| *generation += 1);
    }
}

#[tonic::async_trait]
impl ModelControl for ScriptedControl {
    fn list(&self) -> Vec<ModelStatus> {
        self.statuses.lock().unwrap().clone()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    async fn load(
        &self,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        self.slots.backend(ctx, model, progress).await
    }

    async fn unload(&self, _: &RequestCtx, model: &str) -> Result<ModelStatus, Failure> {
        self.set(model, "unloaded");
        let known = self.list().into_iter().find(|status| status.model == model);
        known.ok_or_else(|| {
            Failure::new(codes::MODEL_UNKNOWN, format!("unknown model {model:?}")).with("model", model)
        })
    }
}

/// A node that listens, with everything a test wants to look at.
pub struct Harness {
    pub node: Arc<Node>,
    pub addresses: Addresses,
    pub small: FakeBackend,
    pub slots: FakeSlots,
    pub control: Arc<ScriptedControl>,
}

/// `small` and `large` as a ladder. `small` answers `slow` over ten seconds.
pub async fn start(settings: &str) -> Harness {
    let small = FakeBackend::new("small")
        .when("2+2", Reply::text("4"))
        .when("unsure", Reply::text("perhaps").logprob(-3.0).signals(3.0, 0.05))
        .when("slow", Reply::text("x".repeat(100)).token_delay(Duration::from_millis(100)));
    start_with(settings, small).await
}

pub async fn start_with(settings: &str, small: FakeBackend) -> Harness {
    start_behind(settings, small, Keyring::default(), Pages::default()).await
}

/// The same, which wants a key if there are any, and serves these pages.
pub async fn start_behind(settings: &str, small: FakeBackend, keys: Keyring, pages: Pages) -> Harness {
    let ladder = "[[ladder]]\nmodel = \"small\"\n[[ladder]]\nmodel = \"large\"\n";
    let mut config = NodeConfig::parse(&format!("{settings}\n{ladder}"), "test").unwrap();
    config.listen.grpc.set_port(0);
    config.listen.http.set_port(0);
    let large = FakeBackend::new("large").when("unsure", Reply::text("certainly"));
    let slots = FakeSlots::new().with(small.clone()).with(large);
    let control = ScriptedControl::new(slots.clone(), &[("small", "ready"), ("large", "unloaded")]);
    let router = RouterHandle::spawn(config.router().unwrap(), Arc::new(slots.clone())).await.unwrap();
    let parts = Parts { router, slots: Arc::new(slots.clone()), control: control.clone() };
    let node = Arc::new(Node::assemble(config, parts).with_keys(keys));
    let addresses = node.serve(pages).await.unwrap();
    Harness { node, addresses, small, slots, control }
}

impl Harness {
    pub async fn client(&self) -> Client {
        Client::connect(&self.addresses.grpc.to_string(), SOON).await.unwrap()
    }

    /// Waits until `done`, failing after a bound.
    pub async fn within(&self, bound: Duration, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begun = std::time::Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < bound, "{what} took longer than {bound:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub fn ask(prompt: &str) -> GenerateRequest {
    GenerateRequest { prompt: prompt.into(), ..Default::default() }
}

/// To `small` alone.
pub fn ask_small(prompt: &str) -> GenerateRequest {
    GenerateRequest { model: "small".into(), ..ask(prompt) }
}

pub fn event_of(event: GenerateEvent) -> Event {
    event.event.expect("an event of a known kind")
}

/// Text as shown, and the end.
pub async fn read(mut events: Events<GenerateEvent>) -> (String, Result<Finished, ClientError>) {
    let mut shown = String::new();
    while let Some(event) = events.next().await {
        match event.map(event_of) {
            Ok(Event::Delta(delta)) => shown.push_str(&delta.text),
            Ok(Event::Retracted(retracted)) => {
                let kept = shown.len() - usize::try_from(retracted.bytes).unwrap();
                shown.truncate(kept);
            }
            Ok(Event::Finished(finished)) => {
                assert!(events.next().await.is_none(), "an event after finished");
                return (shown, Ok(finished));
            }
            Ok(_) => {}
            Err(error) => {
                assert!(events.next().await.is_none(), "an event after an error");
                return (shown, Err(error));
            }
        }
    }
    panic!("the stream ended without finished");
}

/// The refusal of a request, wherever in the stream it comes.
pub async fn refusal(client: &Client, request: GenerateRequest) -> ClientError {
    match client.generate(request, SOON).await {
        Err(error) => error,
        Ok(events) => read(events).await.1.expect_err("the request was answered"),
    }
}
