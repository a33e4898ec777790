//! The verbs an engine offers to a policy, whoever carries them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ids`] | ids of requests, nodes and sequences |
//! | [`ctx`] | [`RequestCtx`], which travels with every message |
//! | [`error`] | [`BackendError`] and what each variant means for state |
//! | [`backend`] | the [`Backend`] trait, [`RunStream`], and [`Slots`], which finds a backend by name |
//! | [`fake`] | a scripted backend for tests of everything above an engine |
//!
//! One trait, three carriers: an engine thread of this process, a remote node, and the
//! fake. A policy cannot tell them apart.
//!
//! **Invariant INV-B1**: every verb either answers within its request's deadline or fails
//! with [`BackendError::Deadline`]; none waits for ever.

pub mod backend;
pub mod ctx;
pub mod error;
pub mod fake;
pub mod ids;

pub use backend::{Backend, LoadEvent, ModelCard, OpenGate, OpenRequest, Opened, RunEvent, RunStream, Slots};
pub use ctx::{Priority, RequestCtx};
pub use error::BackendError;
pub use ids::{NodeId, RequestId, SeqId};
pub use understudy_engine::pace::Pace;
