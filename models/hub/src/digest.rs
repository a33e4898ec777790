//! SHA-256 of a file on disk.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use crate::error::{PullError, at};

/// Bytes read, hashed or copied between two looks at the cancel flag.
pub(crate) const CHUNK: usize = 1 << 20;

/// Lower-case hex SHA-256 of the whole file, read once from start to end.
pub(crate) fn of_file(path: &Path, cancel: &AtomicBool) -> Result<String, PullError> {
    let mut file = File::open(path).map_err(at(path))?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        go_on(cancel)?;
        let count = file.read(&mut chunk).map_err(at(path))?;
        match chunk.get(..count) {
            Some(bytes) if !bytes.is_empty() => hasher.update(bytes),
            _ => return Ok(hex(&hasher.finalize())),
        }
    }
}

/// Fails once the caller's cancel flag is set.
pub(crate) fn go_on(cancel: &AtomicBool) -> Result<(), PullError> {
    match cancel.load(Ordering::Relaxed) {
        true => Err(PullError::Cancelled),
        false => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
