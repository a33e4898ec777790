//! Supervision, model actors and engine threads of one node.
//!
//! | module | what it holds |
//! |---|---|
//! | [`supervisor`] | restart strategies, intensity and backoff: a pure plan and the actor that follows it |
//! | [`engine_thread`] | the OS thread that owns an engine, its bounded inbox, leases, and the watchdog |
//! | [`model_actor`] | a slot's life from unloaded to ready and back, restarted by its supervisor |
//! | [`local_backend`] | the verbs over the present engine of a slot |
//! | [`local_slots`] | models by name: load on demand, list, watch, unload |
//! | [`source`] | where model files and engines come from (traits; the node wires the real ones) |
//! | [`constraints`] | patterns as gates of the sampler, compiled once per vocabulary |
//! | [`tree`] | the node's supervision tree and its drain |
//! | [`memory`] | one budget for the weights and KV of all models; who is unloaded to make room |
//! | [`health`] | when the process should leave |
//! | [`clock`] | time, injected |
//! | [`scripted`] | an engine without a model that can panic, hang and be slow, for fault tests |
//!
//! Tokens never pass through a mailbox: engine thread to reader is one bounded channel per
//! run. Cancellation is a token polled before each tick. Reply senders live in a table
//! that the watchdog shares, so a hung thread holds nobody.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use understudy_actors::{
//!     engine_thread::EngineConfig, health::NodeHealth, local_slots::LocalSlots, model_actor::SlotConfig,
//!     scripted::{Script, ScriptedModels}, tree::{NodeTree, TreeOptions},
//! };
//! use understudy_backend::{RequestCtx, Slots};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! let models = Arc::new(ScriptedModels::new([Script::new("alphabet")]));
//! let slots = LocalSlots::new(SlotConfig::new(EngineConfig::new("")), models.clone(), models);
//! let health = Arc::new(NodeHealth::default());
//! let tree = NodeTree::start(TreeOptions::default(), slots.clone(), health, vec![]).await.unwrap();
//!
//! let (progress, _) = tokio::sync::mpsc::channel(1);
//! let ctx = RequestCtx::new("r1").with_timeout(Duration::from_secs(5));
//! let backend = slots.backend(&ctx, "alphabet", progress).await.unwrap();
//! assert_eq!(backend.card().architecture, "scripted");
//! tree.drain(Duration::from_secs(1)).await;
//! # });
//! ```

pub mod clock;
pub mod constraints;
pub mod engine_thread;
pub mod health;
pub mod local_backend;
pub mod local_slots;
pub mod memory;
pub mod model_actor;
pub mod scripted;
pub mod source;
pub mod supervisor;
pub mod tree;

pub use constraints::{ConstraintError, Constraints};
pub use engine_thread::{EngineConfig, EngineExit, EngineHandle};
pub use health::{HealthSignal, NodeHealth};
pub use local_backend::LocalBackend;
pub use local_slots::LocalSlots;
pub use memory::MemoryBudget;
pub use model_actor::{SlotConfig, SlotState, SlotStatus};
pub use source::{EngineFactory, LoadError, LoadedModel, MakeEngine, ModelSource};
pub use tree::{NodeTree, TreeOptions};
