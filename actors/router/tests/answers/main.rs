//! Answers end to end over scripted models, with a paused clock.

mod best_of_n;
mod cascade;
mod direct;
mod events;
mod failover;
mod friend;
mod places;
mod route;
mod speculate;
mod tokens;
mod told;
