//! The edge of a node: gRPC and HTTP outside, router and models inside.
//!
//! | module | what it holds |
//! |---|---|
//! | [`node`] | [`Node`]: starts, answers in this process, serves, drains |
//! | [`config`] | [`NodeConfig`]: every setting with its default and unit |
//! | [`answer`] | [`Answer`]: one answer, event by event |
//! | [`inference`] | [`Inference`]: generate, embed, score, tokenize |
//! | [`models`] | [`Models`]: list, load, unload, watch |
//! | `listener` | connections: how many, how long each stage may take, TLS, how they end |
//! | `door` | what every request passes first: paths, origins, keys, bodies |
//! | [`pages`] | [`Pages`]: what is served over HTTP, and how it refuses |
//! | [`keys`] | API keys and their file |
//! | [`caller`] | [`Caller`]: who calls, and what they may |
//! | `resume` | answers that outlive their gateway |
//! | [`tools`] | tools of a request, and calls in its answer |
//! | [`admission`] | [`Admission`]: how many requests at once, who waits, and how a node drains |
//! | [`engines`] | [`GgufEngines`]: the real engines of a node |
//! | [`codes`] | the table of error codes, read by gateway, CLI and book |
//! | [`failure`] | [`Failure`]: a refusal with code, facts, fields, help and retry |
//! | [`server`] | the two servers: what is served where |
//!
//! **Invariants.** Every call has a deadline: the caller's, and never later than the
//! node's. A caller that leaves cancels its request. A request waits only for a place that it is
//! expected to get in time; else it is refused at once with `OVERLOADED` and a time to try again.
//! Every refusal carries a code of [`codes::ALL`], whatever the caller sent.
//!
//! ```
//! use std::sync::Arc;
//! # use understudy_backend::{Backend, BackendError, LoadEvent};
//! use understudy_backend::{RequestCtx, fake::{FakeBackend, FakeSlots, Reply}};
//! use understudy_gateway::{Node, NodeConfig, Parts};
//! use understudy_proto::v1::{GenerateRequest, ModelStatus, generate_event::Event};
//! use understudy_router::RouterHandle;
//! # struct NoModels;
//! # #[async_trait::async_trait]
//! # impl understudy_gateway::ModelControl for NoModels {
//! #     fn list(&self) -> Vec<ModelStatus> { Vec::new() }
//! #     fn changes(&self) -> tokio::sync::watch::Receiver<u64> { tokio::sync::watch::channel(0).1 }
//! #     async fn load(
//! #         &self, _: &RequestCtx, name: &str, _: tokio::sync::mpsc::Sender<LoadEvent>,
//! #     ) -> Result<Arc<dyn Backend>, BackendError> {
//! #         Err(BackendError::UnknownModel { name: name.into(), suggestion: None })
//! #     }
//! #     async fn unload(&self, _: &RequestCtx, _: &str) -> Result<ModelStatus, understudy_gateway::Failure> {
//! #         Ok(ModelStatus::default())
//! #     }
//! # }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let config = NodeConfig::parse("[[ladder]]\nmodel = \"small\"\n", "example").unwrap();
//! let slots = Arc::new(FakeSlots::new().with(FakeBackend::new("small").when("2+2", Reply::text("4"))));
//! let router = RouterHandle::spawn(config.router().unwrap(), slots.clone()).await.unwrap();
//! let node = Node::assemble(config, Parts { router, slots, control: Arc::new(NoModels) });
//!
//! let request = GenerateRequest { prompt: "2+2?".into(), ..Default::default() };
//! let mut answer = node.inference().generate(RequestCtx::new("r1"), request).await.unwrap();
//! let mut text = String::new();
//! while let Some(event) = answer.next().await {
//!     if let Some(Event::Finished(finished)) = event.unwrap().event {
//!         text = finished.text;
//!     }
//! }
//! assert_eq!(text, "4");
//! # });
//! ```

pub mod admission;
pub mod answer;
mod bidi;
mod call;
pub mod caller;
mod cluster;
pub mod codes;
pub mod config;
mod constraint;
mod door;
pub mod engines;
pub mod failure;
mod figures;
mod file_watch;
mod health;
mod http;
pub mod inference;
pub mod keys;
mod listener;
mod local;
mod memory;
mod meter;
pub mod models;
pub mod node;
mod notes;
pub mod pages;
mod partials;
mod resume;
mod score;
pub mod server;
pub mod tools;
mod watching;
mod web;
mod wire;

pub use admission::Admission;
pub use answer::Answer;
pub use caller::Caller;
pub use cluster::service::ClusterService;
pub use codes::ErrorCode;
pub use config::NodeConfig;
pub use engines::GgufEngines;
pub use failure::Failure;
pub use inference::Inference;
pub use keys::Keyring;
pub use listener::{ConnectionCounts, Peer, raise_file_limit};
pub use models::{ModelControl, Models};
pub use node::{Node, Parts};
pub use pages::Pages;
pub use server::Addresses;
pub use understudy_telemetry::Telemetry;
