//! Policies over verbs (map and example follow).
pub mod events;
pub mod ledger;
pub mod request;
