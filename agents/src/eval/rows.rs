//! The file of rows: a header line, then one line per item. An interrupted run goes on
//! after the finished items.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::eval::EvalError;

/// Version of the lines.
pub const SCHEMA: u32 = 1;

/// What a file of rows is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// What decides the figures.
    #[serde(flatten)]
    pub identity: Identity,
    /// Items after those that cannot be judged were taken out.
    #[serde(default)]
    pub items: usize,
    /// Items that cannot be judged, by reason.
    #[serde(default)]
    pub skipped: BTreeMap<String, usize>,
    /// Where and when it began.
    #[serde(default)]
    pub run: Run,
}

/// What must be the same for rows to belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Which suite.
    pub suite: String,
    /// The model asked for; empty is the node's choice.
    pub model: String,
    /// The policy asked for; empty is the node's choice.
    pub policy: String,
    /// Of the sample of items, and of sampling.
    pub seed: u64,
    /// 0 is greedy.
    #[serde(default)]
    pub temperature: f32,
    /// Most tokens of an answer.
    #[serde(default)]
    pub max_tokens: u32,
    /// Digest of what is asked and expected, so that figures of different items are not mixed.
    #[serde(default)]
    pub data: String,
    /// Each item had a constraint.
    #[serde(default, skip_serializing_if = "is_off")]
    pub constrain: bool,
    /// Each item had validators.
    #[serde(default, skip_serializing_if = "is_off")]
    pub validators: bool,
    /// Rungs asked for; empty is the node's choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<String>,
    /// Task whose profiles the node was to use; empty is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
}

/// What is off is left out, so that rows from before a flag existed are of the same run.
fn is_off(flag: &bool) -> bool {
    !flag
}

impl Identity {
    /// The first thing that differs: its name, ours, theirs.
    fn difference(&self, other: &Self) -> Option<(String, Value, Value)> {
        let as_map = |identity: &Self| match json!(identity) {
            Value::Object(map) => map,
            _ => serde_json::Map::new(),
        };
        let (ours, theirs) = (as_map(self), as_map(other));
        let name = ours.keys().chain(theirs.keys()).find(|name| ours.get(*name) != theirs.get(*name))?;
        let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
        Some((name.clone(), of(&ours), of(&theirs)))
    }
}

/// Circumstances of a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Commit of the client.
    pub git: String,
    /// RFC 3339, UTC.
    pub time: String,
    /// Arithmetic of the node that answered, such as `cpu-f32`; `null` until it is known.
    pub device: Option<String>,
}

/// One item's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which suite.
    pub suite: String,
    /// Which item.
    pub item: String,
    /// The policy that answered.
    pub policy: String,
    /// The model that wrote the last span.
    pub model: String,
    /// Which version of a trained model; `null` for models of the catalogue.
    pub checkpoint: Option<String>,
    /// Whether the answer is right; for `perplexity`, whether it was scored.
    pub ok: bool,
    /// 0 to 1; for `perplexity`, nats per token.
    pub score: f64,
    /// The last thing that the user said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The text; `null` where none came.
    pub answer: Option<String>,
    /// What would have been right.
    pub expected: Value,
    /// Why it is wrong, or why there is no answer.
    pub error: Option<String>,
    /// As in `ask --json`.
    pub usage: Value,
    /// As in `ask --json`.
    pub timing: Value,
    /// As in `ask --json`.
    pub ledger: Value,
    /// Of the run.
    pub seed: u64,
    /// Circumstances.
    pub run: Run,
    /// `perplexity`: nats of all tokens together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nll: Option<f64>,
    /// `perplexity`: tokens scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// The time of day, RFC 3339, UTC, to the second.
pub(crate) fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

#[derive(Deserialize)]
struct HeaderLine {
    schema: u32,
    header: Header,
}

/// A header and its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The first line.
    pub header: Header,
    /// The others, in the order they were finished.
    pub rows: Vec<Row>,
    /// Bytes of the file that are whole lines.
    whole: u64,
}

impl Rows {
    /// Reads a file. A last line that was cut off while it was written does not count.
    ///
    /// # Errors
    /// [`EvalError::Input`] when it cannot be read or a line is none of ours, naming the line.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let text = std::fs::read(path).map_err(|error| EvalError::unreadable(path, error))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Self, EvalError> {
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let wrong = |line: usize, why: &dyn std::fmt::Display| {
            EvalError::unreadable(path, format!("line {line} is not what `eval` writes: {why}"))
        };
        let mut lines =
            text[..whole].split(|&byte| byte == b'\n').zip(1..).filter(|(line, _)| !line.is_empty());
        let Some((first, _)) = lines.next() else {
            return Err(EvalError::unreadable(path, "has no header line"));
        };
        let first: HeaderLine = serde_json::from_slice(first).map_err(|error| wrong(1, &error))?;
        if first.schema != SCHEMA {
            return Err(wrong(1, &format!("schema {} is unknown", first.schema)));
        }
        let rows: Result<_, _> = lines
            .map(|(line, number)| serde_json::from_slice(line).map_err(|error| wrong(number, &error)))
            .collect();
        Ok(Self { header: first.header, rows: rows?, whole: whole as u64 })
    }
}

impl Rows {
    /// Whether another file asked the same.
    ///
    /// # Errors
    /// [`EvalError::Input`], when its suite or data differ.
    pub fn same_items(&self, other: &Self) -> Result<(), EvalError> {
        let (ours, theirs) = (&self.header.identity, &other.header.identity);
        for (what, ours, theirs) in
            [("suite", &ours.suite, &theirs.suite), ("data", &ours.data, &theirs.data)]
        {
            if ours != theirs {
                return Err(EvalError::input(format!(
                    "the {what} of the two files differs: {ours:?} and {theirs:?}"
                )));
            }
        }
        Ok(())
    }
}

/// A file of rows that grows. Nobody else can write to it meanwhile.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens a new file, or one of the same identity with the rows it has.
    ///
    /// # Errors
    /// [`EvalError::Input`] when the file is about something else, is no file of rows, or is
    /// being written by another process; [`EvalError::Output`] when it cannot be written.
    pub fn open(path: &Path, header: &Header) -> Result<(Self, Vec<Row>), EvalError> {
        let unwritable = |error: std::io::Error| EvalError::unwritable(path, error);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(unwritable)?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => EvalError::unreadable(path, "another `eval` writes to it"),
            std::fs::TryLockError::Error(error) => unwritable(error),
        })?;
        let mut journal = Self { path: path.to_owned(), file };
        if journal.file.metadata().map_err(unwritable)?.len() == 0 {
            journal.line(&json!({"schema": SCHEMA, "header": header}))?;
            return Ok((journal, Vec::new()));
        }
        let mut text = Vec::new();
        journal.file.read_to_end(&mut text).map_err(unwritable)?;
        let there = Rows::parse(path, &text)?;
        if let Some((name, ours, theirs)) = header.identity.difference(&there.header.identity) {
            let what = format!("its rows have {name} {theirs}, this run has {ours}; choose another --out");
            return Err(EvalError::unreadable(path, what));
        }
        journal.file.set_len(there.whole).map_err(unwritable)?;
        journal.file.seek(SeekFrom::End(0)).map_err(unwritable)?;
        Ok((journal, there.rows))
    }

    /// Adds a row. It is in the system's hands when this returns.
    ///
    /// # Errors
    /// [`EvalError::Output`].
    pub fn add(&mut self, row: &Row) -> Result<(), EvalError> {
        self.line(row)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), EvalError> {
        let mut text = serde_json::to_vec(line).map_err(|error| EvalError::unwritable(&self.path, error))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(|error| EvalError::unwritable(&self.path, error))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn header(model: &str) -> Header {
        let identity = Identity {
            suite: "jsonl".into(),
            model: model.into(),
            policy: "direct".into(),
            seed: 1,
            temperature: 0.0,
            max_tokens: 64,
            data: "d".into(),
            constrain: false,
            validators: false,
            ladder: Vec::new(),
            task: String::new(),
        };
        Header { identity, items: 2, skipped: BTreeMap::new(), run: Run::default() }
    }

    pub(crate) fn row(item: &str, ok: bool) -> Row {
        Row {
            schema: SCHEMA,
            suite: "jsonl".into(),
            item: item.into(),
            policy: "direct".into(),
            model: "small".into(),
            checkpoint: None,
            ok,
            score: f64::from(u8::from(ok)),
            question: None,
            answer: Some("4".into()),
            expected: json!("4"),
            error: None,
            usage: json!({"prompt_tokens": 3, "completion_tokens": 10}),
            timing: json!({"total_ms": 500.0}),
            ledger: Value::Null,
            seed: 1,
            run: Run::default(),
            nll: None,
            tokens: None,
        }
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn rows_come_back_and_a_torn_line_is_dropped() {
        let folder = folder();
        let path = folder.path().join("rows.jsonl");
        let (mut journal, there) = Journal::open(&path, &header("small")).unwrap();
        assert_eq!(there, []);
        journal.add(&row("a", true)).unwrap();
        drop(journal);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"schema\":1,\"suite\":\"js").unwrap();
        drop(torn);
        let (mut journal, there) = Journal::open(&path, &header("small")).unwrap();
        assert_eq!(there, [row("a", true)]);
        journal.add(&row("b", false)).unwrap();
        drop(journal);
        let all = Rows::read(&path).unwrap();
        assert_eq!(all.rows, [row("a", true), row("b", false)]);
    }

    #[test]
    fn another_run_is_refused_by_name_and_the_file_stays() {
        let folder = folder();
        let path = folder.path().join("rows.jsonl");
        drop(Journal::open(&path, &header("small")).unwrap());
        let before = std::fs::read(&path).unwrap();
        let refused = Journal::open(&path, &header("large")).unwrap_err().to_string();
        for word in ["rows.jsonl", "model", "\"small\"", "\"large\"", "--out"] {
            assert!(refused.contains(word), "{word} in {refused}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn files_of_others_are_refused_with_their_line() {
        let folder = folder();
        let path = folder.path().join("rows.jsonl");
        let good = serde_json::to_string(&json!({"schema": 1, "header": header("small")})).unwrap();
        let newer = good.replace("\"schema\":1", "\"schema\":2");
        let cases = [
            ("\n", "has no header line"),
            ("a letter\n", "line 1"),
            ("{\"schema\":1}\n", "line 1"),
            (&format!("{newer}\n"), "schema 2"),
            (&format!("{good}\n\n{{\"item\": 3}}\n"), "line 3"),
            (&format!("{good}\n\u{0}\n"), "line 2"),
        ];
        for (content, word) in cases {
            std::fs::write(&path, content).unwrap();
            let refused = Journal::open(&path, &header("small")).unwrap_err();
            assert!(matches!(refused, EvalError::Input(_)), "{content:?}");
            assert!(refused.to_string().contains(word), "{word} in {refused}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content, "it stays as it was");
        }
    }

    #[test]
    fn two_writers_do_not_mix() {
        let folder = folder();
        let path = folder.path().join("rows.jsonl");
        let _first = Journal::open(&path, &header("small")).unwrap();
        let second = Journal::open(&path, &header("small")).unwrap_err().to_string();
        assert!(second.contains("another"), "{second}");
    }
}
