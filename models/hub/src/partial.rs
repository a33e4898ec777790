//! A file on its way here.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalogue::ModelFile;
use crate::error::{PullError, at};
use crate::events::Source;
use crate::home::write_whole;

/// `<file>.part`: always a prefix of the wanted file, whichever source wrote it, so that any source
/// may continue it. `<file>.part.json` names the SHA-256 it is a prefix of; a part without it, or of
/// another digest, is worth nothing and starts anew.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    note_path: PathBuf,
    sha256: String,
    len: u64,
}

#[derive(Serialize, Deserialize)]
struct Note {
    sha256: String,
    source: String,
}

impl Partial {
    pub(crate) fn open(folder: &Path, wanted: &ModelFile) -> Result<Self, PullError> {
        let path = folder.join(format!("{}.part", wanted.name));
        let note_path = folder.join(format!("{}.part.json", wanted.name));
        let file =
            OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(at(&path))?;
        let len = file.metadata().map_err(at(&path))?.len();
        let noted = fs::read(&note_path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Note>(&text).ok())
            .is_some_and(|note| note.sha256 == wanted.sha256);
        let mut partial = Self { file, path, note_path, sha256: wanted.sha256.clone(), len };
        let usable = noted && len <= wanted.bytes;
        partial.cut(if usable { len } else { 0 })?;
        Ok(partial)
    }

    /// Records who writes from here on.
    pub(crate) fn note(&self, source: &Source) -> Result<(), PullError> {
        let note = Note { sha256: self.sha256.clone(), source: source.to_string() };
        let text = serde_json::to_vec(&note).map_err(|e| at(&self.note_path)(e.into()))?;
        write_whole(&self.note_path, &text)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Keeps the first `len` bytes; the next append continues there.
    pub(crate) fn cut(&mut self, len: u64) -> Result<(), PullError> {
        self.file.set_len(len).map_err(at(&self.path))?;
        self.file.seek(SeekFrom::Start(len)).map_err(at(&self.path))?;
        self.len = len;
        Ok(())
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        self.file.write_all(bytes).map_err(at(&self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes what is in outlive a power cut.
    pub(crate) fn sync(&self) -> Result<(), PullError> {
        self.file.sync_data().map_err(at(&self.path))
    }

    /// Puts the whole, checked file in its place in one step.
    pub(crate) fn commit(self, place: &Path) -> Result<(), PullError> {
        self.file.sync_all().map_err(at(&self.path))?;
        fs::rename(&self.path, place).map_err(at(place))?;
        forget(&self.note_path)?;
        sync_folder(place)
    }

    pub(crate) fn discard(self) -> Result<(), PullError> {
        forget(&self.path)?;
        forget(&self.note_path)
    }
}

fn forget(path: &Path) -> Result<(), PullError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(at(path)(e)),
        _ => Ok(()),
    }
}

/// A rename is only safe from a power cut once its folder is written; Windows does that by itself.
fn sync_folder(place: &Path) -> Result<(), PullError> {
    match place.parent().filter(|_| cfg!(unix)) {
        Some(folder) => File::open(folder).and_then(|f| f.sync_all()).map_err(at(folder)),
        None => Ok(()),
    }
}
