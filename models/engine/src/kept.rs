//! Files that are made from a model's file once, kept, and mapped by every later start.
//!
//! A model has a folder of its own, named after its file's path. A file's name in it is the digest of
//! what it was made from and how, so a changed model or another layout never meets an old
//! file. It is written under a lock to a temporary name and renamed when whole. Whoever makes a file
//! removes what it replaces, and the folders of models that are gone.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use understudy_kernels::MappedFile;

use crate::gguf::Gguf;

/// Holds the path of the model that a folder is of.
const SOURCE: &str = "source";
/// Pieces of a file's header that its name depends on, spread over it.
const SAMPLES: usize = 64;

/// Where the files of one model are kept.
pub(crate) struct Kept {
    root: PathBuf,
    folder: PathBuf,
    source: Vec<u8>,
}

impl Kept {
    /// The model's folder below `root`; it need not exist.
    pub(crate) fn of(root: &Path, gguf: &Gguf) -> Self {
        let source = gguf.path().as_os_str().as_encoded_bytes().to_vec();
        let folder = root.join(hex(&Sha256::digest(&source)[..8]));
        Self { root: root.to_path_buf(), folder, source }
    }

    /// The file of that name, mapped: the one that is there and sound, or a new one.
    pub(crate) fn file(
        &self,
        name: &str,
        is_sound: impl Fn(&MappedFile) -> bool,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<MappedFile> {
        let path = self.folder.join(name);
        let existing = || MappedFile::open(&path).ok().filter(&is_sound);
        if let Some(file) = existing() {
            return Ok(file);
        }
        fs::create_dir_all(&self.folder)?;
        fs::write(self.folder.join(SOURCE), &self.source)?;
        let part = self.folder.join(format!("{name}.part"));
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&part)?;
        file.lock()?; // another process may be at it; a killed one leaves no lock
        if let Some(file) = existing() {
            return Ok(file);
        }
        file.set_len(0)?;
        file.rewind()?;
        let written = write(&mut file).and_then(|()| file.sync_data());
        if let Err(error) = written.and_then(|()| fs::rename(&part, &path)) {
            let _ = fs::remove_file(&part); // what it held is of no use
            return Err(error);
        }
        self.remove_replaced(&path);
        remove_orphans(&self.root);
        existing().ok_or_else(|| io::Error::other("the file just made is not sound"))
    }

    /// Removes files of the same kind that another layout or an earlier state of the model left, and
    /// what killed processes were at. A process that has a file mapped keeps it.
    fn remove_replaced(&self, path: &Path) {
        for other in entries(&self.folder).filter(|other| other != path) {
            let is_part = other.extension() == Some(OsStr::new("part"));
            let is_abandoned = || File::open(&other).is_ok_and(|part| part.try_lock().is_ok());
            if other.extension() == path.extension() || is_part && is_abandoned() {
                let _ = fs::remove_file(other);
            }
        }
    }
}

/// Removes the folders of models whose files are gone, and what layouts without such folders left.
/// Anything else that lies there is not ours.
fn remove_orphans(root: &Path) {
    for entry in entries(root) {
        if entry.extension() == Some(OsStr::new("pack")) && entry.is_file() {
            let _ = fs::remove_file(entry);
        } else if let Ok(source) = fs::read(entry.join(SOURCE))
            && entry.file_name() == Some(OsStr::new(&hex(&Sha256::digest(&source)[..8])))
            && let Ok(source) = String::from_utf8(source)
            && !Path::new(&source).exists()
        {
            let _ = fs::remove_dir_all(entry);
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Begins a name: the layout of what is made, and which file it is made from, by its size, its time
/// of change where it has one, and samples of its header. Reading every byte would take longer than
/// making most files anew.
pub(crate) fn named_after(layout: &[u8], gguf: &Gguf) -> Sha256 {
    let mut hash = Sha256::new_with_prefix(layout);
    let header = gguf.header();
    for number in [gguf.file_len() as u64, gguf.modified(), header.len() as u64] {
        hash.update(number.to_le_bytes());
    }
    for sample in 0..SAMPLES {
        let at = header.len() / SAMPLES * sample;
        hash.update(&header[at..header.len().min(at + 64)]);
    }
    hash
}

/// Ends a name.
pub(crate) fn digest(hash: Sha256) -> String {
    hex(&hash.finalize()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // to a string: does not fail
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A model that can be moved and changed.
    fn model(folder: &Path, name: &str) -> PathBuf {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/tiny-qwen3.gguf");
        let path = folder.join(name);
        fs::copy(tiny, &path).expect("a copy");
        path
    }

    fn keep(root: &Path, model: &Path, name: &str, content: &[u8]) -> Vec<u8> {
        let gguf = Gguf::open(model).expect("the tiny model");
        let kept = Kept::of(root, &gguf);
        let file = kept.file(name, |file| file.len() == content.len(), |file| file.write_all(content));
        file.expect("it can be kept").to_vec()
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<_> = entries(root)
            .flat_map(|entry| if entry.is_dir() { entries(&entry).collect() } else { vec![entry] })
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .filter(|name| name != SOURCE)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_once_and_replaces_its_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, model) = (folder.path().join("packs"), model(folder.path(), "m.gguf"));
        assert_eq!(keep(&root, &model, "1.pack", b"first"), b"first");
        assert_eq!(keep(&root, &model, "1.pack", b"other"), b"first", "it is there");
        keep(&root, &model, "1.tokens", b"x");
        let part = Kept::of(&root, &Gguf::open(&model).expect("the tiny model")).folder.join("1.pack.part");
        fs::write(part, b"of a killed process").expect("a part");
        assert_eq!(keep(&root, &model, "2.pack", b"second"), b"second");
        assert_eq!(names(&root), ["1.tokens", "2.pack"]);
        assert_eq!(keep(&root, &model, "2.pack", b"longer content"), b"longer content", "one unsound");
    }

    #[test]
    fn what_models_that_are_gone_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("packs");
        let (gone, stays) = (model(folder.path(), "gone.gguf"), model(folder.path(), "stays.gguf"));
        keep(&root, &gone, "1.pack", b"gone");
        fs::write(root.join("0123.pack"), b"of a layout without folders").expect("a file");
        fs::create_dir(root.join("mine")).expect("a folder");
        fs::write(root.join("mine").join(SOURCE), b"/no/such/file").expect("a file");
        fs::write(root.join("mine").join("diary"), b"").expect("a file");
        fs::remove_file(gone).expect("removed");
        keep(&root, &stays, "2.pack", b"stays");
        assert_eq!(names(&root), ["2.pack", "diary"]);
    }
}
