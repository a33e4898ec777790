//! A model without its weights, to be sent to who has none, and the name of its weights.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::{Bytes, Gguf, GgufError, Parts, parse};

/// Where a file says how many tensors it has: after magic and version.
const TENSOR_COUNT: std::ops::Range<usize> = 8..16;
/// Bytes at both ends of a tensor that tell it from others.
const SAMPLE: usize = 4096;

impl Gguf {
    /// Reads a file that is in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GgufError> {
        let index = parse::index(&bytes)?;
        let mut parts = Parts::default();
        parts.push(Bytes::Owned(bytes));
        Ok(Self { path: PathBuf::new(), parts, assembled: None, modified: 0, index })
    }

    /// The file up to the end of its metadata, with no tensors: itself a valid file, of a few MiB, that says how
    /// the model reads and writes text. `None` for a checkpoint of another format.
    pub fn head(&self) -> Option<Vec<u8>> {
        if self.is_checkpoint() {
            return None;
        }
        let mut head = self.slice(0..self.index.metadata_len).to_vec();
        head.get_mut(TENSOR_COUNT)?.fill(0);
        Some(head)
    }

    /// What tells these weights from others, whatever the file is called: SHA-256, in hex, of all that the header
    /// says and of both ends of every tensor. Reads a few MiB, since a file may be as large as memory.
    pub fn digest(&self) -> String {
        let tensors = self.index.tensors.iter().map(|tensor| self.slice(tensor.range.clone()));
        weights_digest(self.file_len(), self.header(), tensors)
    }
}

/// See [`Gguf::digest`].
pub(crate) fn weights_digest<'a>(
    len: usize,
    header: &[u8],
    tensors: impl Iterator<Item = &'a [u8]>,
) -> String {
    let mut hash = Sha256::new();
    hash.update((len as u64).to_le_bytes());
    hash.update(header);
    for data in tensors {
        hash.update(data.get(..SAMPLE).unwrap_or(data));
        hash.update(data.get(data.len().saturating_sub(SAMPLE)..).unwrap_or(data));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
