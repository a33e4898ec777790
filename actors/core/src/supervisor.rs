//! One supervisor for everything that may die.
//!
//! ractor reports a child's end and leaves the rest to us. [`plan`] decides (pure, no IO,
//! no clock of its own), [`actor`] carries decisions out.

pub mod actor;
pub mod backoff;
pub mod plan;
#[cfg(test)]
mod tests;

pub use actor::{ChildEvent, ChildSpec, Failure, Supervisor, SupervisorArgs, SupervisorError, SupervisorMsg};
pub use backoff::Backoff;
pub use plan::{Action, ChildKind, Exhausted, Exit, Intensity, Plan, PlanOptions, Strategy};
