//! HumanEval (Chen et al. 2021, "Evaluating large language models trained on code"): Python functions to complete,
//! judged by hidden tests.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use understudy_sandbox::python::Python;

use crate::eval::EvalError;
use crate::eval::judge::{Judge, code::CodeJudge};
use crate::eval::suite::{Item, Loaded, Question, data, message, passes};

const ASK: &str = "Complete this Python function. Answer with the whole function in a ```python code block and \
    nothing else.";

#[derive(Deserialize)]
struct Line {
    task_id: String,
    prompt: String,
    entry_point: String,
    canonical_solution: String,
    test: String,
}

pub(super) fn load(folder: &Path) -> Result<Loaded, EvalError> {
    let lines = data::lines::<Line>(folder)?;
    let python = Arc::new(Python::find().map_err(|why| EvalError::input(why.to_string()))?);
    let items = lines.into_iter().map(|line| item(line, &python)).collect();
    Ok(Loaded { items, skipped: Default::default() })
}

fn item(line: Line, python: &Arc<Python>) -> Item {
    let prompt = line.prompt.trim();
    let messages = vec![message("user", format!("{ASK}\n\n```python\n{prompt}\n```"))];
    let before = preamble(&line.prompt, &line.entry_point);
    let after = format!("{}\ncheck({})\n", line.test, line.entry_point);
    let judge = CodeJudge { python: python.clone(), before: before.to_owned(), after };
    let examples = examples(&line.prompt, &line.entry_point);
    let work = Question {
        messages,
        judge: Judge::Code(judge),
        constraint: None,
        validators: examples.iter().map(|after| passes(before, after)).collect(),
    };
    Item { id: line.task_id, work: work.into_work(), expected: json!(line.canonical_solution) }
}

/// Imports and helpers before the function that is asked for.
fn preamble<'a>(prompt: &'a str, function: &str) -> &'a str {
    let definition = format!("def {function}(");
    let starts_line = |&(at, _): &(usize, &str)| at == 0 || prompt[..at].ends_with('\n');
    let at = prompt.rmatch_indices(&definition).find(starts_line).map_or(0, |(at, _)| at);
    &prompt[..at]
}

/// Tests from the docstring's examples, `>>> CALL` with the value on the next line; `None` without any. Examples that
/// are no Python, such as `...`, say nothing.
fn examples(prompt: &str, function: &str) -> Option<String> {
    let lines: Vec<&str> = prompt.lines().map(str::trim).collect();
    let pairs: Vec<(&str, &str)> = lines
        .windows(2)
        .filter_map(|pair| Some((pair[0].strip_prefix(">>>")?.trim(), pair[1])))
        .filter(|(call, wanted)| call.contains(function) && !wanted.is_empty() && !wanted.starts_with(">>>"))
        .collect();
    let last = prompt.rfind(&format!("def {function}(")).unwrap_or(0);
    let is_ours = prompt[last..].contains(">>>");
    (is_ours && !pairs.is_empty()).then(|| {
        let list = json!(pairs);
        format!(
            "for call, wanted in {list}:\n    try:\n        compile(call, 'example', 'eval')\n        wanted = \
             eval(wanted)\n    except Exception:\n        continue\n    assert eval(call) == wanted, call\n"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPT: &str = "import math\n\ndef help(x):\n    return x\n\n\ndef twice(x):\n    \"\"\"Twice.\n    >>> \
        twice(2)\n    4\n    >>> twice('\"')\n    '\"\"'\n    >>> twice(x)\n    ...\n    >>> twice(1)\n    \"\"\"\n";

    #[test]
    fn the_function_and_its_examples_are_found() {
        assert_eq!(preamble(PROMPT, "twice"), "import math\n\ndef help(x):\n    return x\n\n\n");
        assert_eq!(preamble("def a():\n", "a"), "");
        let found = examples(PROMPT, "twice").unwrap();
        let pairs = r#"[["twice(2)","4"],["twice('\"')","'\"\"'"],["twice(x)","..."],["twice(1)","\"\"\""]]"#;
        assert!(found.starts_with(&format!("for call, wanted in {pairs}:\n")), "{found}");
        assert_eq!(examples("def a():\n    \"\"\"No example.\"\"\"\n", "a"), None);
    }
}
