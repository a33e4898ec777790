//! Codecs of models that only other nodes have.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use understudy_actors::source::EngineFactory;
use understudy_engine::codec::Codec;

/// A head is metadata and a vocabulary; the largest of known models has 17 MiB.
pub(crate) const MOST_HEAD_BYTES: usize = 64 << 20;
/// Codecs kept in memory, of some 10 MiB each. When full the oldest is dropped, and read again when it is needed.
const KEPT: usize = 16;

/// What a head is called: SHA-256 of its bytes, in hex. Whoever sends it, it is what its name says.
pub(crate) fn name_of(head: &[u8]) -> String {
    Sha256::digest(head).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a head cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Its name is none.
    #[error("{0:?} is no name of a tokenizer")]
    Name(String),
    /// It is not what its name says.
    #[error("what was sent is not the tokenizer that was announced")]
    Other,
    /// It is larger than any.
    #[error("a tokenizer of more than {MOST_HEAD_BYTES} bytes is none")]
    TooLarge,
    /// It cannot be read.
    #[error("it cannot be used: {0}")]
    Damaged(String),
}

/// Codecs by the names of their heads: in memory, and in a folder from one start to the next.
///
/// What a folder or a peer says is checked: a head is what its name says, and the codec made of it has the digest
/// that was announced.
pub struct CodecStore {
    folder: Option<PathBuf>,
    factory: Arc<dyn EngineFactory>,
    /// The latest last.
    made: Mutex<Vec<(String, Arc<dyn Codec>)>>,
}

impl CodecStore {
    /// A store that keeps heads in `folder`, `$UNDERSTUDY_HOME/codecs`; without one in memory alone.
    pub fn new(folder: Option<PathBuf>, factory: Arc<dyn EngineFactory>) -> Self {
        Self { folder, factory, made: Mutex::default() }
    }

    /// The codec of this name, if it is here. `digest` is the one that it must have.
    pub(crate) async fn find(
        self: &Arc<Self>,
        name: &str,
        digest: &str,
    ) -> Result<Option<Arc<dyn Codec>>, CodecError> {
        if name.len() != 64 || !name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(CodecError::Name(name.chars().take(80).collect()));
        }
        if let Some(codec) = self.made(name) {
            return if codec.digest() == digest { Ok(Some(codec)) } else { Err(CodecError::Other) };
        }
        let Some(path) = self.path(name) else { return Ok(None) };
        let (store, name, digest) = (self.clone(), name.to_owned(), digest.to_owned());
        blocking(move || match read(&path) {
            Some(head) if name_of(&head) == name => store.make(&name, head, &digest).map(Some),
            // Damaged on disk, or never there: it is sent again.
            _ => Ok(None),
        })
        .await
    }

    /// The codec of a head that was sent under a name. It is kept.
    pub(crate) async fn keep(
        self: &Arc<Self>,
        name: &str,
        head: Vec<u8>,
        digest: &str,
    ) -> Result<Arc<dyn Codec>, CodecError> {
        let (store, name, digest) = (self.clone(), name.to_owned(), digest.to_owned());
        blocking(move || {
            if name_of(&head) != name {
                return Err(CodecError::Other);
            }
            let codec = store.make(&name, head.clone(), &digest)?;
            if let Some(path) = store.path(&name)
                && let Err(error) = write(&path, &head)
            {
                tracing::warn!(path = %path.display(), %error, "a tokenizer could not be kept");
            }
            Ok(codec)
        })
        .await
    }

    fn made(&self, name: &str) -> Option<Arc<dyn Codec>> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().find(|(known, _)| known == name).map(|(_, codec)| codec.clone())
    }

    fn make(&self, name: &str, head: Vec<u8>, digest: &str) -> Result<Arc<dyn Codec>, CodecError> {
        let codec = self.factory.codec(head).map_err(|error| CodecError::Damaged(error.to_string()))?;
        if codec.digest() != digest {
            return Err(CodecError::Other);
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= KEPT {
            made.remove(0);
        }
        made.push((name.to_owned(), codec.clone()));
        Ok(codec)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{name}.head")))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CodecError> + Send + 'static,
) -> Result<T, CodecError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|failed| CodecError::Damaged(failed.to_string()))?
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    fs::File::open(path).ok()?.take(MOST_HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
    Some(head)
}

/// Whole under its name, or not there.
fn write(path: &Path, head: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let part = path.with_extension(format!("part-{}", std::process::id()));
    fs::write(&part, head)?;
    fs::rename(&part, path)
}
