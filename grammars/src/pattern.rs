//! Patterns as a caller states them.

use crate::{CallsSpec, GrammarError, GraphqlSpec, JsonSpec, LarkSpec, ProtoFormat, ProtobufSpec, SqlSpec};

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Texts that match this expression as a whole (syntax of the `regex` crate).
    Regex(String),
    /// Exactly these texts.
    Choice(Vec<String>),
    /// JSON values of a schema.
    Json(JsonSpec),
    /// Protobuf messages, as text.
    Protobuf(ProtobufSpec),
    /// SQL whose tables, columns and aliases are those of a schema.
    Sql(SqlSpec),
    /// GraphQL documents that are valid under a schema.
    Graphql(GraphqlSpec),
    /// Texts of a grammar in Lark's syntax.
    Lark(LarkSpec),
    /// Calls of tools, with or without text before them.
    Calls(CallsSpec),
}

impl Pattern {
    /// Whether every text is a JSON value, so that it has a [`Partial`](crate::Partial) value while it is
    /// written.
    pub fn is_json(&self) -> bool {
        match self {
            Self::Json(_) => true,
            Self::Protobuf(spec) => spec.format == ProtoFormat::Json,
            Self::Regex(_)
            | Self::Choice(_)
            | Self::Graphql(_)
            | Self::Lark(_)
            | Self::Sql(_)
            | Self::Calls(_) => false,
        }
    }

    /// Whether the pattern is well formed. Cheap: nothing is compiled.
    ///
    /// # Errors
    /// [`GrammarError::Regex`], [`GrammarError::EmptyChoice`], [`GrammarError::SqlSchema`] or [`GrammarError::Tools`].
    pub fn check(&self) -> Result<(), GrammarError> {
        match self {
            Self::Regex(expression) => regex_syntax::parse(expression)
                .map(|_| ())
                .map_err(|error| GrammarError::Regex(error.to_string())),
            Self::Choice(options) if options.is_empty() || options.iter().any(String::is_empty) => {
                Err(GrammarError::EmptyChoice)
            }
            Self::Choice(_) | Self::Json(_) | Self::Graphql(_) | Self::Protobuf(_) | Self::Lark(_) => Ok(()),
            Self::Sql(spec) => spec.check(),
            Self::Calls(spec) => spec.check(),
        }
    }
}
