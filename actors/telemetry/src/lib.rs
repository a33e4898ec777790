//! Metrics, traces and logs of a node.
//!
//! | module | what it holds |
//! |---|---|
//! | [`telemetry`] | [`Telemetry`]: the handle that a node tells everything to |
//! | [`observation`] | [`Observation`]: follows one request to its end |
//! | [`peers`] | [`PeerFigures`]: other nodes, read when somebody collects |
//! | [`figures`] | [`ModelFigures`]: models and engines, read when somebody collects |
//! | [`settings`] | [`Settings`]: what is exported, and where to |
//! | [`totals`] | [`Totals`]: a few sums since the start |
//! | [`logs`] | the log of the process: lines, records, and a level to change |
//! | [`labels`] | what labels may say |
//!
//! Inside, `instruments` names what requests feed, `record` turns an answer's account into metrics and `spans` into a
//! trace, `context` reads and writes W3C trace context, and `export` brings it all out: one instrument set, read by
//! `/metrics` and pushed to a collector.
//!
//! **Invariants.** Nothing is done per token. No request waits for an exporter, and none fails because of one
//! (INV-T1). Costs in a trace are those of the answer's ledger, since they are made of it (INV-T2). Labels have a
//! bound that no caller can move (INV-T3). Without `content` no word of a prompt or an answer leaves (INV-T4).
//!
//! ```
//! use std::sync::Arc;
//! use understudy_backend::{RequestCtx, fake::{FakeBackend, FakeSlots, Reply}};
//! use understudy_router::{AnswerRequest, RouterConfig, RouterHandle};
//! use understudy_telemetry::{Settings, Telemetry};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let small = FakeBackend::new("small").when("2+2", Reply::text("4"));
//! let slots = Arc::new(FakeSlots::new().with(small));
//! let router = RouterHandle::spawn(RouterConfig::with_ladder(["small"]), slots).await.unwrap();
//!
//! let telemetry = Telemetry::start(&Settings::default());
//! let mut ctx = RequestCtx::new("r1");
//! let request = AnswerRequest::ask("2+2?", "cascade".parse().unwrap());
//! let mut observation = telemetry.answering(&mut ctx, &request, std::time::Duration::ZERO);
//! let mut events = router.answer(ctx, request).unwrap();
//! while let Some(event) = events.next().await {
//!     observation.follow(&event.unwrap());
//! }
//! assert_eq!((telemetry.totals().requests, telemetry.totals().tokens), (1, 1));
//! assert!(telemetry.metrics().contains(r#"understudy_tokens_total{author="small"} 1"#));
//! # });
//! ```

mod context;
mod export;
pub mod figures;
mod instruments;
pub mod labels;
pub mod logs;
pub mod observation;
pub mod peers;
mod record;
pub mod settings;
mod spans;
pub mod telemetry;
pub mod totals;

pub use figures::{EngineFigures, ModelFigures};
pub use observation::{Observation, Operation};
pub use peers::PeerFigures;
pub use settings::{Protocol, Settings};
pub use telemetry::{Telemetry, Waiting};
pub use totals::Totals;
