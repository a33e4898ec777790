//! Schemas and instances from real projects, where they are at hand.

use std::collections::BTreeMap;

use super::*;
use crate::json::scalar::{
    NumberTest, PatternSource, TextMatcher, TextTest, number_automaton, text_automaton,
};
use crate::lexeme::spelled;

/// Subschemas with the values that they are about, through properties and items.
fn pairs<'a>(schema: &'a Value, value: &'a Value, found: &mut Vec<(&'a Value, &'a Value)>) {
    found.push((schema, value));
    if let Value::Object(members) = value {
        for (name, value) in members {
            if let Some(schema) = schema.get("properties").and_then(|properties| properties.get(name)) {
                pairs(schema, value, found);
            }
        }
    }
    if let (Value::Array(items), Some(schema @ Value::Object(_))) = (value, schema.get("items")) {
        items.iter().for_each(|value| pairs(schema, value, found));
    }
    for list in ["anyOf", "allOf", "oneOf"].iter().filter_map(|name| schema.get(name)?.as_array()) {
        list.iter().for_each(|schema| pairs(schema, value, found));
    }
}

fn patterns(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            found.extend(members.get("pattern").and_then(Value::as_str).map(String::from));
            if let Some(Value::Object(patterns)) = members.get("patternProperties") {
                found.extend(patterns.keys().cloned());
            }
            members.values().for_each(|schema| patterns(schema, found));
        }
        Value::Array(items) => items.iter().for_each(|schema| patterns(schema, found)),
        _ => {}
    }
}

#[test]
#[allow(clippy::print_stderr)]
fn real_schemas_and_values_are_inside() {
    let Ok(data) = std::env::var("UNDERSTUDY_DATA") else {
        return eprintln!("UNDERSTUDY_DATA is not set: real schemas are left out");
    };
    let folder = std::fs::read_dir(format!("{data}/grammar/jsonschemabench")).expect("a folder of schemas");
    let files: Vec<Value> = folder
        .map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap())
        .collect();

    let mut found = Vec::new();
    files.iter().for_each(|file| patterns(&file["schema"], &mut found));
    found.sort();
    found.dedup();
    let mut refused = Vec::new();
    let (mut states, mut times) = (Vec::new(), Vec::new());
    for pattern in &found {
        let started = std::time::Instant::now();
        match text_automaton(&Logic::Is(TextTest::Pattern(pattern.clone())), &[true; 256], &budget()) {
            Ok(automaton) => states.push(automaton.map_or(0, |automaton| automaton.states())),
            Err(error) => refused.push(error.to_string()),
        }
        times.push((started.elapsed(), pattern));
        assert!(PatternSource::new(pattern, &budget()).is_ok() || !refused.is_empty());
    }
    states.sort_unstable();
    times.sort_unstable();
    eprintln!(
        "{} patterns, refused {refused:#?}; states {} at the median, {} at most; {:?} at the median, {:?} at most",
        found.len(),
        states[states.len() / 2],
        states[states.len() - 1],
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(refused.len() * 50 <= found.len());

    let mut inside: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    let mut numbers = (0, Vec::new());
    for file in &files {
        for test in file["tests"].as_array().unwrap().iter().filter(|test| test["valid"] == true) {
            let mut found = Vec::new();
            pairs(&file["schema"], &test["data"], &mut found);
            for (schema, value) in found {
                match value {
                    Value::String(text) => strings(schema, text, &mut inside),
                    Value::Number(number) => tally_number(schema, number, &mut numbers),
                    _ => {}
                }
            }
        }
    }
    let (mut all, mut missed) = (0, 0);
    for (kind, (count, misses)) in &inside {
        eprintln!("{kind}: {count} valid values, outside {misses:?}");
        (all, missed) = (all + count, missed + misses.len());
    }
    eprintln!("numbers: {} valid, outside {:?}", numbers.0, numbers.1);
    assert!(missed * 100 <= all && numbers.1.len() * 100 <= numbers.0);
}

fn strings(schema: &Value, text: &str, inside: &mut BTreeMap<String, (usize, Vec<String>)>) {
    let format = schema.get("format").and_then(Value::as_str).map(|format| TextTest::Format(format.into()));
    let pattern =
        schema.get("pattern").and_then(Value::as_str).map(|pattern| TextTest::Pattern(pattern.into()));
    for test in format.into_iter().chain(pattern) {
        let (kind, keyword) = match &test {
            TextTest::Format(format) => (format!("format {format}"), json!({ "format": format })),
            TextTest::Pattern(pattern) => ("pattern".to_owned(), json!({ "pattern": pattern })),
            _ => continue,
        };
        if oracle(&keyword).is_valid(&json!(text)) {
            let matcher = TextMatcher::new(&Logic::Is(test), &budget());
            let tally = inside.entry(kind).or_default();
            tally.0 += 1;
            if !matcher.is_ok_and(|matcher| matcher.matches(text)) {
                tally.1.push(spelled(text));
            }
        }
    }
}

fn tally_number(schema: &Value, number: &serde_json::Number, tally: &mut (usize, Vec<String>)) {
    let bound = |name: &str| Decimal::parse(&schema.get(name)?.as_number()?.to_string());
    let tests = [
        (schema.get("type") == Some(&json!("integer"))).then_some(NumberTest::Integer),
        bound("minimum").map(NumberTest::Minimum),
        bound("maximum").map(NumberTest::Maximum),
        bound("multipleOf").map(NumberTest::MultipleOf),
    ];
    let keywords = ["type", "minimum", "maximum", "multipleOf"];
    let schema: Value =
        keywords.iter().filter_map(|name| Some((name.to_string(), schema.get(name)?.clone()))).collect();
    if oracle(&schema).is_valid(&json!(number)) {
        let logic = Logic::All(tests.into_iter().flatten().map(Logic::Is).collect());
        let automaton = number_automaton(&logic, &[true; 256], &budget()).unwrap();
        tally.0 += 1;
        if !automaton.is_some_and(|automaton| accepts(&automaton, &number.to_string())) {
            tally.1.push(number.to_string());
        }
    }
}
