//! Where models live on this machine, and which of their files are known to be whole.

use std::env;
use std::fs::{self, File, Metadata};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

use directories::ProjectDirs;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, Model, ModelFile};
use crate::digest;
use crate::error::{PullError, at};

/// The folder that holds models and the user's own catalogue and mirrors.
///
/// A model's files lie at `<home>/models/<name>/<file>`. Beside each, `<file>.verified.json` records
/// that its SHA-256 was checked, with size and modification time, so that no start hashes it again.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

/// How much of a model is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing.
    Absent,
    /// A pull was begun, or some files are missing or of another size.
    Partial,
    /// Every file is here in its size.
    Present {
        /// True if every SHA-256 was checked since the file last changed.
        verified: bool,
    },
}

/// One line of `understudy models`.
#[derive(Debug, Clone)]
pub struct Listed<'a> {
    /// The catalogue's entry.
    pub model: &'a Model,
    /// How much of it is here.
    pub presence: Presence,
    /// Where its main file is, or would be.
    pub path: PathBuf,
    /// Bytes of its files here, unfinished ones too.
    pub bytes_on_disk: u64,
}

impl Home {
    /// `$UNDERSTUDY_HOME`, or else the platform's data folder.
    ///
    /// # Errors
    /// `HUB_NO_HOME` where there is neither.
    pub fn from_env() -> Result<Self, PullError> {
        if let Some(root) = env::var_os("UNDERSTUDY_HOME").filter(|root| !root.is_empty()) {
            return Ok(Self::at(root));
        }
        ProjectDirs::from("", "", "understudy")
            .map(|folders| Self::at(folders.data_dir()))
            .ok_or(PullError::NoHome)
    }

    /// A home at that folder; it need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of one model.
    pub fn folder(&self, model: &Model) -> PathBuf {
        self.root.join("models").join(&model.name)
    }

    /// Where one file of a model is, or would be.
    pub fn path(&self, model: &Model, file: &ModelFile) -> PathBuf {
        self.folder(model).join(&file.name)
    }

    /// How much of the model is here: looks at sizes and stamps, reads no weights.
    pub fn presence(&self, model: &Model) -> Presence {
        let folder = self.folder(model);
        let whole = |file: &&ModelFile| size(&folder.join(&file.name)) == Some(file.bytes);
        if model.files.iter().all(|file| whole(&file)) {
            let verified = model.files.iter().all(|file| is_verified(&folder, file));
            return Presence::Present { verified };
        }
        match self.bytes_on_disk(model) {
            0 => Presence::Absent,
            _ => Presence::Partial,
        }
    }

    /// Every model of the catalogue with what is here of it.
    pub fn list<'a>(&self, catalogue: &'a Catalogue) -> Vec<Listed<'a>> {
        let line = |model: &'a Model| Listed {
            model,
            presence: self.presence(model),
            path: self.main_file(model),
            bytes_on_disk: self.bytes_on_disk(model),
        };
        catalogue.models().iter().map(line).collect()
    }

    /// The model's first file: its weights.
    pub(crate) fn main_file(&self, model: &Model) -> PathBuf {
        let folder = self.folder(model);
        match model.files.first() {
            Some(file) => folder.join(&file.name),
            None => folder,
        }
    }

    fn bytes_on_disk(&self, model: &Model) -> u64 {
        let folder = self.folder(model);
        let here = |file: &ModelFile| {
            let part = folder.join(format!("{}.part", file.name));
            size(&folder.join(&file.name)).unwrap_or(0) + size(&part).unwrap_or(0)
        };
        model.files.iter().map(here).sum()
    }
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Stamp {
    sha256: String,
    bytes: u64,
    modified_ns: u128,
}

impl Stamp {
    fn of(sha256: &str, metadata: &Metadata) -> Option<Self> {
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { sha256: sha256.to_owned(), bytes: metadata.len(), modified_ns: modified.as_nanos() })
    }
}

/// True if the file is here, whole, and unchanged since its SHA-256 was checked.
pub(crate) fn is_verified(folder: &Path, file: &ModelFile) -> bool {
    let Ok(metadata) = fs::metadata(folder.join(&file.name)) else {
        return false;
    };
    let stamp =
        fs::read(stamp_path(folder, file)).ok().and_then(|text| serde_json::from_slice::<Stamp>(&text).ok());
    metadata.len() == file.bytes && stamp.is_some() && stamp == Stamp::of(&file.sha256, &metadata)
}

/// Computes the SHA-256 of a file that is here and stamps it where it is right; returns what it is.
pub(crate) fn verify(folder: &Path, file: &ModelFile, cancel: &AtomicBool) -> Result<String, PullError> {
    let actual = digest::of_file(&folder.join(&file.name), cancel)?;
    if actual == file.sha256 {
        stamp(folder, file);
    }
    Ok(actual)
}

/// Records that the file's SHA-256 was checked. Where that cannot be written (a folder shared
/// read-only) the model still works: the next start checks again.
pub(crate) fn stamp(folder: &Path, file: &ModelFile) {
    let path = stamp_path(folder, file);
    let written = fs::metadata(folder.join(&file.name))
        .ok()
        .and_then(|metadata| Stamp::of(&file.sha256, &metadata))
        .and_then(|stamp| serde_json::to_vec(&stamp).ok())
        .map(|text| write_whole(&path, &text));
    if !matches!(written, Some(Ok(()))) {
        tracing::debug!(path = %path.display(), "the check of a model file could not be recorded");
    }
}

/// Writes a small file so that a reader finds the old content or the new, never a piece.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), PullError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = File::create(&new).map_err(at(&new))?;
    file.write_all(content).map_err(at(&new))?;
    file.sync_all().map_err(at(&new))?;
    fs::rename(&new, path).map_err(at(path))
}

fn stamp_path(folder: &Path, file: &ModelFile) -> PathBuf {
    folder.join(format!("{}.verified.json", file.name))
}

pub(crate) fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(Metadata::is_file).map(|metadata| metadata.len())
}
