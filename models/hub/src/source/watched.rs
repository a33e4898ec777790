//! A child process that is watched: by what it writes, by the clock and by the cancel flag.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a watched process ended.
pub(crate) enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// It was ended: the cancel flag was set.
    Cancelled,
    /// It was ended: the folder did not grow for `stall`.
    Stuck,
}

/// Runs the command to its end, or ends it with all it started. `folder` is where it writes;
/// `on_size` hears the folder's size at every look.
pub(crate) fn run(
    command: &mut Command,
    folder: &Path,
    stall: Duration,
    cancel: &AtomicBool,
    on_size: &mut dyn FnMut(u64),
) -> io::Result<Ended> {
    let mut child = Group::spawn(command)?;
    let mut largest = 0;
    let mut grew = Instant::now();
    loop {
        if let Some(status) = child.0.try_wait()? {
            return Ok(Ended::Exited(status));
        }
        if cancel.load(Ordering::Relaxed) {
            return Ok(Ended::Cancelled);
        }
        let size = size_of(folder);
        if size > largest {
            (largest, grew) = (size, Instant::now());
        }
        if grew.elapsed() > stall {
            return Ok(Ended::Stuck);
        }
        on_size(size);
        thread::sleep(LOOK_EVERY);
    }
}

/// The child and the processes that it starts; whatever still runs at the drop is ended.
struct Group(Child);

impl Group {
    fn spawn(command: &mut Command) -> io::Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        command.spawn().map(Self)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        #[cfg(unix)]
        if let Err(error) = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::KILL,
        ) {
            tracing::debug!(%error, "a package client's group could not be ended");
        }
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            tracing::debug!(%error, "a package client could not be ended");
        }
    }
}

/// Bytes of all files under a folder; what vanishes meanwhile counts nothing.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
