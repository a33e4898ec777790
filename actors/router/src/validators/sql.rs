//! Does the answer's statement run on a database and return rows?

use std::path::Path;
use std::time::Duration;

use understudy_sandbox::sql::{Database, Failure, text::extract};

use super::{Finding, statement};
use crate::Verdict;
use crate::wording;

pub(super) const NAME: &str = "sql";
/// Of one statement; a validator is waited for.
const LIMIT: Duration = Duration::from_secs(2);

pub(super) fn validate(database: &Path, question: &str, text: &str) -> Finding {
    let database = Database::at(database).within(LIMIT);
    let mut finding = tried(&database, text);
    if let Some(statement) = extract(text) {
        let schema = database.run("SELECT group_concat(sql) FROM sqlite_schema");
        let ddl = schema.map(|table| table.rows.concat().concat()).unwrap_or_default();
        finding.read = statement::read(statement, wording::asked(question), &ddl);
    }
    finding
}

fn tried(database: &Database, text: &str) -> Finding {
    match database.answer(text) {
        Ok(table) => {
            let (rows, columns) = (table.rows.len(), table.columns.len());
            let (verdict, detail) = match table.is_empty() {
                true => (Verdict::Fail, "it runs and returns nothing".to_owned()),
                false => (Verdict::Pass, format!("{rows} rows of {columns} columns")),
            };
            let mut finding = Finding::new(NAME, verdict, detail);
            finding.numbers = vec![("rows", (1.0 + rows as f64).ln()), ("columns", columns as f64)];
            finding.outcome = (!table.is_empty()).then(|| table.digest());
            finding
        }
        // Not the answer's fault.
        Err(failure @ Failure::Database(_)) => Finding::new(NAME, Verdict::Unknown, failure.to_string()),
        Err(failure) => Finding::new(NAME, Verdict::Fail, failure.to_string()),
    }
}
