//! Policies over verbs: who answers a request, and the account of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`request`] | [`AnswerRequest`], [`PolicySpec`], [`Pattern`]: what a caller asks |
//! | [`policy_spec`] | `"cascade:threshold=0.6"` and back |
//! | [`config`] | [`RouterConfig`]: ladder, thresholds, limits |
//! | [`events`] | [`AnswerEvent`], [`Finished`]: what the caller hears |
//! | [`transcript`] | [`Transcript`]: folds events to the text shown |
//! | [`ledger`] | [`Ledger`]: who wrote what, at which cost, and why |
//! | [`confidence`] | how sure a model was of an answer, as one number |
//! | [`handle`] | [`RouterHandle`] and [`AnswerStream`]: the way in and out |
//! | [`actor`] | [`RouterActor`], and the actor of one request |
//! | [`error`] | [`RouterError`] |
//!
//! Inside, a policy (`policies/`) is a small program over `generate` (one rung writes,
//! with failover) and `answer` (what has been shown, and the books).
//!
//! ```
//! use std::sync::Arc;
//! use understudy_backend::{RequestCtx, fake::{FakeBackend, FakeSlots, Reply}};
//! use understudy_router::{AnswerEvent, AnswerRequest, RouterConfig, RouterHandle, Transcript};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let small = FakeBackend::new("small").when("2+2", Reply::text("5").logprob(-3.0).signals(3.0, 0.1));
//! let large = FakeBackend::new("large").when("2+2", Reply::text("4"));
//! let slots = Arc::new(FakeSlots::new().with(small).with(large));
//! let router = RouterHandle::spawn(RouterConfig::with_ladder(["small", "large"]), slots).await.unwrap();
//!
//! let request = AnswerRequest::ask("2+2?", "cascade".parse().unwrap());
//! let mut events = router.answer(RequestCtx::new("r1"), request).unwrap();
//! let mut transcript = Transcript::default();
//! while let Some(event) = events.next().await {
//!     transcript.apply(&event.unwrap()).unwrap();
//! }
//! assert_eq!(transcript.text(), "4"); // "5" was shown, then retracted
//! assert_eq!(transcript.finished().unwrap().ledger.rungs[0].tokens_wasted, 1);
//! # });
//! ```

pub mod actor;
mod bias;
mod books;
mod candidate;
pub mod confidence;
pub mod config;
mod costs;
mod critic;
mod desk;
mod drafters;
pub mod error;
pub mod events;
pub mod handle;
mod judge;
pub mod ledger;
mod plan;
pub mod policies;
pub mod policy_spec;
mod prompt;
pub mod request;
pub mod rules;
mod screen;
mod segments;
mod session;
pub mod transcript;
mod validators;
mod warming;
mod wording;
mod writers;

pub use actor::RouterActor;
pub use config::{Databases, RouterConfig, Rung};
pub use error::RouterError;
pub use events::{AnswerEvent, Drafts, FinishReason, Finished, Origin, TokenLogprob};
pub use handle::{ANSWER_CHANNEL_CAPACITY, AnswerStream, RouterHandle};
pub use ledger::{CandidateRecord, Decision, DecisionKind, Ledger, RungCost, Span, ValidatorRecord, Verdict};
pub use policy_spec::{PolicySpec, Settles};
pub use request::{AnswerRequest, ValidatorSpec};
pub use session::MOST_LANE;
pub use transcript::Transcript;
pub use understudy_actors::constraints::{gate, vocabulary_of};
pub use understudy_calibration::LadderProfile;
pub use understudy_grammars::{
    CallPiece, CallReader, CallsSpec, Dialect, GraphqlSpec, JsonSpec, LarkSpec, OperationKind, Partial,
    Pattern, ProtoFormat, ProtoSource, ProtobufSpec, SqlSpec, ToolSpec, Whitespace,
};
