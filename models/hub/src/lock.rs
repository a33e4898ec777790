//! One pull of a model at a time on this machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use crate::digest::go_on;
use crate::error::{PullError, at};

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Holds the model's folder until dropped. The system frees it if the process dies; the file itself
/// stays, since removing it could take it from under a waiter.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held for its lock")] File);

impl FolderLock {
    /// Waits for the lock; calls `waiting` once if another holds it.
    pub(crate) fn take(
        folder: &Path,
        cancel: &AtomicBool,
        waiting: impl FnOnce(),
    ) -> Result<Self, PullError> {
        let path = folder.join(".lock");
        let file =
            OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(at(&path))?;
        let mut waiting = Some(waiting);
        loop {
            go_on(cancel)?;
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(at(&path)(e)),
            }
            if let Some(tell) = waiting.take() {
                tell();
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}
