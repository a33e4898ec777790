//! The limit of open files, which bounds connections too.

/// Files that are no connections: models, ledger, logs, sockets of clients of our own.
const OTHER_FILES: usize = 256;

/// Raises this process's limit of open files as far as it may; answers the limit, if the system tells. Service
/// managers and shells often start a process with 1024 and allow it more.
pub fn raise_file_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        let before = limit.current;
        limit.current = limit.maximum;
        if before != limit.current && setrlimit(Resource::Nofile, limit).is_err() {
            tracing::warn!(limit = before, "the limit of open files cannot be raised");
        }
    }
    present()
}

/// How many of `wanted` connections the limit has room for.
pub(super) fn room_for(wanted: usize) -> usize {
    let limit = present().and_then(|limit| usize::try_from(limit).ok());
    let room = limit.map_or(wanted, |limit| limit.saturating_sub(OTHER_FILES).max(limit / 2)).min(wanted);
    if room < wanted {
        tracing::warn!(wanted, room, "the limit of open files has room for fewer connections");
    }
    room
}

fn present() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    None
}
