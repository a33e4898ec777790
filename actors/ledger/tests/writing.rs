//! Writing while others write, when nothing can be written, and when the process dies.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{entries, entry, now};
use understudy_ledger::{LedgerHandle, Options, Reader, handle::QUEUE_CAPACITY};

const FILE: &str = "LEDGER_TEST_FILE";

/// Not a test: what [`child`] runs in a process of its own. Writes 500 entries, says so, and goes on until killed.
#[test]
fn another_process() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let ledger = LedgerHandle::open(path.as_ref(), Options::default()).unwrap();
    for n in 0..500 {
        ledger.note(entry(&ledger, &format!("child-{n}")));
    }
    now(ledger.flush()).unwrap();
    println!("written");
    loop {
        ledger.note(entry(&ledger, "endless"));
    }
}

/// A process that has written 500 entries and writes more.
struct Busy(Child);

impl Busy {
    fn start(path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "another_process", "--nocapture"]).env(FILE, path).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn has_written(&mut self) {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.ends_with("written")), "the child failed");
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_process_loses_at_most_what_waited() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut child = Busy::start(&path);
    child.has_written();
    drop(child);
    let reader = Reader::open(&path).unwrap();
    reader.check().unwrap();
    let kept = entries(&path);
    for (n, entry) in kept.iter().take(500).enumerate() {
        assert_eq!(entry.request_id, format!("child-{n}"));
    }
    assert!(kept.len() >= 500);
    let ledger = LedgerHandle::open(&path, Options::default()).unwrap();
    ledger.note(entry(&ledger, "after"));
    now(ledger.flush()).unwrap();
    assert_eq!(entries(&path).last().unwrap().request_id, "after");
}

#[test]
fn two_processes_write_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = LedgerHandle::open(&path, Options::default()).unwrap();
    let mut child = Busy::start(&path);
    for n in 0..500 {
        ledger.note(entry(&ledger, &format!("ours-{n}")));
    }
    now(ledger.flush()).unwrap();
    child.has_written();
    drop(child);
    let kept = entries(&path);
    let of = |whose: &str| kept.iter().filter(|entry| entry.request_id.starts_with(whose)).count();
    assert_eq!((of("ours-"), of("child-"), ledger.dropped()), (500, 500, 0));
}

#[test]
fn a_full_queue_drops_and_counts_and_nobody_waits() {
    const NOTES: usize = 4 * QUEUE_CAPACITY;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = LedgerHandle::open(&path, Options::default()).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    (0..NOTES).for_each(|n| ledger.note(entry(&ledger, &format!("r{n}"))));
    assert!(begun.elapsed() < Duration::from_secs(4), "it waited: {:?}", begun.elapsed());
    assert!(ledger.dropped() as usize >= NOTES - QUEUE_CAPACITY - 256, "{} dropped", ledger.dropped());
    other.execute_batch("COMMIT").unwrap();
    // A place in the queue, at last.
    while now(ledger.flush()).is_err() {
        std::thread::yield_now();
    }
    let kept = entries(&path);
    assert_eq!(kept.len() + ledger.dropped() as usize, NOTES, "each is there or counted");
    assert_eq!(Reader::open(&path).unwrap().dropped().unwrap(), ledger.dropped(), "the file tells");
}

#[test]
fn too_much_text_is_not_held() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = LedgerHandle::open(&path, Options { content: true, ..Options::default() }).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let large = || understudy_ledger::Entry { text: Some("x".repeat(4 << 20)), ..entry(&ledger, "large") };
    (0..40).for_each(|_| ledger.note(large()));
    assert!(ledger.dropped() >= 20, "of 160 MB 64 may wait: {} dropped", ledger.dropped());
    other.execute_batch("ROLLBACK").unwrap();
    now(ledger.flush()).unwrap();
    let dropped = ledger.dropped();
    ledger.note(large());
    now(ledger.flush()).unwrap();
    assert_eq!(ledger.dropped(), dropped, "there is room again");
}

/// A thousand a second for a second and a half: the router's share is the call alone.
#[test]
fn noting_takes_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = LedgerHandle::open(&path, Options::default()).unwrap();
    let begun = Instant::now();
    let mut times: Vec<Duration> = (0..1500)
        .map(|n| {
            let entry = entry(&ledger, &format!("r{n}"));
            let due = begun + Duration::from_millis(n);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let called = Instant::now();
            ledger.note(entry);
            called.elapsed()
        })
        .collect();
    now(ledger.flush()).unwrap();
    times.sort_unstable();
    let (median, p99) = (times[750], times[1485]);
    println!("note: median {median:?}, p99 {p99:?}, all in {:?}", begun.elapsed());
    assert!(p99 < Duration::from_micros(50), "p99 {p99:?}");
    assert_eq!((entries(&path).len(), ledger.dropped()), (1500, 0));
}
