//! Tools of others: those of the Berkeley Function-Calling Leaderboard, where its data are at hand.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use understudy_grammars::measure::{complete::complete, exact::exact};
use understudy_grammars::{CallsSpec, Pattern, ToolSpec};

use crate::support::{accepts, case, compile, judge, tool, vocabulary};

/// JSON Schema's word for a type: the data name types as Python, Java and JavaScript do. `None`: any.
fn kind(named: &str) -> Option<&'static str> {
    Some(match named {
        "object" | "dict" | "HashMap" | "Hashtable" => "object",
        "array" | "tuple" | "list" | "Array" | "ArrayList" => "array",
        "string" | "String" | "char" => "string",
        "integer" | "Integer" | "int" | "long" | "Long" | "short" | "byte" => "integer",
        "number" | "float" | "double" | "Bigint" => "number",
        "boolean" | "Boolean" => "boolean",
        _ => return None,
    })
}

/// A parameter's schema in terms of JSON Schema.
fn standard(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut members = members.clone();
            if let Some(named) = members.get("type").and_then(Value::as_str).map(kind) {
                match named {
                    Some(named) => members.insert("type".into(), json!(named)),
                    None => members.remove("type"),
                };
            }
            members
                .iter()
                .map(|(name, value)| (name.clone(), standard(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(standard).collect(),
        other => other.clone(),
    }
}

/// The first of the acceptable arguments, as a call.
fn expected(call: &Value) -> Option<(String, Value)> {
    let (name, arguments) = call.as_object()?.iter().next()?;
    let first = |values: &Value| values.get(0).filter(|value| **value != "").cloned();
    let arguments = arguments.as_object()?.iter();
    Some((
        name.clone(),
        arguments.filter_map(|(name, values)| Some((name.clone(), first(values)?))).collect(),
    ))
}

#[test]
fn twenty_real_tools_at_once() {
    let Some(data) = std::env::var_os("UNDERSTUDY_DATA") else {
        eprintln!("left out: UNDERSTUDY_DATA is not set");
        return;
    };
    let rows = std::fs::read_to_string(std::path::Path::new(&data).join("bfcl/dev.jsonl")).expect("the data");
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    let mut tools: BTreeMap<String, Value> = BTreeMap::new();
    for function in rows.iter().flat_map(|row| row["function"].as_array().into_iter().flatten()) {
        let name = function["name"].as_str().unwrap_or_default();
        tools.entry(name.to_owned()).or_insert_with(|| standard(&function["parameters"]));
    }
    let calls: Vec<(String, Value)> = rows
        .iter()
        .flat_map(|row| row["ground_truth"].as_array().into_iter().flatten())
        .filter_map(expected)
        .filter(|(name, value)| {
            let schema = tools.get(name);
            schema.is_some_and(|schema| {
                jsonschema::validator_for(schema).is_ok_and(|judge| judge.is_valid(value))
            })
        })
        .collect();
    let all: Vec<ToolSpec> = tools.iter().map(|(name, schema)| tool(name, &schema.to_string())).collect();
    let (mut taken, mut sets) = (0, 0);
    for some in all.chunks(20).filter(|some| some.len() == 20) {
        let spec = CallsSpec { tools: some.to_vec(), text: false, many: true };
        let grammar = compile(&Pattern::Calls(spec.clone()));
        let mut texts = Vec::new();
        for (name, value) in calls.iter().filter(|(name, _)| some.iter().any(|tool| tool.name == *name)) {
            let value = spaced(value);
            let text = format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {value}}}\n</tool_call>");
            assert!(accepts(&grammar, &text), "{text}");
            texts.push(text);
        }
        taken += texts.len();
        sets += 1;
        if sets <= 4 {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let cases = [case(format!("set {sets}"), Pattern::Calls(spec.clone()), &texts)];
            let done = complete(&cases, &vocabulary(), 200, 3, true);
            assert_eq!((done.complete, done.triples), (200, 200), "{:?}", done.failed);
            for (_, text) in done.texts {
                let text = String::from_utf8(text).expect("text");
                judge(&spec, &text).unwrap_or_else(|wrong| panic!("{wrong}: {text}"));
            }
            let found = exact(&cases, &vocabulary(), 5_000, 5);
            assert_eq!((found.over, found.under), (0, 0), "{found:?}");
        }
    }
    eprintln!("{sets} sets of 20 tools, {taken} calls taken");
    assert!(sets >= 10 && taken >= 100, "{sets} sets, {taken} calls");
}

/// JSON with one space after commas and colons, as chat templates write it.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("{}: {}", json!(name), spaced(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
