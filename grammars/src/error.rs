//! Why a pattern could not be compiled.

use std::time::Duration;

/// A pattern's defect, or a budget that it exceeds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// The regular expression does not parse, or needs something that an automaton cannot
    /// decide (back references, look-around, Unicode word boundaries).
    #[error("the regular expression is not usable: {0}")]
    Regex(String),
    /// A choice without options, or with an empty one.
    #[error("a choice needs at least one option and none may be empty")]
    EmptyChoice,
    /// The automaton is larger than the budget allows. Smaller repetition counts, or ASCII
    /// classes such as `[0-9]` instead of `\d`, help.
    #[error("the pattern needs more than {limit} {what}; use smaller repetition counts or ASCII classes")]
    TooLarge {
        /// `states` or `bytes`.
        what: &'static str,
        /// The budget.
        limit: usize,
    },
    /// Compiling took longer than the budget.
    #[error("compiling the pattern took longer than {0:?}")]
    TooSlow(Duration),
    /// A JSON Schema that cannot be used.
    #[error(transparent)]
    Schema(#[from] crate::json::SchemaError),
    /// The GraphQL schema is none, or does not go with the operation.
    #[error("the GraphQL schema is not usable: {problem}{}", at_line(*.line))]
    Graphql {
        /// The line, 0 where it is of no single one.
        line: u32,
        /// What is wrong there.
        problem: String,
    },
    /// No text matches, or none that the vocabulary can spell.
    #[error("no text that the model can write matches the pattern{}", missing(.0))]
    NothingMatches(Vec<u8>),
}

fn at_line(line: u32) -> String {
    if line == 0 { String::new() } else { format!(" (line {line})") }
}

fn missing(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let listed: Vec<_> = bytes.iter().take(8).map(|byte| format!("{byte:#04x}")).collect();
    format!(" (its vocabulary lacks the bytes {})", listed.join(", "))
}
