//! Own prompts: lines of `{"id", "prompt", "expected", "match": "exact" | "contains"}`;
//! `expected` is a text, or a list of which any will do.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use crate::eval::EvalError;
use crate::eval::judge::{
    Judge,
    text::{Matching, TextJudge},
};
use crate::eval::suite::{Item, Loaded, Question, data, message};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    prompt: String,
    expected: Expected,
    #[serde(default)]
    system: Option<String>,
    #[serde(default, rename = "match")]
    matching: Matching,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    One(String),
    Any(Vec<String>),
}

pub(super) fn load(folder: &Path) -> Result<Loaded, EvalError> {
    let lines = data::lines::<Line>(folder)?;
    let item = |line: Line| {
        let system = line.system.map(|system| message("system", system));
        let messages = system.into_iter().chain([message("user", line.prompt)]).collect();
        let (expected, shown) = match line.expected {
            Expected::One(text) => (vec![text.clone()], json!(text)),
            Expected::Any(texts) => (texts.clone(), json!(texts)),
        };
        let judge = Judge::Text(TextJudge { expected, matching: line.matching });
        Item { id: line.id, work: Question::work(messages, judge), expected: shown }
    };
    let items: Vec<Item> = lines.into_iter().map(item).collect();
    Ok(Loaded { items, skipped: Default::default() })
}
