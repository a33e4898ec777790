//! What can go wrong with a ledger, and what to do.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is none.
    #[error("{}: there is no ledger yet: a node writes one while it serves", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The folder or the file is out of reach.
    #[error("{}: {why}: see that this user can write there and that the disk has room", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The file is damaged, or is something else.
    #[error("{}: {why}: move the file away, and a new one is begun", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file was written by a newer version.
    #[error("{}: its schema is {found}, this version knows {known}: update, or move the file away", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that this version knows.
        known: u32,
    },
    /// A line that is no entry.
    #[error("entry {at}: {why}: export it again with the same version")]
    BadEntry {
        /// The entry's number in the file, or its line.
        at: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Too much waits to be written.
    #[error("{waiting} notes wait to be written: try again in a moment")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// It was not written.
    #[error("it could not be written: the node's log says why")]
    Unwritten,
}

impl LedgerError {
    /// What SQLite says of this file, in our terms.
    pub(crate) fn of(path: &Path, error: rusqlite::Error) -> Self {
        let (path, why) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged { path, why },
            _ => Self::Unusable { path, why },
        }
    }
}
