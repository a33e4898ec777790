//! JSON, under JSON Schema.
//!
//! | module | what it holds |
//! |---|---|
//! | `schema`, `keywords` | a schema document: its draft and its parts; what each keyword says |
//! | `reference` | where references lead |
//! | `formula` | what is said, in negation normal form |
//! | `kinds` | what is left of a formula for one kind of value |
//! | `disjoint`, `unevaluated` | `oneOf` without negations; `unevaluatedProperties` and its like |
//! | `scalar` | strings and numbers as automata |
//! | `keys`, `object`, `members` | an object's keys, what one changes about what is due, and which may be read |
//! | `array` | what an item changes |
//! | `taken` | keys and items that may not come again |
//! | `value`, `language` | all of it as a `Language` of the machine |
//! | [`partial`] | [`Partial`](partial::Partial): the value that a text has so far |
//! | [`error`] | [`SchemaError`] |
//!
//! A value under several schemas is read under all of them at once: the parts of a conjunction are
//! carried on together, and alternatives are taken where a key or an item decides between them.
//! So every value that is written satisfies the whole schema, whatever the order of its keys.

mod array;
mod disjoint;
pub mod error;
mod formula;
mod keys;
mod keywords;
mod kinds;
mod language;
mod members;
mod object;
pub mod partial;
mod reference;
mod scalar;
mod schema;
mod taken;
mod unevaluated;
mod value;

pub use error::SchemaError;
pub(crate) use language::Json;

use std::sync::Arc;

use crate::{Budget, GrammarError, Vocabulary, Whitespace};

/// Which JSON texts are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonSpec {
    /// A JSON Schema (draft 4 to 2020-12) as JSON text; `true` for any value.
    pub schema: String,
    /// Whitespace between tokens.
    pub whitespace: Whitespace,
    /// Whether `format` is asserted. Without it is an annotation, which is what JSON Schema says of
    /// it unless told otherwise.
    pub formats: bool,
}

impl JsonSpec {
    /// Values of a schema, formats asserted, usual whitespace.
    pub fn new(schema: impl Into<String>) -> Self {
        Self { schema: schema.into(), whitespace: Whitespace::Usual, formats: true }
    }

    /// Any object.
    pub fn object() -> Self {
        Self::new("{\"type\": \"object\"}")
    }
}

/// Largest schema read, in bytes.
const LARGEST: usize = 8 << 20;

/// The language of a schema.
pub(crate) fn compile(
    spec: &JsonSpec,
    vocabulary: &Arc<Vocabulary>,
    budget: &Budget,
) -> Result<Json, GrammarError> {
    Json::new(document(spec)?, spec.whitespace, false, vocabulary, budget)
}

/// The same of those of its values that are objects.
pub(crate) fn compile_objects(
    spec: &JsonSpec,
    vocabulary: &Arc<Vocabulary>,
    budget: &Budget,
) -> Result<Json, GrammarError> {
    Json::new(document(spec)?, spec.whitespace, true, vocabulary, budget)
}

fn document(spec: &JsonSpec) -> Result<schema::Document, GrammarError> {
    if spec.schema.len() > LARGEST {
        return Err(GrammarError::TooLarge { what: "bytes of schema", limit: LARGEST });
    }
    Ok(schema::Document::new(&spec.schema, spec.formats)?)
}
