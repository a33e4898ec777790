//! A folder of one user: files that are written whole and that nobody else reads.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::error::IdentityError;

/// The largest file, a full deny list, has less than 2 MiB.
const MOST_BYTES: u64 = 4 << 20;

#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    /// `None` where there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityError> {
        let path = self.0.join(name);
        let mut bytes = Zeroizing::new(Vec::new());
        match File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(IdentityError::Io { path, doing: "read", source }),
        }
    }

    /// After a crash the file is as it was before or as it should be. Callers hold the lock.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), IdentityError> {
        let path = self.0.join(name);
        let beside = self.0.join(format!("{name}.new"));
        let written = self.make().and_then(|()| {
            // One that a crash left may be readable for others: it is not written into.
            let _ = fs::remove_file(&beside);
            let mut file = own(OpenOptions::new().write(true).create_new(true)).open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            self.flush()
        });
        written.map_err(|source| IdentityError::Io { path, doing: "written", source })
    }

    /// Nothing happens where there is no such file.
    pub(super) fn remove(&self, name: &str) -> Result<(), IdentityError> {
        for name in [name.to_owned(), format!("{name}.new")] {
            let path = self.0.join(name);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(IdentityError::Io { path, doing: "removed", source }),
            }
        }
        Ok(())
    }

    /// Others wait until the file is dropped. The file itself stays: one that was removed under a waiter would
    /// be two.
    pub(super) fn lock(&self) -> Result<File, IdentityError> {
        let path = self.0.join("lock");
        let locked = self.make().and_then(|()| {
            let file = own(OpenOptions::new().write(true).create(true).truncate(false)).open(&path)?;
            file.lock()?;
            Ok(file)
        });
        locked.map_err(|source| IdentityError::Io { path, doing: "locked", source })
    }

    /// Shuts a file that others may read. Gives its path where that was so.
    pub(super) fn mend(&self, name: &str) -> Result<Option<PathBuf>, IdentityError> {
        shut(self.0.join(name), 0o600)
    }

    /// The same for the folder.
    pub(super) fn mend_itself(&self) -> Result<Vec<PathBuf>, IdentityError> {
        Ok(shut(self.0.clone(), 0o700)?.into_iter().collect())
    }

    fn make(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.0)
    }

    /// A rename is on disk once its folder is.
    #[cfg(unix)]
    fn flush(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    #[cfg(not(unix))]
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn own(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn shut(path: PathBuf, mode: u32) -> Result<Option<PathBuf>, IdentityError> {
    use std::os::unix::fs::PermissionsExt as _;

    let shut = || -> io::Result<bool> {
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let is_open = metadata.permissions().mode() & 0o077 != 0;
        if is_open {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        Ok(is_open)
    };
    match shut() {
        Ok(was_open) => Ok(was_open.then_some(path)),
        Err(source) => Err(IdentityError::Io { path, doing: "kept from others", source }),
    }
}

/// Windows keeps a user's folder from other users by itself.
#[cfg(not(unix))]
fn shut(_: PathBuf, _: u32) -> Result<Option<PathBuf>, IdentityError> {
    Ok(None)
}
