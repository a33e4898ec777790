//! `ask --json`: the contract's object.

pub use understudy_agents::account::answer;
