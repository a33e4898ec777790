//! Notices that files changed, by looking at them now and then: it works on every system and every mount, and a
//! second more or less does not matter here.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// Calls `changed` after one of the files was written, made or removed; the first time in any case, since it may have
/// happened after they were read and before this began. Never ends.
pub(crate) async fn on_change(files: &[&PathBuf], every: Duration, mut changed: impl FnMut()) {
    let mut known = None;
    loop {
        tokio::time::sleep(every).await;
        let now: Vec<Stamp> = files.iter().map(|file| stamp(file)).collect();
        if known.as_ref() != Some(&now) {
            known = Some(now);
            changed();
        }
    }
}

/// When a file was written, and how long it is; `None` where there is none.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(file: &PathBuf) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
