//! The rules of membership, one by one. Numbers are those of docs/invariants.md.

mod admission;
mod bounds;
mod dials;
mod facts;
mod hearsay;
mod hostile;
mod lan;
mod links;
mod liveness;
mod one;
