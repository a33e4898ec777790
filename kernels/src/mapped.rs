//! Files mapped read-only, so weights are read straight from the page cache.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

/// A whole file mapped read-only and private; dereferences to its bytes.
///
/// # Hazard: truncation by another process
///
/// If another process truncates the file while it is mapped, reading a page past the new end
/// raises `SIGBUS` and ends this process; if it rewrites the file in place, the bytes may change
/// underfoot. No portable guard exists, so the guard is a rule: files in the model store are
/// written once and replaced by `rename` only (the mapping keeps the old file alive), and a
/// reader checks sizes against [`MappedFile::len`](slice::len) when it opens, never later.
#[derive(Debug)]
pub struct MappedFile {
    map: Option<Mmap>, // None: an empty file, which cannot be mapped
}

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    ///
    /// The errors of opening and mapping; `InvalidInput` when `path` is not a regular file, or
    /// is larger than the address space.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let len = usize::try_from(metadata.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "file too large to map"))?;
        if len == 0 {
            return Ok(Self { map: None });
        }
        // SAFETY: the map is read-only and private. Its one hazard, another process changing the
        // file in place, is excluded by the rule on the type: stored files are only renamed.
        let map = unsafe { MmapOptions::new().len(len).map(&file)? };
        Ok(Self { map: Some(map) })
    }

    /// Lets go of the pages that were read so far: they count as this process's memory no longer, and
    /// are found again in the page cache when they are read again. Where the system has no such
    /// call, nothing happens.
    pub fn release(&self) {
        #[cfg(target_os = "linux")]
        if let Some(map) = &self.map {
            // SAFETY: the map is of a file, read-only and never written to. For such a map the system
            // guarantees that later reads find the file's bytes again, so no reference into it changes.
            // An error means that the pages stay, which is as good.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_contents_and_survives_replacement_by_rename() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        std::fs::write(&path, b"old bytes").unwrap();
        let mapped = MappedFile::open(&path).unwrap();

        let newer = dir.path().join("newer");
        std::fs::write(&newer, b"new").unwrap();
        std::fs::rename(&newer, &path).unwrap();

        assert_eq!(&mapped[..], b"old bytes");
        assert_eq!(&MappedFile::open(&path).unwrap()[..], b"new");
    }

    #[test]
    fn bytes_stay_the_same_after_a_release() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 1 << 20]).unwrap();
        let mapped = MappedFile::open(file.path()).unwrap();
        assert!(mapped.iter().all(|byte| *byte == 7));
        mapped.release();
        assert!(mapped.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn an_empty_file_is_empty_and_a_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        std::fs::write(&path, b"").unwrap();
        assert!(MappedFile::open(&path).unwrap().is_empty());
        assert!(MappedFile::open(dir.path()).is_err());
        assert!(MappedFile::open(&dir.path().join("absent")).is_err());
    }
}
