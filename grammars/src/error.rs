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
    /// Tools that cannot be told apart or named, none, or too many.
    #[error("the tools are not usable: {0}")]
    Tools(String),
    /// A tool whose parameters cannot be used.
    #[error("the parameters of the tool {name:?}: {error}")]
    Tool {
        /// The tool.
        name: String,
        /// What is wrong with them.
        error: Box<GrammarError>,
    },
    /// The text of the SQL schema cannot be read, or has something of which names cannot be told.
    #[error("the SQL schema is not usable: {0}")]
    SqlSchema(String),
    /// The GraphQL schema is none, or does not go with the operation.
    #[error("the GraphQL schema is not usable: {problem}{}", at_line(*.line))]
    Graphql {
        /// The line, 0 where it is of no single one.
        line: u32,
        /// What is wrong there.
        problem: String,
    },
    /// The Lark grammar cannot be used.
    #[error("the Lark grammar is not usable: {problem} (line {line}, column {column})")]
    Lark {
        /// The line, from 1.
        line: u32,
        /// The character in it, from 1.
        column: u32,
        /// What is wrong there, and what to do.
        problem: String,
    },
    /// No text matches, or none that the vocabulary can spell.
    #[error("no text that the model can write matches the pattern{}", missing(.0))]
    NothingMatches(Vec<u8>),
    /// Definitions of Protobuf messages do not compile.
    #[error("the Protobuf definitions are not usable: {0}")]
    Protobuf(String),
    /// A `.proto` file imports one that is neither given nor a well-known one.
    #[error("{file} imports {import:?}, which is not among the given files; add it by that name")]
    ProtobufImport {
        /// The file with the import.
        file: String,
        /// What it imports.
        import: String,
    },
    /// There is no message of the name that was asked for.
    #[error("the Protobuf definitions have no message {0:?}; give its full name, package included")]
    ProtobufMessage(String),
    /// Required fields lead back to the message itself, or deeper than decoders follow.
    #[error("no {0} can be complete: its required fields nest without end, or deeper than {1} levels")]
    ProtobufEndless(String, u8),
    /// A text is not one of the message.
    #[error("the text is no {message}: {reason}")]
    ProtobufText {
        /// The message's full name.
        message: String,
        /// What a reader of the format says.
        reason: String,
    },
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
