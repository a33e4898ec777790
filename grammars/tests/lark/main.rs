//! Grammars in Lark's syntax: verdicts against Lark's own, random grammars against their texts written
//! out, walks against recognisers written here.

#![allow(clippy::print_stderr)] // says what hostile grammars cost

mod hostile;
mod judged;
mod random;
#[path = "../common/soon.rs"]
mod soon;
mod support;
mod syntax;
mod verdicts;
