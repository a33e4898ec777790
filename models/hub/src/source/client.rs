//! The Python package client of this machine: whichever answers first.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::error::{PullError, at};
use crate::settings::Settings;
use crate::source::watched::{self, Ended};

/// Only wheels, without what they depend on: a source package would run code of its own to build.
const DOWNLOAD: [&str; 8] = [
    "download",
    "--no-deps",
    "--only-binary=:all:",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--no-input",
    "--quiet",
    "--dest",
];
/// A client answers its version within this, one that must first be fetched by its runner included.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const TAIL_LINES: usize = 6;
const TAIL_BYTES: usize = 2000;

/// The clients not yet given up, for the length of one pull.
pub(crate) struct Client<'a> {
    settings: &'a Settings,
    cancel: &'a AtomicBool,
    /// Position in `settings.clients` of the client in use or next to be asked.
    position: usize,
    answered: bool,
    /// `pip`, `pip3` and `python -m pip` are mostly one program: each is tried once.
    versions: HashSet<String>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(settings: &'a Settings, cancel: &'a AtomicBool) -> Self {
        Self { settings, cancel, position: 0, answered: false, versions: HashSet::new() }
    }

    /// Finds a client that answers.
    pub(crate) fn find(&mut self, staging: &Path) -> Result<(), PullError> {
        while !self.answered {
            let Some(words) = self.settings.clients.get(self.position) else {
                let tried = self.settings.clients.iter().map(|words| words.join(" ")).collect();
                return Err(PullError::NoClient { tried });
            };
            self.answered = match self.version(words, staging)? {
                Some(version) => self.versions.insert(version),
                None => false,
            };
            if !self.answered {
                self.position += 1;
            }
        }
        Ok(())
    }

    /// Fetches one wheel into `staging` and returns its path. A client that fails is given up for the
    /// next one; the first one's failure is what is told if none is left.
    pub(crate) fn download(
        &mut self,
        requirement: &str,
        staging: &Path,
        on_size: &mut dyn FnMut(u64),
    ) -> Result<PathBuf, PullError> {
        let mut first_failure = None;
        loop {
            if let Err(none_left) = self.find(staging) {
                return Err(first_failure.unwrap_or(none_left));
            }
            let words = self.settings.clients.get(self.position).cloned().unwrap_or_default();
            match self.try_download(&words, requirement, staging, on_size) {
                Err(error) if !error.stops_the_pull() => {
                    tracing::info!(client = words.join(" "), requirement, %error, "package client failed");
                    first_failure.get_or_insert(error);
                    self.position += 1;
                    self.answered = false;
                }
                ended => return ended,
            }
        }
    }

    fn try_download(
        &self,
        words: &[String],
        requirement: &str,
        staging: &Path,
        on_size: &mut dyn FnMut(u64),
    ) -> Result<PathBuf, PullError> {
        let work = tempfile::tempdir_in(staging).map_err(at(staging))?;
        let destination = work.path().join("wheel");
        fs::create_dir(&destination).map_err(at(&destination))?;
        let errors = work.path().join("client.log");
        let log = File::create(&errors).map_err(at(&errors))?;

        let mut command = command(words, work.path());
        command.args(DOWNLOAD).arg(&destination).arg(requirement).stdout(Stdio::null()).stderr(log);
        let client = || words.join(" ");
        let failed = |stderr: String| PullError::ClientFailed {
            client: client(),
            package: requirement.to_owned(),
            stderr,
        };
        match watched::run(&mut command, work.path(), self.settings.client_stall, self.cancel, on_size) {
            Err(e) => Err(failed(e.to_string())),
            Ok(Ended::Cancelled) => Err(PullError::Cancelled),
            Ok(Ended::Stuck) => Err(PullError::ClientStuck {
                client: client(),
                package: requirement.to_owned(),
                seconds: self.settings.client_stall.as_secs(),
            }),
            Ok(Ended::Exited(status)) if status.success() => keep_wheel(&destination, requirement, staging),
            Ok(Ended::Exited(status)) => Err(match tail(&errors) {
                text if text.contains("No space left on device") => {
                    PullError::DiskFull { path: staging.to_path_buf(), needed: None, available: None }
                }
                text if text.is_empty() => failed(status.to_string()),
                text => failed(text),
            }),
        }
    }

    /// What the client says it is, or nothing if it is not there or does not work.
    fn version(&self, words: &[String], staging: &Path) -> Result<Option<String>, PullError> {
        let work = tempfile::tempdir_in(staging).map_err(at(staging))?;
        let answer = work.path().join("version");
        let out = File::create(&answer).map_err(at(&answer))?;
        let mut command = command(words, work.path());
        command.arg("--version").stdout(out).stderr(Stdio::null());
        match watched::run(&mut command, work.path(), ANSWER_WITHIN, self.cancel, &mut |_| {}) {
            Ok(Ended::Exited(status)) if status.success() => Ok(fs::read_to_string(&answer).ok()),
            Ok(Ended::Cancelled) => Err(PullError::Cancelled),
            Ok(Ended::Exited(_) | Ended::Stuck) | Err(_) => Ok(None),
        }
    }
}

/// The client's temporary files go into our folder too: there they are watched, on the disk whose
/// space was checked, and removed whatever happens.
fn command(words: &[String], work: &Path) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    command.args(words).stdin(Stdio::null());
    for variable in ["TMPDIR", "TEMP", "TMP"] {
        command.env(variable, work);
    }
    command
}

/// Moves the one wheel out of the folder that goes away with the client's temporary files.
fn keep_wheel(destination: &Path, requirement: &str, staging: &Path) -> Result<PathBuf, PullError> {
    let entries = fs::read_dir(destination).map_err(at(destination))?;
    let wheel = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| PullError::BadWheel {
            package: requirement.to_owned(),
            reason: "the package client ended well and left no wheel".to_owned(),
        })?;
    let kept = staging.join(format!("{requirement}.whl"));
    fs::rename(&wheel, &kept).map_err(at(&kept))?;
    Ok(kept)
}

/// The last lines of what the client wrote to its standard error.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n");
    last.chars().take(TAIL_BYTES).collect()
}
