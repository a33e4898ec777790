//! `understudy ledger`: what the node of this machine kept of its requests.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use understudy_gateway::NodeConfig;
use understudy_ledger::{Filter, Options, Reader, Stats, Store, stats::Line};

use crate::cli::{LedgerCommand, LedgerExport, LedgerPurge, LedgerStats, Selected};
use crate::error::Error;
use crate::render::{bytes, line, table};

pub fn run(command: &LedgerCommand) -> Result<(), Error> {
    let file = NodeConfig::default().ledger_file()?;
    match command {
        LedgerCommand::Export(args) => export(&file, args),
        LedgerCommand::Stats(args) => stats(&file, args),
        LedgerCommand::Purge(args) => purge(&file, args),
    }
}

fn export(file: &Path, args: &LedgerExport) -> Result<(), Error> {
    let reader = Reader::open(file)?;
    let out: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(File::create(path).map_err(|error| unwritable(path, &error))?),
        None => Box::new(stdout().lock()),
    };
    let mut out = BufWriter::new(out);
    for entry in reader.entries(filter(&args.which)) {
        let json = serde_json::to_string(&entry?).map_err(|error| Error::internal(error.to_string()))?;
        if let Err(error) = writeln!(out, "{json}") {
            return quietly(error);
        }
    }
    out.flush().or_else(quietly)
}

/// A reader that went away ends the command quietly.
fn quietly(error: std::io::Error) -> Result<(), Error> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error.into()) }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::invalid(format!("--out {}: {error}", path.display()))
}

fn stats(file: &Path, args: &LedgerStats) -> Result<(), Error> {
    let reader = Reader::open(file)?;
    let mut stats = Stats::default();
    for entry in reader.entries(filter(&args.which)) {
        stats.add(&entry?);
    }
    let dropped = reader.dropped()?;
    if args.json {
        let policies: Vec<_> = stats.lines().map(|line| as_json(&line)).collect();
        return line(&json!({"policies": policies, "dropped": dropped}).to_string());
    }
    let header =
        ["POLICY", "REQUESTS", "ESCALATED", "TEACHER TOKENS", "READ", "SAVED", "SAID RIGHT", "SAID WRONG"];
    line(&table(&header, stats.lines().map(cells)))?;
    if dropped > 0 {
        line(&format!("{dropped} requests more could not be noted"))?;
    }
    Ok(())
}

fn cells(line: Line) -> Vec<String> {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    vec![
        line.policy,
        line.requests.to_string(),
        percent(line.escalated),
        percent(line.teacher_tokens),
        bytes(line.bytes_read),
        line.saved.map_or_else(|| "-".to_owned(), percent),
        line.right.to_string(),
        line.wrong.to_string(),
    ]
}

fn as_json(line: &Line) -> serde_json::Value {
    json!({
        "policy": line.policy, "requests": line.requests, "escalated": line.escalated,
        "teacher_tokens": line.teacher_tokens, "bytes_read": line.bytes_read, "saved": line.saved,
        "right": line.right, "wrong": line.wrong,
    })
}

fn purge(file: &Path, args: &LedgerPurge) -> Result<(), Error> {
    // Opening for writing would begin a ledger where there is none.
    Reader::open(file)?;
    let removed = Store::open(file, Options::default())?.purge(args.before.map(moment))?;
    line(&format!("{removed} requests removed"))
}

fn filter(which: &Selected) -> Filter {
    Filter { since_ms: which.since.map(moment), task: which.task.clone() }
}

/// That long ago, in milliseconds since 1970.
fn moment(ago: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_sub(ago).as_millis()).unwrap_or(i64::MAX)
}

/// The state of the ledger for `doctor`: how much is in it, `None` where there is none.
pub(super) fn state(file: PathBuf) -> Result<Option<u64>, understudy_ledger::LedgerError> {
    if !file.exists() {
        return Ok(None);
    }
    let reader = Reader::open(&file)?;
    reader.check()?;
    reader.count().map(Some)
}
