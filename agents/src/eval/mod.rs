//! Measures a node on a suite of tasks, as an ordinary client of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`suite`] | [`Suite`]: where items come from and what is asked, one file per suite |
//! | `judge` | is an answer right: SQL by its rows, code by its tests, calls and frames by their values, numbers, texts |
//! | [`runner`] | [`run`]: asks, judges, writes rows |
//! | [`rows`] | [`Rows`]: a header, then one JSON line per item; an interrupted run goes on |
//! | `sample` | which items, when not all |
//! | [`summary`] | [`Summary`]: accuracy or perplexity, latency, speed |
//! | [`mod@compare`] | [`Comparison`]: two runs item by item |
//! | [`examples`] | [`examples::pairs`]: rows of two models as the pairs that a calibration learns from |
//! | [`calibrate`] | [`Calibration`]: profile, thresholds and cross-fitted figures of a ladder |
//! | `stats` | Wilson's interval, McNemar's test, the bootstrap |
//!
//! **Invariants.** A row is written once, when its item is judged, and never changed. What a
//! model says can make an item wrong and nothing else: judges have limits of time and memory.
//! A refusal that concerns every item ends the run without a row, so that the next run asks
//! again.
//!
//! ```no_run
//! use std::time::Duration;
//! use understudy_agents::{Client, eval::{self, Options, Suite}};
//!
//! # async fn measure() -> Result<(), eval::EvalError> {
//! let client = Client::connect("127.0.0.1:7861", Duration::from_secs(2)).await?;
//! let options = Options {
//!     suite: Suite::Gsm8k,
//!     data: "data/gsm8k".into(),
//!     out: "gsm8k.jsonl".into(),
//!     policy: "direct".into(),
//!     model: "qwen2.5-coder-0.5b".into(),
//!     ladder: Vec::new(),
//!     task: String::new(),
//!     constrain: false,
//!     validators: false,
//!     limit: Some(40),
//!     seed: 0,
//!     temperature: 0.0,
//!     max_tokens: None,
//!     concurrency: 1,
//!     timeout: Duration::from_secs(600),
//!     git: "unknown".into(),
//! };
//! let summary = eval::run(&client, &options, &mut |_| {}).await?;
//! println!("{:?}", summary.accuracy());
//! # Ok(())
//! # }
//! ```

pub mod calibrate;
pub mod compare;
mod error;
pub mod examples;
mod judge;
mod routes;
pub mod rows;
pub mod runner;
mod sample;
pub(crate) mod stats;
pub mod suite;
pub mod summary;

pub use calibrate::Calibration;
pub use compare::{Comparison, compare};
pub use error::EvalError;
pub use routes::routes;
pub use rows::Rows;
pub use runner::{Options, Progress, run};
pub use suite::Suite;
pub use summary::Summary;
