//! JSON Schema.

pub mod partial;
pub(crate) mod scalar;
