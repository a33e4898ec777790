//! Answers end to end over scripted models, with a paused clock.

mod cascade;
mod direct;
mod failover;
mod told;
