//! MBPP (Austin et al. 2021, "Program synthesis with large language models"): Python functions by description. The
//! prompt shows the first of the tests, for the function's name and the form of its values; all of them judge.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use understudy_sandbox::python::Python;

use crate::eval::EvalError;
use crate::eval::judge::{Judge, code::CodeJudge};
use crate::eval::suite::{Item, Loaded, Question, data, message, passes};

const ASK: &str = "Answer with the Python code in a ```python code block and nothing else.";

#[derive(Deserialize)]
struct Line {
    task_id: u64,
    text: String,
    code: String,
    test_setup_code: String,
    test_list: Vec<String>,
}

pub(super) fn load(folder: &Path) -> Result<Loaded, EvalError> {
    let lines = data::lines::<Line>(folder)?;
    let python = Arc::new(Python::find().map_err(|why| EvalError::input(why.to_string()))?);
    let items = lines.into_iter().map(|line| item(line, &python)).collect::<Result<_, _>>()?;
    Ok(Loaded { items, skipped: Default::default() })
}

fn item(line: Line, python: &Arc<Python>) -> Result<Item, EvalError> {
    let id = line.task_id.to_string();
    let Some(shown) = line.test_list.first().map(|test| test.replace('\r', "")) else {
        return Err(EvalError::input(format!("item {id:?} has no test")));
    };
    let task = line.text.trim();
    let messages =
        vec![message("user", format!("{task} Your code should pass this test:\n\n{shown}\n\n{ASK}"))];
    // The setup uses what the answer defines.
    let tests = |tests: &str| format!("{}\n{tests}\n", line.test_setup_code).replace('\r', "");
    let after = tests(&line.test_list.join("\n"));
    let work = Question {
        messages,
        judge: Judge::Code(CodeJudge { python: python.clone(), before: String::new(), after }),
        constraint: None,
        validators: vec![passes("", &tests(&shown))],
    };
    Ok(Item { id, work: work.into_work(), expected: json!(line.code) })
}
