//! Where bytes come from: the model hub, then packages.

pub(crate) mod client;
pub(crate) mod hub;
pub(crate) mod packages;
mod watched;
mod wheel;
