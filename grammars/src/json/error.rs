//! Why a schema cannot be used.

use super::scalar::ScalarError;

/// What is wrong with a schema, or what of it cannot be guaranteed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is no JSON, or nested too deeply.
    #[error("the schema is not valid JSON: {0}")]
    Syntax(String),
    /// A keyword's value is not what the keyword needs.
    #[error("`{keyword}` at {at} needs {needs}")]
    Malformed {
        /// The keyword.
        keyword: String,
        /// JSON pointer of the schema that holds it.
        at: String,
        /// What its value should be.
        needs: &'static str,
    },
    /// Validity under the keyword cannot be guaranteed, so it is refused rather than ignored.
    #[error("`{keyword}` cannot be guaranteed {why}; leave it out or check it afterwards")]
    Unsupported {
        /// The keyword.
        keyword: String,
        /// In which case.
        why: String,
    },
    /// A reference that leads nowhere, or out of the document: nothing is fetched.
    #[error("`$ref` {0:?} does not lead to a part of this document, and nothing is fetched")]
    Unresolved(String),
    /// References that lead to themselves without reading anything.
    #[error("`$ref` {0:?} leads back to itself")]
    Cycle(String),
    /// Schemas that say something of one value only by way of each other, in too long a row.
    #[error("`$ref`, `allOf`, `anyOf`, `oneOf` or values of `enum` are nested too deeply within each other")]
    TooDeep,
    /// The pointers and identifiers of all parts are too long together.
    #[error("the schema's parts have names of more than {0} bytes in all, counted from the root")]
    Pointers(usize),
    /// More parts than can be dealt with soon.
    #[error("the schema has too many parts: more than {limit} {what}")]
    TooLarge {
        /// Of what there are too many.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The schema accepts no value, or none that the vocabulary can spell.
    #[error("no value satisfies the schema")]
    Unsatisfiable,
}

/// A part of a schema for a message, which may be of any length.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl SchemaError {
    pub(crate) fn unsupported(keyword: &str, why: impl Into<String>) -> Self {
        Self::Unsupported { keyword: keyword.into(), why: why.into() }
    }
}

impl From<ScalarError> for SchemaError {
    fn from(error: ScalarError) -> Self {
        let keyword = match &error {
            ScalarError::Pattern { .. } => "pattern",
            ScalarError::Divisor(_) => "multipleOf",
            ScalarError::TooDeep(_) | ScalarError::Budget(_) => "this combination of strings or numbers",
        };
        Self::unsupported(keyword, format!("({error})"))
    }
}
