//! GeoQuery (Zelle & Mooney 1996; SQL of Finegan-Dollak et al. 2018): one database.

use std::path::Path;

use serde::Deserialize;

use crate::eval::EvalError;
use crate::eval::suite::{Loaded, Manner, data, sql};

#[derive(Deserialize)]
struct Line {
    id: String,
    db: String,
    question: String,
    sql: String,
}

pub(super) fn load(folder: &Path, manner: Manner) -> Result<Loaded, EvalError> {
    let lines = data::lines::<Line>(folder)?;
    let question = |line: Line| sql::Question {
        id: line.id,
        database: line.db,
        schema: "schema.sql".into(),
        question: line.question,
        instructions: String::new(),
        sample_rows: 3,
        references: vec![line.sql],
        today: None,
        order_counts: true,
        double_quotes: true,
    };
    sql::items(folder, manner, lines.into_iter().map(question).collect())
}
