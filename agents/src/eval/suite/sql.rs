//! What the text-to-SQL suites share: the prompt, and items whose reference works.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::eval::EvalError;
use crate::eval::judge::Judge;
use crate::eval::judge::sql::{Reference, SqlJudge, Unusable};
use crate::eval::suite::{Item, Loaded, Work, data, message};

const SYSTEM: &str = "You write SQL for SQLite. Answer with one SELECT statement in a ```sql code block \
    and nothing else.";

/// A question with its references.
pub(super) struct Question {
    pub id: String,
    /// Name of the SQLite file.
    pub database: String,
    /// Name of the file with its DDL.
    pub schema: String,
    pub question: String,
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
pub(super) fn items(folder: &Path, questions: Vec<Question>, digest: String) -> Result<Loaded, EvalError> {
    let mut schemas: BTreeMap<String, String> = BTreeMap::new();
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut items = Vec::new();
    for question in questions {
        let schema = match schemas.get(&question.schema) {
            Some(schema) => schema,
            None => {
                let text = data::read(&data::named_file(folder, &question.schema)?)?;
                schemas.entry(question.schema.clone()).or_insert(text)
            }
        };
        match judge(folder, &question)? {
            Ok(judge) => items.push(item(&question, schema, judge)),
            Err(Unusable::Fails(_)) => *skipped.entry("reference fails".into()).or_default() += 1,
            Err(Unusable::Empty) => *skipped.entry("reference is empty".into()).or_default() += 1,
        }
    }
    data::check_unique(&items)?;
    Ok(Loaded { items, skipped, digest })
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
    let asked = format!("Schema:\n{}\n\nQuestion: {}{hints}", schema.trim(), question.question.trim());
    let expected = match question.references.as_slice() {
        [only] => json!(only),
        several => json!(several),
    };
    let messages = vec![message("system", SYSTEM), message("user", asked)];
    Item { id: question.id.clone(), work: Work::Ask { messages, judge: Judge::Sql(judge) }, expected }
}
