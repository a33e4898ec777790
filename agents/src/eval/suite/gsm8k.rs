//! GSM8K (Cobbe et al. 2021): word problems; the last number of the answer counts.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;
use understudy_proto::v1::constraint::Kind;

use crate::eval::EvalError;
use crate::eval::judge::{Judge, number::NumberJudge};
use crate::eval::suite::{Item, Loaded, Question, constraint, data, message};

const ASK: &str = "Solve the problem step by step. End with a line `#### N`, where N is the answer as a \
    bare number.";

/// A text, then the line that is asked for.
const SOLUTION: &str = r"[^#]+\n#### -?[0-9]+(\.[0-9]+)?";

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
        let constraint = Some(constraint(Kind::Regex(SOLUTION.into())));
        let judge = Judge::Number(judge);
        let work = Question { messages, judge, constraint, validators: Vec::new() }.into_work();
        Ok(Item { id: line.id, work, expected: json!(line.answer) })
    };
    let items: Vec<Item> = lines.into_iter().map(item).collect::<Result<_, EvalError>>()?;
    Ok(Loaded { items, skipped: Default::default() })
}
