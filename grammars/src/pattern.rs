//! Patterns as a caller states them.

use crate::GrammarError;

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Texts that match this expression as a whole (syntax of the `regex` crate).
    Regex(String),
    /// Exactly these texts.
    Choice(Vec<String>),
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
            Self::Choice(_) => Ok(()),
        }
    }

    /// The regular expression of the same set.
    pub(crate) fn expression(&self) -> String {
        match self {
            Self::Regex(expression) => expression.clone(),
            Self::Choice(options) => {
                let escaped: Vec<_> = options.iter().map(|option| regex_syntax::escape(option)).collect();
                escaped.join("|")
            }
        }
    }
}
