//! Nodes to ask: a service on a socket, and a wire to it that can be cut or frozen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, service::interceptor::InterceptedService};
use understudy_actors::engine_thread::EngineConfig;
use understudy_actors::scripted::{Script, ScriptedModels};
use understudy_actors::{Constraints, LocalSlots, NodeHealth, NodeTree, SlotConfig, TreeOptions};
use understudy_backend::{
    Backend, BackendError, NodeId, OpenRequest, RequestCtx, RunEvent, RunStream, SeqId, Slots,
};
use understudy_engine::verbs::{RunSpec, SamplerSpec, SignalMode, StopWhen, TokenId};
use understudy_remote::{CodecStore, Limits, Peer, PeerNode, RemoteBackend, VerbService};

pub const NODE: NodeId = NodeId(77);
/// Who calls, where it does not matter.
pub const ME: u64 = 1;

/// A node, and how it is reached.
pub struct Far {
    pub service: VerbService,
    pub wire: Wire,
    pub peer: Peer,
}

impl Far {
    pub async fn new(slots: impl Slots + 'static) -> Self {
        Self::within(slots, Limits::default()).await
    }

    pub async fn within(slots: impl Slots + 'static, limits: Limits) -> Self {
        let service = VerbService::new(Arc::new(slots), Arc::new(Constraints::default()), limits);
        let wire = Wire::to(serve(&service, Some(ME)).await).await;
        let peer = peer(&wire.address);
        Self { service, wire, peer }
    }

    pub async fn backend(&self, model: &str) -> RemoteBackend {
        connect(&self.peer, model).await.unwrap()
    }
}

pub async fn connect(peer: &Peer, model: &str) -> Result<RemoteBackend, BackendError> {
    RemoteBackend::connect(peer, &RequestCtx::new("connect"), model, mpsc::channel(1).0).await
}

/// Serves on a port of its own; every call there is the peer's.
pub async fn serve(service: &VerbService, peer: Option<u64>) -> String {
    let known = InterceptedService::new(service.server(), move |mut request: Request<()>| {
        peer.map(|peer| request.extensions_mut().insert(PeerNode(peer)));
        Ok(request)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The server's own setting does not reach sockets that it did not make.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(Server::builder().add_service(known).serve_with_incoming(incoming));
    address
}

pub fn channel(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true).connect_lazy()
}

pub fn peer(address: &str) -> Peer {
    Peer {
        node: NODE,
        channel: channel(address),
        lost: CancellationToken::new(),
        codecs: Arc::new(CodecStore::new(None, Arc::new(ScriptedModels::default()))),
    }
}

/// Passes bytes on, until it is told otherwise.
pub struct Wire {
    pub address: String,
    /// There, and back.
    frozen: [Arc<AtomicBool>; 2],
    cut: CancellationToken,
    accepting: AbortHandle,
}

impl Wire {
    pub async fn to(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let (frozen, cut) = (<[Arc<AtomicBool>; 2]>::default(), CancellationToken::new());
        let accepting = tokio::spawn({
            let (frozen, cut) = (frozen.clone(), cut.clone());
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    let far = TcpStream::connect(&address).await.unwrap();
                    near.set_nodelay(true).unwrap();
                    far.set_nodelay(true).unwrap();
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    let [there, back] = frozen.clone();
                    tokio::spawn(pass(near_in, far_out, there, cut.clone()));
                    tokio::spawn(pass(far_in, near_out, back, cut.clone()));
                }
            }
        });
        Self { address: own, frozen, cut, accepting: accepting.abort_handle() }
    }

    /// From now on nothing arrives, and nobody is told.
    pub fn freeze(&self) {
        self.frozen.iter().for_each(|way| way.store(true, Ordering::SeqCst));
    }

    /// From now on nothing comes back.
    pub fn freeze_answers(&self) {
        self.frozen[1].store(true, Ordering::SeqCst);
    }

    /// Ends all connections, as the death of a process does; new ones are refused.
    pub fn cut(&self) {
        self.accepting.abort();
        self.cut.cancel();
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    frozen: Arc<AtomicBool>,
    cut: CancellationToken,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            () = cut.cancelled() => return,
            read = from.read(&mut buffer) => read.unwrap_or(0),
        };
        if frozen.load(Ordering::SeqCst) {
            return cut.cancelled().await;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Real slots of this process over scripted engines.
pub struct Local {
    pub slots: LocalSlots,
    /// Ends its actors with the test.
    _tree: NodeTree,
}

pub async fn local(scripts: &[&Script]) -> Local {
    let health = Arc::new(NodeHealth::default());
    let config = SlotConfig::new(EngineConfig { health: health.clone(), ..EngineConfig::new("") });
    let models = Arc::new(ScriptedModels::new(scripts.iter().map(|script| (*script).clone())));
    let slots = LocalSlots::new(config, models.clone(), models);
    let tree = NodeTree::start(TreeOptions::default(), slots.clone(), health, vec![]).await.unwrap();
    Local { slots, _tree: tree }
}

impl Local {
    pub async fn backend(&self, model: &str) -> Arc<dyn Backend> {
        self.slots.backend(&ctx(), model, mpsc::channel(1).0).await.unwrap()
    }
}

pub fn ctx() -> RequestCtx {
    RequestCtx::new("test").with_timeout(Duration::from_secs(60))
}

pub fn ids(text: &str) -> Vec<TokenId> {
    text.bytes().map(TokenId::from).collect()
}

pub fn run_of(max_tokens: u32) -> RunSpec {
    RunSpec { max_tokens, stop_when: StopWhen::default(), signals: SignalMode::Full }
}

pub async fn open(backend: &dyn Backend, ctx: &RequestCtx, prompt: &str) -> Result<SeqId, BackendError> {
    let request = OpenRequest { prompt: ids(prompt), sampler: SamplerSpec::default(), gate: None };
    backend.open(ctx, request).await.map(|opened| opened.seq)
}

/// Opens, starts a run and reads its first token.
pub async fn running(backend: &dyn Backend, ctx: &RequestCtx, tokens: u32) -> (SeqId, RunStream) {
    let seq = open(backend, ctx, "q").await.unwrap();
    let mut run = backend.run(ctx, seq, 1, run_of(tokens)).await.unwrap();
    assert!(matches!(run.next(ctx).await, Ok(RunEvent::Step(_))));
    (seq, run)
}

/// Every event to the end.
pub async fn read(run: &mut RunStream) -> Vec<Result<RunEvent, BackendError>> {
    let (ctx, mut events) = (ctx(), Vec::new());
    loop {
        let event = run.next(&ctx).await;
        let is_last = !matches!(event, Ok(RunEvent::Step(_)));
        events.push(event);
        if is_last {
            return events;
        }
    }
}

/// Waits until it holds, 5 s at most; how long that took.
pub async fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(5), "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}
