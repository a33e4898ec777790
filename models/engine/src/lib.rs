//! Understudy's engine (map and example follow when the modules below exist).
pub mod codec;
pub mod error;
pub mod gate;
pub mod gguf;
pub mod tick;
pub mod verbs;
//ENG pub mod engine;
pub mod kv;
pub mod model;
pub mod sampling;
pub mod text;
pub use error::EngineError;
