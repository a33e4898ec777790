//! The prompts of `bench policy` are what their README says: a hundred different ones of each class, and every
//! constraint compiles.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use understudy_grammars::{Budget, Dialect, Grammar, JsonSpec, Pattern, SqlSpec, Vocabulary, Whitespace};

const CLASSES: [&str; 3] = ["tools", "sql", "edits"];

fn prompts(class: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/speculation/{class}.jsonl"));
    let text = std::fs::read_to_string(&path).expect("a readable file");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn contents(prompt: &Value) -> Vec<&str> {
    let messages = prompt["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["content"].as_str().expect("a text")).collect()
}

/// One token per byte, and the end.
fn bytes() -> Arc<Vocabulary> {
    let tokens = (0..=u8::MAX).map(|byte| vec![byte]).chain([Vec::new()]);
    Arc::new(Vocabulary::new("bytes", tokens, vec![256]))
}

fn pattern(constraint: &Value) -> Pattern {
    match constraint["sql"].as_str() {
        Some(schema) => Pattern::Sql(SqlSpec {
            dialect: Dialect::Sqlite,
            schema: schema.to_owned(),
            writes: false,
            double_quoted_strings: false,
        }),
        None => {
            assert_eq!(constraint["compact"], true);
            let schema = constraint["json_schema"].to_string();
            Pattern::Json(JsonSpec { whitespace: Whitespace::None, ..JsonSpec::new(schema) })
        }
    }
}

#[test]
fn each_class_has_a_hundred_different_prompts() {
    let mut ids = HashSet::new();
    for class in CLASSES {
        let prompts = prompts(class);
        assert_eq!(prompts.len(), 100, "{class}");
        let different: HashSet<Vec<&str>> = prompts.iter().map(contents).collect();
        assert_eq!(different.len(), 100, "{class}: two prompts are the same");
        let questions: HashSet<&str> = prompts.iter().filter_map(|p| contents(p).last().copied()).collect();
        assert_eq!(questions.len(), 100, "{class}: two users ask the same");
        for prompt in &prompts {
            assert_eq!(prompt["class"], class);
            let id = prompt["id"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(prompt["max_tokens"].as_u64().is_some_and(|most| (64..=1024).contains(&most)), "{id}");
        }
    }
}

#[test]
fn every_constraint_compiles_and_can_be_met_in_the_tokens_there_are() {
    let vocabulary = bytes();
    for class in ["tools", "sql"] {
        for prompt in prompts(class) {
            let pattern = pattern(&prompt["constraint"]);
            let compiled = Grammar::compile(&pattern, &vocabulary, &Budget::default());
            let grammar = compiled.unwrap_or_else(|error| panic!("{}: {error}", prompt["id"]));
            let least = understudy_grammars::Constraint::min_close_tokens(&mut grammar.matcher());
            let most = prompt["max_tokens"].as_u64().expect("a number") as usize;
            // Bytes are more than a model's tokens.
            assert!(least.is_some_and(|bytes| bytes < 2 * most), "{}: {least:?} bytes", prompt["id"]);
        }
    }
}

#[test]
fn calls_are_of_declared_tools_and_schemas_are_many() {
    for prompt in prompts("tools") {
        let schema = &prompt["constraint"]["json_schema"];
        let calls = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        assert!((1..=4).contains(&calls.len()), "{}", prompt["id"]);
        for call in calls {
            let name = call["properties"]["name"]["const"].as_str().expect("a tool's name");
            let system = contents(&prompt)[0];
            assert!(system.contains(&format!("\"{name}\"")), "{}: {name} is not declared", prompt["id"]);
        }
    }
    let schemas: HashSet<String> =
        prompts("sql").iter().map(|p| p["constraint"]["sql"].to_string()).collect();
    assert!(schemas.len() >= 12, "{}", schemas.len());
}

#[test]
fn edits_are_of_code_that_stands_in_the_prompt() {
    for prompt in prompts("edits") {
        assert!(prompt["constraint"].is_null(), "{}", prompt["id"]);
        let user = contents(&prompt).pop().expect("a message");
        let fenced: Vec<&str> = user.split("```").collect();
        assert_eq!(fenced.len(), 3, "{}: one block of code", prompt["id"]);
        let lines = fenced[1].trim_end().lines().count() - 1;
        assert!((10..=70).contains(&lines), "{}: {lines} lines", prompt["id"]);
        let instruction = fenced[0].trim().len().max(fenced[2].trim().len());
        assert!(instruction > 15, "{}: no instruction", prompt["id"]);
    }
}
