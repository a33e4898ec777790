//! Entries, files, and clocks that tests set.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use understudy_ledger::{
    Account, Candidate, Decision, Entry, Filter, LedgerHandle, Options, Reader, RungCost, Span, Validation,
};

pub const PROMPT: &str = "How many rivers are in colorado?";
pub const ANSWER: &str = "SELECT count(*) FROM river WHERE traverse = 'colorado'";

/// A request whose every text quotes prompt or answer.
pub fn entry(ledger: &LedgerHandle, request_id: &str) -> Entry {
    let prompt = ledger.prompt([("user", PROMPT)].into_iter());
    let found =
        Validation { name: "sql".into(), verdict: "pass".into(), detail: format!("ran {ANSWER}"), ms: 0.5 };
    let judged = Candidate {
        model: "small".into(),
        chosen: true,
        confidence: Some(0.75),
        evidence: [("mean_logprob".to_owned(), -0.25), ("mean_entropy".to_owned(), f64::NAN)].into(),
        outcome: Some(ANSWER.into()),
        validators: vec![found],
    };
    let span =
        Span { author: "small".into(), end: ANSWER.len() as u64, why: ANSWER.into(), ..Span::default() };
    let decision = Decision { kind: "stay".into(), reason: format!("sql: {ANSWER}"), ..Decision::default() };
    Entry {
        request_id: request_id.into(),
        policy: "cascade".into(),
        ladder: vec!["small".into(), "large".into()],
        model: "small".into(),
        finish_reason: "stop".into(),
        prompt_digest: prompt.digest,
        messages: prompt.messages,
        ledger: Account {
            spans: vec![span],
            rungs: vec![RungCost { model: "small".into(), tokens_kept: 17, ..RungCost::default() }],
            decisions: vec![decision],
            candidates: vec![judged],
            ..Account::default()
        },
        text: Some(ANSWER.into()),
        ..Entry::default()
    }
}

pub fn entries(path: &Path) -> Vec<Entry> {
    Reader::open(path).unwrap().entries(Filter::default()).collect::<Result<_, _>>().unwrap()
}

/// Runs to its end what a handle does asynchronously.
pub fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// Days since 1970, moved by hand.
#[derive(Clone)]
pub struct Days(Arc<AtomicU64>);

impl Days {
    pub fn at(day: u64) -> Self {
        Self(Arc::new(AtomicU64::new(day)))
    }

    pub fn advance(&self, days: u64) {
        self.0.fetch_add(days, Ordering::Relaxed);
    }

    pub fn options(&self) -> Options {
        let days = self.0.clone();
        let clock = move || UNIX_EPOCH + Duration::from_secs(86_400 * days.load(Ordering::Relaxed));
        Options { clock: Arc::new(clock), ..Options::default() }
    }
}

/// Whether any file of the folder has these bytes.
pub fn anywhere(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}
