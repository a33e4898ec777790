//! Patterns as a caller states them.

use crate::{GrammarError, GraphqlSpec, JsonSpec};

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Texts that match this expression as a whole (syntax of the `regex` crate).
    Regex(String),
    /// Exactly these texts.
    Choice(Vec<String>),
    /// JSON values of a schema.
    Json(JsonSpec),
    /// GraphQL documents that are valid under a schema.
    GraphQl(GraphqlSpec),
}

impl Pattern {
    /// Whether the pattern is well formed. Cheap: nothing is compiled.
    ///
    /// # Errors
    /// [`GrammarError::Regex`] or [`GrammarError::EmptyChoice`].
    pub fn check(&self) -> Result<(), GrammarError> {
        match self {
            Self::Regex(expression) => regex_syntax::parse(expression)
                .map(|_| ())
                .map_err(|error| GrammarError::Regex(error.to_string())),
            Self::Choice(options) if options.is_empty() || options.iter().any(String::is_empty) => {
                Err(GrammarError::EmptyChoice)
            }
            Self::Choice(_) | Self::Json(_) | Self::GraphQl(_) => Ok(()),
        }
    }
}
