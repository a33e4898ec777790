//! Defog's sql-eval: several databases, several right statements per question. As in its own
//! runner the order of rows does not count: references order by columns that the question
//! does not ask to order by. The prompt has no rows: the schemas are long.

use std::path::Path;

use serde::Deserialize;

use crate::eval::EvalError;
use crate::eval::suite::{Loaded, Manner, data, sql};

/// The day on which the databases' contents were frozen.
const TODAY: &str = "2026-06-15";

#[derive(Deserialize)]
struct Line {
    id: String,
    db: String,
    question: String,
    #[serde(default)]
    instructions: String,
    sql: Vec<String>,
    #[serde(default)]
    time_dependent: bool,
}

pub(super) fn load(folder: &Path, manner: Manner) -> Result<Loaded, EvalError> {
    let lines = data::lines::<Line>(folder)?;
    let question = |line: Line| sql::Question {
        schema: format!("{}.schema.sql", line.db.trim_end_matches(".sqlite")),
        id: line.id,
        database: line.db,
        question: line.question,
        instructions: line.instructions,
        sample_rows: 0,
        references: line.sql,
        today: line.time_dependent.then(|| TODAY.to_owned()),
        order_counts: false,
        double_quotes: false,
    };
    sql::items(folder, manner, lines.into_iter().map(question).collect())
}
