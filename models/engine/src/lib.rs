//! One synchronous engine: a GGUF model, its KV memory, and the verbs a policy needs.
//!
//! | module | idea |
//! |---|---|
//! | [`verbs`] | plain data: what goes in ([`verbs::Verb`]) and what comes out ([`verbs::JobEvent`]) |
//! | [`tick`] | [`tick::TickEngine`]: submit, tick, read events; no channel, no clock |
//! | [`pace`] | [`pace::Pace`]: what a pass takes by the tokens it decodes |
//! | [`engine`] | [`engine::Engine`]: sequences, jobs, one batched forward pass per tick |
//! | [`model`] | one decoder configured from metadata; one short file per architecture |
//! | [`device`] | the same models on a graphics processor (features `cuda`, `metal`) |
//! | [`bert`] | sentence embeddings by an encoder |
//! | [`kv`] | paged keys and values, shared by prefix, copied on write |
//! | [`sampling`] | choosing, drafting and checking tokens with counter-based randomness |
//! | [`gate`] | the sampler's only view of a constraint |
//! | [`codec`], [`text`] | ids and chat templates, built from GGUF metadata |
//! | [`measure`] | speed of a model beside the machine's ceilings |
//! | [`gguf`] | a reader that assumes the file is hostile |
//! | [`checkpoint`] | folders of safetensors, GPTQ and AWQ among them, in GGUF's terms |
//! | [`error`] | [`EngineError`] and what each variant means for state |
//!
//! **Invariants.** INV-K1: a row's result depends on its own sequence only, bit for bit,
//! whatever shares its pass and however its prompt was cut. INV-K2: a page of KV is written
//! by its one holder only, and never once it is sealed. INV-K3: a page is found by sequences of its
//! own partition only. The engine knows no policy, no
//! channel and no runtime.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use understudy_engine::codec::Codec;
//! use understudy_engine::engine::{Engine, EngineOptions};
//! use understudy_engine::model::Model;
//! use understudy_engine::text::TextModel;
//! use understudy_engine::tick::{Pulse, TickEngine};
//! use understudy_engine::verbs::*;
//! use understudy_kernels::ComputePool;
//!
//! let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/tiny-qwen3.gguf");
//! let model = Arc::new(Model::open(file.as_ref())?);
//! let text = TextModel::from_gguf(model.gguf())?;
//! let pool = Arc::new(ComputePool::new(1));
//! let ends = text.end_tokens().to_vec();
//! let mut engine = Engine::new(model, ends, pool, &EngineOptions::default(), Pulse::default());
//!
//! let prompt = text.encode_prompt("Once upon a time")?;
//! let at = prompt.len();
//! let open = OpenSpec { prompt, ..OpenSpec::default() };
//! engine.submit(JobId(1), Verb::Open(open));
//! let mut events = Vec::new();
//! engine.tick(&mut events);
//! let Some((_, JobEvent::Done { result: Ok(Outcome::Opened { seq, .. }), .. })) = events.pop() else {
//!     panic!("open answers at once");
//! };
//!
//! let spec = RunSpec { max_tokens: 4, stop_when: StopWhen::default(), signals: SignalMode::None };
//! engine.submit(JobId(2), Verb::Run { seq, at, spec });
//! while !events.iter().any(|(_, event)| matches!(event, JobEvent::Done { .. })) {
//!     engine.tick(&mut events);
//! }
//! assert_eq!(events.len(), 5, "four tokens and the end");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bert;
pub mod checkpoint;
pub mod codec;
pub mod device;
pub mod engine;
pub mod error;
pub mod gate;
pub mod gguf;
mod kept;
pub mod kv;
pub mod measure;
pub mod model;
pub mod pace;
pub mod sampling;
pub mod text;
pub mod tick;
pub mod verbs;

pub use error::EngineError;

/// The threads that forward passes run on, shared by the engines of a process.
pub use understudy_kernels::{ComputePool, default_threads, processor};
