//! What the text-to-SQL suites share: the prompt, and items whose reference works.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::eval::EvalError;
use crate::eval::judge::Judge;
use crate::eval::judge::sql::{Reference, SqlJudge, Unusable, run};
use crate::eval::suite::{Item, Loaded, Work, data, message};

const SYSTEM: &str = "You write SQL for SQLite. Answer with one SELECT statement in a ```sql code block \
    and nothing else.";

/// The schema of the worked examples.
const EXAMPLE_SCHEMA: &str = "CREATE TABLE book (title TEXT, author TEXT, pages INTEGER);";

/// Questions and answers that go before the question as turns: a small model that is only told to
/// write SQL talks about the answer instead.
const EXAMPLES: [(&str, &str); 2] = [
    ("who wrote the longest book", "SELECT author FROM book ORDER BY pages DESC LIMIT 1;"),
    ("how many books did Ada Berg write", "SELECT COUNT(*) FROM book WHERE author = 'Ada Berg';"),
];

/// A question with its references.
pub(super) struct Question {
    pub id: String,
    /// Name of the SQLite file.
    pub database: String,
    /// Name of the file with its DDL.
    pub schema: String,
    pub question: String,
    /// Rows of each table that the prompt shows, so that a model sees how values are spelled
    /// (Rajkumar et al. 2022, "Evaluating the text-to-SQL capabilities of large language
    /// models", section 3).
    pub sample_rows: usize,
    /// Hints of the suite; may be empty.
    pub instructions: String,
    /// Statements that are right.
    pub references: Vec<String>,
    /// What `now` means, if it stands still.
    pub today: Option<String>,
    /// Whether ORDER BY in a reference makes the order count.
    pub order_counts: bool,
}

/// Makes the items. Those whose references all fail, or return nothing, are left out.
pub(super) fn items(folder: &Path, questions: Vec<Question>) -> Result<Loaded, EvalError> {
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut items = Vec::new();
    for question in questions {
        let schema = match shown.get(&question.schema) {
            Some(schema) => schema,
            None => {
                let schema = data::read(&data::named_file(folder, &question.schema)?)?;
                let database = data::named_file(folder, &question.database)?;
                let samples = samples(&database, question.sample_rows)?;
                shown.entry(question.schema.clone()).or_insert(schema.trim().to_owned() + &samples)
            }
        };
        match judge(folder, &question)? {
            Ok(judge) => items.push(item(&question, schema, judge)),
            Err(Unusable::Fails(_)) => *skipped.entry("reference fails".into()).or_default() += 1,
            Err(Unusable::Empty) => *skipped.entry("reference is empty".into()).or_default() += 1,
        }
    }
    data::check_unique(&items)?;
    Ok(Loaded { items, skipped })
}

/// The first rows of each table, as a comment.
fn samples(database: &Path, rows: usize) -> Result<String, EvalError> {
    let query = |sql: &str| run(database, sql).map_err(|why| EvalError::unreadable(database, why));
    let mut shown = String::new();
    if rows == 0 {
        return Ok(shown);
    }
    for table in query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?.concat() {
        let name = table.trim_matches('\'').replace('"', "\"\"");
        shown.push_str(&format!("\n-- First rows of {name}:"));
        for row in query(&format!("SELECT * FROM \"{name}\" LIMIT {rows}"))? {
            shown.push_str(&format!("\n-- ({})", row.join(", ")));
        }
    }
    Ok(shown)
}

/// A judge of every reference that works, or why none does.
fn judge(folder: &Path, question: &Question) -> Result<Result<SqlJudge, Unusable>, EvalError> {
    let database = data::named_file(folder, &question.database)?;
    let mut unusable = Unusable::Fails("there is none".into());
    let mut accepted = Vec::new();
    for reference in &question.references {
        let sql = match &question.today {
            Some(today) => crate::eval::judge::sql_text::freeze_now(reference, today),
            None => reference.clone(),
        };
        match Reference::of(&database, &sql, question.order_counts) {
            Ok(reference) => accepted.push(reference),
            Err(why) => unusable = why,
        }
    }
    let today = question.today.clone();
    Ok(if accepted.is_empty() { Err(unusable) } else { Ok(SqlJudge { database, accepted, today }) })
}

fn item(question: &Question, schema: &str, judge: SqlJudge) -> Item {
    let hints = match question.instructions.trim() {
        "" => String::new(),
        hints => format!("\nHints: {hints}"),
    };
    let expected = match question.references.as_slice() {
        [only] => json!(only),
        several => json!(several),
    };
    let mut messages = vec![message("system", SYSTEM)];
    for (question, sql) in EXAMPLES {
        messages.push(message("user", asked(EXAMPLE_SCHEMA, question)));
        messages.push(message("assistant", format!("```sql\n{sql}\n```")));
    }
    messages.push(message("user", asked(schema, question.question.trim()) + &hints));
    Item { id: question.id.clone(), work: Work::Ask { messages, judge: Judge::Sql(judge) }, expected }
}

fn asked(schema: &str, question: &str) -> String {
    format!("Schema:\n{schema}\n\nQuestion: {question}")
}
