//! JSON Schema.

pub(crate) mod scalar;
