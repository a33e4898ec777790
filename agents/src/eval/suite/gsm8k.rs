//! GSM8K (Cobbe et al. 2021): word problems; the last number of the answer counts.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use crate::eval::EvalError;
use crate::eval::judge::{Judge, number::NumberJudge};
use crate::eval::suite::{Item, Loaded, Work, data, message};

const ASK: &str = "Solve the problem step by step. End with a line `#### N`, where N is the answer as a \
    bare number.";

#[derive(Deserialize)]
struct Line {
    id: String,
    question: String,
    answer: String,
}

pub(super) fn load(folder: &Path) -> Result<Loaded, EvalError> {
    let lines = data::lines::<Line>(folder)?;
    let item = |line: Line| {
        let judge = NumberJudge::new(&line.answer)
            .ok_or_else(|| EvalError::input(format!("item {:?} has no number as its answer", line.id)))?;
        let messages = vec![message("user", format!("{}\n\n{ASK}", line.question.trim()))];
        let work = Work::Ask { messages, judge: Judge::Number(judge) };
        Ok(Item { id: line.id, work, expected: json!(line.answer) })
    };
    let items: Vec<Item> = lines.into_iter().map(item).collect::<Result<_, EvalError>>()?;
    data::check_unique(&items)?;
    Ok(Loaded { items, skipped: Default::default() })
}
