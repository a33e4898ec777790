//! Why an evaluation stops.

use std::path::Path;

use crate::ClientError;

/// What went wrong. Rows written before stay valid: the same command goes on after them.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The user's input is wrong: data, options, or a file of rows from something else.
    #[error("{0}")]
    Input(String),
    /// The node refused, or went away, in a way that concerns every item.
    #[error(transparent)]
    Node(Box<ClientError>),
    /// The file of rows cannot be written.
    #[error("{0}")]
    Output(String),
}

impl From<ClientError> for EvalError {
    fn from(error: ClientError) -> Self {
        Self::Node(Box::new(error))
    }
}

impl EvalError {
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    /// A file that was to be read and cannot be.
    pub(crate) fn unreadable(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::Input(format!("{}: {why}", path.display()))
    }

    pub(crate) fn unwritable(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::Output(format!("{}: {why}", path.display()))
    }
}
