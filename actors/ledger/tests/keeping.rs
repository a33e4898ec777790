//! What is kept, for how long, and what is not.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::fs;

use common::{ANSWER, Days, PROMPT, anywhere, entries, entry, now};
use understudy_ledger::{Filter, LedgerError, LedgerHandle, Options, Reader, Store};

#[test]
fn without_content_no_word_of_prompt_or_answer_is_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = LedgerHandle::open(&path, Options::default()).unwrap();
    ledger.note(entry(&ledger, "r1"));
    ledger.note(entry(&ledger, "r2"));
    now(ledger.flush()).unwrap();
    assert!(anywhere(folder.path(), "mean_logprob"), "the evidence is there");
    for words in [PROMPT, ANSWER, "colorado", "rivers", "FROM river"] {
        assert!(!anywhere(folder.path(), words), "{words:?} is in the file");
    }
    let kept = entries(&path);
    assert_eq!(kept[0].prompt_digest, kept[1].prompt_digest);
    assert_eq!(kept[0].prompt_digest.len(), 64);
    assert_eq!(kept[0].ledger.candidates[0].outcome, kept[1].ledger.candidates[0].outcome);
    // NaN is no JSON: the others are still there.
    assert_eq!(kept[0].ledger.candidates[0].evidence.keys().collect::<Vec<_>>(), ["mean_logprob"]);
}

#[test]
fn with_content_everything_is_kept_and_purging_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = LedgerHandle::open(&path, Options { content: true, ..Options::default() }).unwrap();
    for n in 0..50 {
        ledger.note(entry(&ledger, &format!("r{n}")));
    }
    now(ledger.flush()).unwrap();
    let kept = &entries(&path)[7];
    assert_eq!(kept.messages.as_ref().unwrap()[0].content, PROMPT);
    assert_eq!((kept.text.as_deref(), kept.ledger.spans[0].why.as_str()), (Some(ANSWER), ANSWER));
    assert!(anywhere(folder.path(), "colorado"));

    assert_eq!(Store::open(&path, Options::default()).unwrap().purge(None).unwrap(), 50);
    assert!(!anywhere(folder.path(), "colorado"), "what was purged is overwritten");
    ledger.note(entry(&ledger, "later"));
    now(ledger.flush()).unwrap();
    assert_eq!(entries(&path).len(), 1, "the node goes on with the same file");
}

#[cfg(unix)]
#[test]
fn only_its_user_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let _ledger = LedgerHandle::open(&path, Options::default()).unwrap();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.file_name());
    }
}

#[test]
fn old_entries_leave_after_their_days() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let days = Days::at(20_000);
    let ledger = LedgerHandle::open(&path, Options { keep_days: 30, ..days.options() }).unwrap();
    let note = |id: &str| {
        ledger.note(entry(&ledger, id));
        now(ledger.flush()).unwrap();
    };
    note("first");
    assert!(now(ledger.feedback("first", true, "user")).unwrap());
    days.advance(20);
    note("second");
    let ids = || entries(&path).into_iter().map(|entry| entry.request_id).collect::<Vec<_>>();
    assert_eq!(ids(), ["first", "second"]);
    days.advance(11);
    note("third");
    // Old entries go after a batch is answered: the next flush comes later.
    now(ledger.flush()).unwrap();
    assert_eq!(ids(), ["second", "third"]);
    assert!(!now(ledger.feedback("first", true, "user")).unwrap(), "it is forgotten");
    let since = Some(entries(&path)[1].time_ms);
    let newest: Vec<_> =
        Reader::open(&path).unwrap().entries(Filter { since_ms: since, task: None }).collect();
    assert_eq!(newest.len(), 1);
}

#[test]
fn a_file_that_became_too_large_loses_its_oldest_and_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger =
        LedgerHandle::open(&path, Options { content: true, max_mb: 1, ..Options::default() }).unwrap();
    for n in 0..300 {
        let text = Some("x".repeat(10_000));
        ledger.note(understudy_ledger::Entry { text, ..entry(&ledger, &format!("r{n}")) });
        if n % 50 == 0 {
            now(ledger.flush()).unwrap();
        }
    }
    now(ledger.flush()).unwrap();
    now(ledger.flush()).unwrap();
    let kept = entries(&path);
    assert_eq!(kept.last().unwrap().request_id, "r299");
    assert!(kept.len() > 50, "{} are kept", kept.len());
    drop(ledger);
    Store::open(&path, Options { max_mb: 1, ..Options::default() }).unwrap().retain().unwrap();
    let bytes = fs::metadata(&path).unwrap().len();
    assert!(bytes <= 1_000_000, "{bytes} bytes");
    assert_eq!(entries(&path)[0].request_id, kept[0].request_id, "what is kept is whole");
}

#[test]
fn feedback_is_on_the_newest_request_of_an_id_and_one_for_each_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = LedgerHandle::open(&path, Options::default()).unwrap();
    assert!(!now(ledger.feedback("r1", true, "user")).unwrap());
    ledger.note(entry(&ledger, "r1"));
    ledger.note(entry(&ledger, "r1"));
    for (ok, source) in [(true, "user"), (true, "tests"), (false, "user")] {
        assert!(now(ledger.feedback("r1", ok, source)).unwrap());
    }
    let kept = entries(&path);
    assert!(kept[0].feedback.is_empty());
    let mut told: Vec<_> = kept[1].feedback.iter().map(|told| (told.source.as_str(), told.ok)).collect();
    told.sort_unstable();
    assert_eq!(told, [("tests", true), ("user", false)]);
}

#[test]
fn what_is_no_ledger_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let refused = |name: &str| {
        let error = Store::open(&at(name), Options::default()).err().unwrap();
        let read = Reader::open(&at(name)).err().unwrap();
        assert_eq!(error.to_string(), read.to_string(), "both say the same");
        error
    };
    fs::write(at("garbage"), "no database ".repeat(1000)).unwrap();
    assert!(matches!(refused("garbage"), LedgerError::Damaged { .. }));

    let other = rusqlite::Connection::open(at("other")).unwrap();
    other.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    let before = fs::read(at("other")).unwrap();
    assert!(refused("other").to_string().contains("another program's"));
    assert!(fs::read(at("other")).unwrap() == before, "it is left alone");

    drop(Store::open(&at("newer"), Options::default()).unwrap());
    let newer = rusqlite::Connection::open(at("newer")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    let error = refused("newer");
    assert!(matches!(error, LedgerError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("update, or move the file away"), "{error}");

    // A folder that cannot be made, whoever tries.
    let error = Store::open(&at("garbage").join("ledger.db"), Options::default()).err().unwrap();
    assert!(matches!(error, LedgerError::Unusable { .. }), "{error}");
    assert!(matches!(Reader::open(&at("none")).err().unwrap(), LedgerError::Missing { .. }));
}

#[test]
fn a_page_that_rotted_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = LedgerHandle::open(&path, Options::default()).unwrap();
    for n in 0..200 {
        ledger.note(entry(&ledger, &format!("r{n}")));
    }
    now(ledger.flush()).unwrap();
    drop(ledger);
    // Purging empties the log into the file.
    Store::open(&path, Options::default()).unwrap().purge(Some(0)).unwrap();
    Reader::open(&path).unwrap().check().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xff);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(Reader::open(&path).unwrap().check().unwrap_err(), LedgerError::Damaged { .. }));
}
