//! Constraints on generated text: which tokens may come next.
//!
//! | module | what it holds |
//! |---|---|
//! | [`constraint`] | the [`Constraint`] trait: mask, accept, rollback, fork, forced tokens |
//! | [`vocabulary`] | [`Vocabulary`]: a model's tokens as plain bytes, in a prefix tree |
//! | [`pattern`] | [`Pattern`]: what texts are wanted |
//! | [`grammar`], [`matcher`] | [`Grammar`], a pattern compiled for a vocabulary, and its [`Matcher`] |
//! | [`json`] | JSON under JSON Schema; [`Partial`]: the value that a JSON text has so far |
//! | [`protobuf`] | Protobuf messages in the text format and as JSON, and their encoding |
//! | [`sql`] | SQL whose names are those of a schema |
//! | [`graphql`] | GraphQL operations under a schema |
//! | [`calls`] | calls of tools in an answer, and [`CallReader`], which tells them from its text |
//! | [`lark`] | texts of a grammar of one's own, in Lark's syntax |
//! | [`cache`] | [`GrammarCache`]: compiled grammars by vocabulary and pattern, bounded |
//! | [`measure`] | what constraints cost and whether they keep their promises, on given cases |
//! | [`error`] | [`GrammarError`] |
//!
//! This crate knows neither models nor IO: a vocabulary is bytes, a mask is bits.
//!
//! Invariants, each with a test of that number:
//! - **INV-G1** a text made of allowed tokens, ended where the end is allowed, matches the
//!   pattern as a whole; and every text that matches can be made.
//! - **INV-G2** no dead ends: from every state that allowed tokens reach, the pattern can
//!   be completed with tokens of the vocabulary.
//! - **INV-G3** `rollback(n)` after `n` accepted tokens restores mask and verdicts.
//!
//! ```
//! use std::sync::Arc;
//! use understudy_grammars::{Budget, Constraint, Grammar, Pattern, Vocabulary};
//!
//! let tokens = ["y", "e", "s", "n", "o", "yes", ""];
//! let vocabulary = Arc::new(Vocabulary::new("demo", tokens, vec![6]));
//! let pattern = Pattern::Choice(vec!["yes".into(), "no".into()]);
//! let mut matcher = Grammar::compile(&pattern, &vocabulary, &Budget::default())?.matcher();
//!
//! let mut allowed = [0_u32; 1];
//! matcher.mask(&mut allowed);
//! assert_eq!(allowed[0], 0b0101001); // "y", "n", "yes"
//! assert!(matcher.try_accept(3));
//! assert_eq!(matcher.forced(), [4]); // after "n" only "o"
//! # Ok::<(), understudy_grammars::GrammarError>(())
//! ```

mod bits;
pub mod cache;
pub mod calls;
pub mod constraint;
pub mod error;
pub mod grammar;
pub mod graphql;
pub mod json;
pub mod lark;
mod lexeme;
mod machine;
pub mod matcher;
pub mod measure;
pub mod pattern;
mod plain;
mod plainness;
pub mod protobuf;
pub mod sql;
mod tree;
pub mod vocabulary;
mod whitespace;

pub use cache::GrammarCache;
pub use calls::{CallPiece, CallReader, CallsSpec, ToolSpec};
pub use constraint::Constraint;
pub use error::GrammarError;
pub use grammar::{Budget, Grammar};
pub use graphql::{GraphqlSpec, OperationKind};
pub use json::partial::{Partial, PartialError, PartialValue};
pub use json::{JsonSpec, SchemaError};
pub use lark::LarkSpec;
pub use matcher::Matcher;
pub use pattern::Pattern;
pub use protobuf::{ProtoFormat, ProtoSource, ProtobufSpec};
pub use sql::{Dialect, SqlSpec};
pub use vocabulary::{TokenId, Vocabulary};
pub use whitespace::Whitespace;
