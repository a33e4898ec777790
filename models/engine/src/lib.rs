//! Understudy's engine (map and example follow when the modules below exist).
pub mod codec;
pub mod error;
pub mod gate;
pub mod gguf;
pub mod tick;
pub mod verbs;
pub use error::EngineError;
