//! What the text-to-SQL suites share: the prompt, and items whose reference works.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use understudy_proto::v1::{Message, Sql, SqlDialect, constraint::Kind};
use understudy_sandbox::sql::Database;

use crate::eval::EvalError;
use crate::eval::judge::Judge;
use crate::eval::judge::sql::{Reference, SqlJudge, Unusable};
use crate::eval::suite::{Item, Loaded, Manner, constraint, data, message, runs_on};

const SYSTEM: &str = "You write SQL for SQLite. Answer with one SELECT statement in a ```sql code block \
    and nothing else.";

/// Under a constraint, which has no room for code blocks.
const BARE_SYSTEM: &str = "You write SQL for SQLite. Answer with one SELECT statement and nothing else.";

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
    /// References write texts in double quotes, so a constraint allows them.
    pub double_quotes: bool,
}

/// A schema as a prompt shows it and as a constraint reads it.
struct Schema {
    ddl: String,
    shown: String,
}

/// Makes the items. Those whose references all fail, or return nothing, are left out.
pub(super) fn items(folder: &Path, manner: Manner, questions: Vec<Question>) -> Result<Loaded, EvalError> {
    let mut schemas: BTreeMap<String, Schema> = BTreeMap::new();
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut items = Vec::new();
    for question in questions {
        let schema = match schemas.get(&question.schema) {
            Some(schema) => schema,
            None => {
                let ddl = data::read(&data::named_file(folder, &question.schema)?)?.trim().to_owned();
                let database = data::named_file(folder, &question.database)?;
                let shown = ddl.clone() + &samples(&database, question.sample_rows)?;
                schemas.entry(question.schema.clone()).or_insert(Schema { ddl, shown })
            }
        };
        match judge(folder, &question)? {
            Ok(judge) => items.push(item(&question, schema, judge, manner)),
            Err(Unusable::Fails(_)) => *skipped.entry("reference fails".into()).or_default() += 1,
            Err(Unusable::Empty) => *skipped.entry("reference is empty".into()).or_default() += 1,
        }
    }
    Ok(Loaded { items, skipped })
}

/// The first rows of each table, as a comment.
fn samples(database: &Path, rows: usize) -> Result<String, EvalError> {
    let query = |sql: &str| {
        let table = Database::at(database).run(sql);
        table.map(|table| table.rows).map_err(|why| EvalError::unreadable(database, why))
    };
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
    let database = Database::at(data::named_file(folder, &question.database)?).on(question.today.clone());
    let mut unusable = Unusable::Empty;
    let mut accepted = Vec::new();
    for reference in &question.references {
        match Reference::of(&database, reference, question.order_counts) {
            Ok(reference) => accepted.push(reference),
            Err(why) => unusable = why,
        }
    }
    Ok(if accepted.is_empty() { Err(unusable) } else { Ok(SqlJudge { database, accepted }) })
}

fn item(question: &Question, schema: &Schema, judge: SqlJudge, manner: Manner) -> Item {
    let expected = match question.references.as_slice() {
        [only] => json!(only),
        several => json!(several),
    };
    let held_to = Sql {
        schema: schema.ddl.clone(),
        dialect: SqlDialect::Sqlite.into(),
        double_quoted_strings: question.double_quotes,
        ..Sql::default()
    };
    let work = super::Question {
        messages: messages(question, schema, manner),
        constraint: Some(constraint(Kind::Sql(held_to))),
        validators: vec![runs_on(judge.database.path())],
        judge: Judge::Sql(judge),
    };
    Item { id: question.id.clone(), work: work.into_work(), expected }
}

fn messages(question: &Question, schema: &Schema, manner: Manner) -> Vec<Message> {
    let mut messages = vec![message("system", if manner.constrain { BARE_SYSTEM } else { SYSTEM })];
    for (question, sql) in EXAMPLES {
        messages.push(message("user", asked(EXAMPLE_SCHEMA, question)));
        let answer = if manner.constrain { sql.to_owned() } else { format!("```sql\n{sql}\n```") };
        messages.push(message("assistant", answer));
    }
    let hints = match question.instructions.trim() {
        "" => String::new(),
        hints => format!("\nHints: {hints}"),
    };
    messages.push(message("user", asked(&schema.shown, question.question.trim()) + &hints));
    messages
}

fn asked(schema: &str, question: &str) -> String {
    format!("Schema:\n{schema}\n\nQuestion: {question}")
}
