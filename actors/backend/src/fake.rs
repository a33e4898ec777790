//! A scripted backend for tests of everything above an engine.
//!
//! | type | what it is |
//! |---|---|
//! | [`FakeBackend`] | a [`Backend`](crate::Backend) that plays [`Reply`]s |
//! | [`FakeSlots`] | a [`Slots`](crate::Slots) over fakes, with loading, failing and unknown models |
//! | [`Reply`], [`Fault`] | what is said to which prompt, how confidently, how slowly, and what breaks |
//! | [`ByteCodec`] | one token per byte, id 256 ends |
//! | [`Call`] | what a test sees of the verbs that arrived |
//!
//! The fake keeps the rules of a real backend: lengths and `at` are checked, handles of
//! closed sequences and of lost engines are stale, runs travel through a bounded channel,
//! a cancelled request loses its sequences. Delays are tokio time, so a paused clock
//! makes them free.
//!
//! A reply is a function of position: token `n` after the last `<assistant>` mark of the
//! sequence is byte `n` of the reply. A sequence reopened from prompt and emitted ids
//! therefore goes on where it stopped, and a teacher's segment replaces as many tokens
//! as it has.
//!
//! ```
//! use understudy_backend::{Backend, OpenRequest, RequestCtx, RunEvent};
//! use understudy_backend::fake::{FakeBackend, Reply};
//! use understudy_engine::{codec::ChatMessage, verbs::{RunSpec, SamplerSpec, SignalMode, StopWhen}};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let backend = FakeBackend::new("small").when("2+2", Reply::text("4").logprob_at(0, -0.7));
//! let ctx = RequestCtx::new("r1");
//! let codec = backend.codec();
//! let ask = [ChatMessage::new("user", "what is 2+2?")];
//! let prompt = codec.encode_prompt(&codec.render(&ask, &[]).unwrap()).unwrap();
//! let at = prompt.len();
//! let opened = backend
//!     .open(&ctx, OpenRequest { prompt, sampler: SamplerSpec::default(), gate: None })
//!     .await
//!     .unwrap();
//! let spec = RunSpec { max_tokens: 8, stop_when: StopWhen::default(), signals: SignalMode::None };
//! let mut run = backend.run(&ctx, opened.seq, at, spec).await.unwrap();
//! let RunEvent::Step(step) = run.next(&ctx).await.unwrap() else { panic!("no token") };
//! assert_eq!(codec.token_bytes(step.token), b"4");
//! assert_eq!(step.logprob, -0.7);
//! assert!(matches!(run.next(&ctx).await.unwrap(), RunEvent::Stopped { .. }));
//! # });
//! ```

mod backend;
mod call;
mod codec;
mod play;
mod reply;
mod sequences;
mod setup;
mod slots;
#[cfg(test)]
mod tests;
mod verify;

pub use backend::FakeBackend;
pub use call::Call;
pub use codec::ByteCodec;
pub use reply::{Fault, Reply};
pub use slots::FakeSlots;
