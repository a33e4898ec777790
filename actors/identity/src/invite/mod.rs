//! Invites: what a member shows on its screen, and a person types in on another.

mod book;
mod code;

pub(crate) use book::{Granted, Ticket};
pub use book::{InviteError, Invites, LASTS, MOST_OPEN, MOST_TRIES, Shown};
pub use code::{InviteCode, NotACode};
