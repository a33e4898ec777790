//! Labelled prompts, their grader, and the area under the ROC curve. The format and the
//! grader's rules are in tests/labelled/README.md.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::Path;

use regex::Regex;
use rusqlite::Connection;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Labelled {
    pub id: String,
    pub kind: String,
    pub prompt: String,
    pub max_tokens: u32,
    check: Check,
}

#[derive(Debug, Clone, Deserialize)]
struct Check {
    #[serde(default)]
    contains_any: Vec<String>,
    #[serde(default)]
    not_contains: Vec<String>,
    regex: Option<String>,
    sql: Option<SqlCheck>,
}

#[derive(Debug, Clone, Deserialize)]
struct SqlCheck {
    setup: String,
    rows: Vec<Vec<String>>,
    ordered: bool,
}

/// The prompts of `tests/labelled/<file>`.
pub fn read(file: &str) -> Vec<Labelled> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/labelled").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a labelled prompt")).collect()
}

impl Labelled {
    /// Whether an answer is right.
    pub fn is_right(&self, answer: &str) -> bool {
        let answer = answer.trim();
        if let Some(sql) = &self.check.sql {
            return first_statement(answer).is_some_and(|statement| sql.holds(&statement));
        }
        if let Some(regex) = &self.check.regex {
            return Regex::new(regex).expect("a valid expression").is_match(answer);
        }
        let has = |words: &[String]| words.iter().any(|word| has_word(answer, word));
        has(&self.check.contains_any) && !has(&self.check.not_contains)
    }
}

fn has_word(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_lowercase(), word.to_lowercase());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The first SQL statement of an answer, fenced or not.
fn first_statement(answer: &str) -> Option<String> {
    let fence = Regex::new(r"(?s)```(?:[a-zA-Z0-9]*[ \t]*\n)?(.*?)(?:```|\z)").expect("a valid expression");
    if let Some(fenced) = fence.captures(answer) {
        return fenced[1].split(';').next().map(|statement| statement.trim().to_owned());
    }
    let start = Regex::new(r"(?im)\bselect\b|^\s*with\b").expect("a valid expression").find(answer)?.start();
    let end = Regex::new(r";|\n[ \t]*\n").expect("a valid expression");
    let statement = end.split(&answer[start..]).next()?;
    Some(statement.replace('`', "").trim().to_owned())
}

impl SqlCheck {
    /// Runs an untrusted statement on an in-memory database, for a bounded number of steps.
    fn holds(&self, statement: &str) -> bool {
        let database = Connection::open_in_memory().expect("SQLite opens");
        database.execute_batch(&self.setup).expect("the setup is valid");
        let mut steps = 0;
        let _ = database.progress_handler(
            1000,
            Some(move || {
                steps += 1;
                steps > 1000
            }),
        );
        let Ok(mut rows) = rows_of(&database, statement) else { return false };
        let mut expected = self.rows.clone();
        if !self.ordered {
            rows.sort();
            expected.sort();
        }
        rows == expected
    }
}

fn rows_of(database: &Connection, statement: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut prepared = database.prepare(statement)?;
    if !prepared.readonly() {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let columns = prepared.column_count();
    let rows =
        prepared.query_map([], |row| (0..columns).map(|at| Ok(as_text(row.get_ref(at)?))).collect())?;
    rows.collect()
}

fn as_text(value: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    }
}

/// Probability that a right answer scores above a wrong one; ties count half. A constant
/// score gives 0.5.
pub fn auroc(scored: &[(f32, bool)]) -> f64 {
    let (mut won, mut pairs) = (0.0, 0.0);
    for (right, _) in scored.iter().filter(|(_, is_right)| *is_right) {
        for (wrong, _) in scored.iter().filter(|(_, is_right)| !is_right) {
            pairs += 1.0;
            won += match right.total_cmp(wrong) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    if pairs == 0.0 { f64::NAN } else { won / pairs }
}
