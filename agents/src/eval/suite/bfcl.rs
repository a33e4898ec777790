//! Berkeley Function Calling Leaderboard, single turn: functions as JSON in the prompt, calls
//! as JSON in the answer.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use understudy_proto::v1::Message;

use crate::eval::EvalError;
use crate::eval::judge::{
    Judge,
    calls::{CallJudge, Function},
};
use crate::eval::suite::{Item, Loaded, Question, data, message, schema};

const HEAD: &str = "You can call these functions:";

/// After the declarations: small models otherwise repeat them.
const ASK: &str = "Answer the user with the calls that are needed, as a JSON array and nothing else. Each call \
    is an object with the name and the argument values, like this: \
    [{\"name\": \"add\", \"arguments\": {\"a\": 2, \"b\": 3}}]. Do not repeat the declarations. When no \
    function fits, or a needed value is missing, answer [].";

#[derive(Deserialize)]
struct Line {
    id: String,
    question: Vec<Vec<Turn>>,
    function: Vec<Value>,
    /// Each call is an object of one key, the function, with allowed values by parameter.
    ground_truth: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

pub(super) fn load(folder: &Path) -> Result<Loaded, EvalError> {
    let lines = data::lines::<Line>(folder)?;
    let items: Vec<Item> = lines.into_iter().map(item).collect::<Result<_, _>>()?;
    Ok(Loaded { items, skipped: Default::default() })
}

fn item(line: Line) -> Result<Item, EvalError> {
    let shown = json!(line.ground_truth);
    let mut expected = Vec::new();
    for (name, allowed) in line.ground_truth.into_iter().flatten() {
        let Value::Object(allowed) = allowed else {
            return Err(EvalError::input(format!("item {:?}: the values of {name} are no object", line.id)));
        };
        expected.push((name, allowed));
    }
    let functions = line.function.iter().filter_map(function).collect();
    let messages = messages(&line.function, line.question);
    let schema = schema::of_calls(&line.function);
    let work = Question {
        messages,
        judge: Judge::Calls(CallJudge { functions, expected }),
        constraint: Some(schema::compact(&schema)),
        validators: vec![schema::is_matched(&schema)],
    };
    Ok(Item { id: line.id, work: work.into_work(), expected: shown })
}

fn function(declared: &Value) -> Option<(String, Function)> {
    let parameters = &declared["parameters"];
    let required = parameters["required"].as_array().into_iter().flatten();
    let properties = parameters["properties"].as_object().into_iter().flatten();
    let function = Function {
        required: required.filter_map(Value::as_str).map(str::to_owned).collect(),
        types: properties
            .filter_map(|(name, of)| Some((name.clone(), of["type"].as_str()?.to_owned())))
            .collect(),
    };
    Some((declared["name"].as_str()?.to_owned(), function))
}

/// One system message in front: ours, with the item's own after it.
fn messages(functions: &[Value], question: Vec<Vec<Turn>>) -> Vec<Message> {
    let functions: Vec<String> = functions.iter().map(Value::to_string).collect();
    let (system, turns): (Vec<Turn>, Vec<Turn>) =
        question.into_iter().flatten().partition(|turn| turn.role == "system");
    let own = system.iter().map(|turn| format!("\n\n{}", turn.content)).collect::<String>();
    let first = message("system", format!("{HEAD}\n{}\n\n{ASK}{own}", functions.join("\n")));
    std::iter::once(first).chain(turns.into_iter().map(|turn| message(&turn.role, turn.content))).collect()
}
