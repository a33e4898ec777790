//! The verbs over the wire: a node's models for its peers, and a peer's models as backends of this node.
//!
//! | module | what it holds |
//! |---|---|
//! | [`server`] | [`VerbService`]: this node's slots, for whoever [`PeerNode`] says |
//! | [`client`] | [`RemoteBackend`]: a [`Backend`](understudy_backend::Backend) on another node, a [`Peer`] |
//! | [`codecs`] | [`CodecStore`]: tokenizers and templates of models that only others have |
//! | [`pattern`] | constraints as messages, and back |
//! | `wire` | everything else as messages, and back |
//!
//! Connections, identities and who is alive are others' business: a [`Peer`] comes with a channel and a token that
//! says when it is dead, and a server is told on every request who calls.
//!
//! Invariants, each with a test of that number:
//! - **INV-R1** a verb answers the same over the wire as beside the engine, failures included.
//! - **INV-R2** what waits for a node ends within milliseconds of the node's death, and within its own bound otherwise.
//! - **INV-R3** a peer reaches no sequence but its own, and what it leaves behind is closed.
//! - **INV-R4** what a node sends is checked before it is used, and nothing that it sends stops this node.
//!
//! ```
//! use std::sync::Arc;
//! use tokio::{net::TcpListener, sync::mpsc};
//! use tokio_stream::wrappers::TcpListenerStream;
//! use tonic::{Request, service::interceptor::InterceptedService, transport::{Endpoint, Server}};
//! use understudy_actors::{Constraints, scripted::ScriptedModels};
//! use understudy_backend::{Backend, NodeId, RequestCtx, fake::{FakeBackend, FakeSlots}};
//! use understudy_remote::{CodecStore, Limits, Peer, PeerNode, RemoteBackend, VerbService};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! let slots = FakeSlots::new().with(FakeBackend::new("small"));
//! let service = VerbService::new(Arc::new(slots), Arc::new(Constraints::default()), Limits::default());
//! let known = InterceptedService::new(service.server(), |mut request: Request<()>| {
//!     request.extensions_mut().insert(PeerNode(1));
//!     Ok(request)
//! });
//! let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
//! let address = format!("http://{}", listener.local_addr().unwrap());
//! tokio::spawn(Server::builder().add_service(known).serve_with_incoming(TcpListenerStream::new(listener)));
//!
//! let peer = Peer {
//!     node: NodeId(2),
//!     channel: Endpoint::from_shared(address).unwrap().connect_lazy(),
//!     lost: Default::default(),
//!     codecs: Arc::new(CodecStore::new(None, Arc::new(ScriptedModels::default()))),
//! };
//! let ctx = RequestCtx::new("r1");
//! let small = RemoteBackend::connect(&peer, &ctx, "small", mpsc::channel(1).0).await.unwrap();
//! assert_eq!(small.card().architecture, "fake");
//! # });
//! ```

pub mod client;
pub mod codecs;
pub mod server;
mod wire;

pub use client::{Peer, RemoteBackend};
pub use codecs::{CodecError, CodecStore};
pub use server::{Limits, PeerNode, VerbService};
pub use wire::pattern;

/// The largest message between nodes. A request of a client is no larger, and its prompt in tokens smaller.
pub const MOST_MESSAGE_BYTES: usize = 4 << 20;
