//! JSON under schemas, against the `jsonschema` crate and against trying every token.

#![allow(clippy::print_stderr)] // says what was not tried, and how much of a suite passes

mod hostile;
mod optimum;
#[path = "../common/soon.rs"]
mod soon;
mod support;

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{END, allowed, vocabulary, walk};
use understudy_grammars::measure::{Case, complete::complete};
use understudy_grammars::{
    Budget, Constraint, Grammar, GrammarError, JsonSpec, Pattern, SchemaError, Whitespace,
};

fn compile(schema: &Value) -> Result<Arc<Grammar>, GrammarError> {
    Grammar::compile(&Pattern::Json(JsonSpec::new(schema.to_string())), &vocabulary(), &Budget::default())
}

fn accepts(grammar: &Arc<Grammar>, text: &str) -> bool {
    let mut matcher = grammar.matcher();
    text.bytes().all(|byte| matcher.try_accept(u32::from(byte))) && matcher.is_accepting()
}

/// Schemas that between them use every keyword.
fn schemas() -> Vec<Value> {
    vec![
        json!(true),
        json!({"type": ["null", "boolean"]}),
        json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"const": "x"}}, "required": ["a"]}),
        json!({"properties": {"a": {"enum": [1, "yes", null, [1, {"k": 2}]]}, "c": {"minLength": 2, "maxLength": 3}},
               "required": ["c", "a"], "additionalProperties": false, "type": "object"}),
        json!({"type": "object", "patternProperties": {"^a": {"type": "boolean"}, "b$": {"type": "null"}},
               "additionalProperties": {"type": "string", "maxLength": 1}, "minProperties": 2, "maxProperties": 3}),
        json!({"type": "object", "propertyNames": {"pattern": "^[a-c]{1,2}$"}, "additionalProperties": {"maximum": 3}}),
        json!({"type": "object", "properties": {"k": true}, "dependentRequired": {"k": ["m"]},
               "dependentSchemas": {"m": {"properties": {"k": {"type": "null"}}}}, "additionalProperties": {"type": "null"}}),
        json!({"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "items": {"type": "integer"},
               "minItems": 1, "maxItems": 4}),
        json!({"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": true, "minItems": 2}),
        json!({"type": "array", "items": {"type": ["string", "integer"], "maxLength": 1}, "uniqueItems": true, "maxItems": 3}),
        json!({"type": "array", "items": {"type": ["integer", "null"]}, "contains": {"type": "null"},
               "minContains": 1, "maxContains": 2, "maxItems": 4}),
        json!({"anyOf": [{"type": "object", "properties": {"t": {"const": "a"}, "v": {"type": "null"}}, "required": ["t", "v"]},
                         {"type": "object", "properties": {"t": {"const": "b"}, "w": {"type": "boolean"}}, "required": ["t", "w"]}]}),
        json!({"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}, {"type": "null"}]}),
        json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "additionalProperties": {"type": "null"}}),
        json!({"if": {"properties": {"k": {"const": 1}}, "required": ["k"]}, "then": {"required": ["m"]},
               "else": {"properties": {"m": false}}, "type": "object", "properties": {"k": {"enum": [1, 2]}, "m": {"type": "null"}},
               "additionalProperties": false}),
        json!({"not": {"anyOf": [{"type": "object"}, {"type": "array"}, {"type": "string", "pattern": "a"}]}}),
        json!({"type": "object", "properties": {"a": {"type": "null"}}, "allOf": [{"properties": {"b": {"type": "null"}}}],
               "unevaluatedProperties": false}),
        json!({"$defs": {"tree": {"type": "object", "properties": {"v": {"type": "integer"}, "l": {"$ref": "#/$defs/tree"},
               "r": {"$ref": "#/$defs/tree"}}, "required": ["v"], "additionalProperties": false}}, "$ref": "#/$defs/tree"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "number", "exclusiveMinimum": -1.5, "maximum": 2}),
        json!({"type": "string", "pattern": "^[a-z]+-\\d{2}$", "maxLength": 6}),
        json!({"type": "object", "not": {"required": ["x"], "properties": {"x": {"type": "null"}}},
               "additionalProperties": {"type": ["null", "boolean"]}, "maxProperties": 2}),
    ]
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(true).build(schema).expect("a valid schema")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// INV-G1, INV-G2: whatever is written is valid, and it can always be finished.
    #[test]
    fn what_is_written_is_valid(which in 0..schemas().len(), choices in prop::collection::vec(any::<u32>(), 40), budget in 60..90_u32) {
        let schema = &schemas()[which];
        let grammar = compile(schema).expect("compiles");
        let text = walk(&grammar, &choices, budget).map_err(TestCaseError::fail)?;
        let value: Value = serde_json::from_slice(&text)
            .map_err(|error| TestCaseError::fail(format!("{error}: {}", String::from_utf8_lossy(&text))))?;
        prop_assert!(validator(schema).is_valid(&value), "{value} under {schema}");
    }

    /// Masks are those that trying every token gives, within a budget and without one.
    #[test]
    fn masks_are_exact(which in 0..schemas().len(), choices in prop::collection::vec(any::<u32>(), 0..30)) {
        let grammar = compile(&schemas()[which]).expect("compiles");
        let mut matcher = grammar.matcher();
        for choice in choices {
            let options: Vec<_> = allowed(&mut matcher).into_iter().filter(|id| *id != END).collect();
            if options.is_empty() {
                break;
            }
            prop_assert!(matcher.try_accept(options[choice as usize % options.len()]));
        }
        let mask = allowed(&mut matcher);
        for id in 0..vocabulary().len() as u32 {
            let tried = matcher.clone().try_accept(id);
            prop_assert_eq!(mask.contains(&id), tried, "token {} {:?}", id, String::from_utf8_lossy(vocabulary().token(id)));
        }
    }
}

#[test]
fn instances_are_judged_as_the_oracle_judges_them() {
    let instances = [
        json!(null),
        json!(true),
        json!(0),
        json!(15),
        json!(-1),
        json!(1.5),
        json!("a"),
        json!("ab"),
        json!("b-12"),
        json!("2024-02-29"),
        json!("2023-02-29"),
        json!([]),
        json!([null]),
        json!([null, true, 3]),
        json!([1, 2]),
        json!([2, 2]),
        json!(["a", 1, "b"]),
        json!([1, null]),
        json!({}),
        json!({"a": 1}),
        json!({"a": 1, "b": "x"}),
        json!({"b": "x", "a": 1}),
        json!({"a": "yes", "c": "ab"}),
        json!({"c": "abc", "a": [1, {"k": 2}]}),
        json!({"c": "abcd", "a": 1}),
        json!({"t": "a", "v": null}),
        json!({"t": "a", "w": true}),
        json!({"w": true, "t": "b"}),
        json!({"k": 1}),
        json!({"k": 1, "m": null}),
        json!({"m": null, "k": 2}),
        json!({"k": 2}),
        json!({"a": null}),
        json!({"a": null, "b": null}),
        json!({"b": null}),
        json!({"x": null}),
        json!({"x": true}),
        json!({"v": 1, "l": {"v": 2}, "r": {"v": 3, "l": {"v": 4}}}),
        json!({"a": 3, "bc": 2}),
        json!({"d": 1}),
        json!({"ab": null}),
        json!({"aa": true, "q": "z"}),
        json!({"k": null, "m": null}),
    ];
    for schema in schemas() {
        let (grammar, validator) = (compile(&schema).expect("compiles"), validator(&schema));
        for instance in &instances {
            let valid = validator.is_valid(instance);
            assert_eq!(accepts(&grammar, &instance.to_string()), valid, "{instance} under {schema}");
        }
    }
}

#[test]
fn whitespace_is_read_where_it_is_wanted() {
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "array"}}, "required": ["a"]}).to_string();
    let usual = Grammar::compile(&Pattern::Json(JsonSpec::new(&schema)), &vocabulary(), &Budget::default())
        .expect("compiles");
    for text in ["{ \"a\": [ 1, 2 ] }", "{\"a\":[1,2]}", "{\n\t\"a\": [\n\t\t1,\r\n\t\t2\n\t]\n}"] {
        assert!(accepts(&usual, text), "{text}");
    }
    let wide = format!("{{\n{}\"a\":[]}}", " ".repeat(41));
    for text in ["{\"a\" : []}", "{\"a\": [1 ,2]}", "{\n\n\"a\":[]}", "{  \"a\":[]}", wide.as_str()] {
        assert!(!accepts(&usual, text), "{text}");
    }
    let spec = JsonSpec { whitespace: Whitespace::None, ..JsonSpec::new(&schema) };
    let none = Grammar::compile(&Pattern::Json(spec), &vocabulary(), &Budget::default()).expect("compiles");
    assert!(accepts(&none, "{\"a\":[1,2]}"));
    assert!(!accepts(&none, "{\"a\": [1,2]}"));
    assert!(none.matcher().likely_bytes().starts_with(b"{\""));
}

/// Drafts up to 4 call only that an integer which is written as one; later ones call `4.0` one too.
#[test]
fn integers_are_those_of_their_draft() {
    let drafts = [
        ("http://json-schema.org/draft-04/schema#", false),
        ("http://json-schema.org/draft-06/schema#", true),
    ];
    let bodies = [
        json!({"type": "integer"}),
        json!({"type": "integer", "minimum": 3, "maximum": 4}),
        json!({"type": "integer", "enum": [4, 5.5, 100_000_000_000_000_000_000_000_u128 as f64]}),
        json!({"type": ["integer", "string"], "multipleOf": 2}),
        json!({"not": {"type": "integer"}, "type": "number"}),
        json!({"type": "number", "minimum": 4}),
        json!({"type": "array", "items": {"type": "integer"}, "uniqueItems": true}),
    ];
    for (draft, has_points) in drafts {
        for body in &bodies {
            let mut schema = body.clone();
            schema["$schema"] = json!(draft);
            let (grammar, judge) = (compile(&schema).expect("compiles"), validator(&schema));
            for text in ["4", "4.0", "-4", "-0", "4.5", "4e0", "6.00", "99999999999999999999", "[4]", "[4.0]"]
            {
                let value: Value = serde_json::from_str(text).expect("JSON");
                assert!(!accepts(&grammar, text) || judge.is_valid(&value), "{text} under {schema}");
            }
            for seed in 0..40_u32 {
                let choices: Vec<u32> =
                    (0..30).map(|at| seed.wrapping_mul(2_654_435_761).wrapping_add(at * 40_503)).collect();
                let text = walk(&grammar, &choices, 30).expect("is completed");
                let value: Value = serde_json::from_slice(&text).expect("JSON");
                assert!(judge.is_valid(&value), "{} under {schema}", String::from_utf8_lossy(&text));
            }
        }
        let integer = compile(&json!({"$schema": draft, "type": "integer"})).expect("compiles");
        assert!(accepts(&integer, "4"));
        assert_eq!(accepts(&integer, "4.0"), has_points, "{draft}");
    }
    let four = compile(&json!({"$schema": drafts[0].0, "not": {"type": "integer"}})).expect("compiles");
    assert!(accepts(&four, "4.0") && !accepts(&four, "4"));
}

/// INV-G4: random budgets from the least one up, most of them near.
#[test]
fn texts_are_complete_within_any_sufficient_budget() {
    let case = |schema: Value| Case {
        name: schema.to_string(),
        pattern: Pattern::Json(JsonSpec::new(schema.to_string())),
        samples: Vec::new(),
    };
    let cases: Vec<Case> = schemas().into_iter().chain([json!({"type": "object"})]).map(case).collect();
    let completed = complete(&cases, &vocabulary(), 6_000, 7, false);
    assert_eq!((completed.complete, completed.failed), (completed.triples, Vec::new()));
    assert!(completed.triples > 5_000, "{} triples", completed.triples);
}

/// A text may be one that is refused and yet go on: `1` in `[1,12]`.
#[test]
fn masks_know_what_an_item_may_not_be() {
    let grammar = compile(&json!({"type": "array", "uniqueItems": true})).expect("compiles");
    for text in ["[1,1", "[1.5,true,1.5", "[\"a\",\"a", "[1,12,1", "[0,-0", "[\"1\",1"] {
        let mut matcher = grammar.matcher();
        assert!(text.bytes().all(|byte| matcher.try_accept(u32::from(byte))), "{text}");
        let masked = allowed(&mut matcher);
        let tried: std::collections::BTreeSet<_> = (0..vocabulary().len() as u32)
            .filter(|id| {
                let accepted = matcher.try_accept(*id);
                matcher.rollback(usize::from(accepted));
                accepted
            })
            .collect();
        assert_eq!(masked, tried, "after {text}");
    }
}

#[test]
fn keys_are_read_once() {
    let grammar = compile(&json!({"type": "object"})).expect("compiles");
    assert!(accepts(&grammar, "{\"a\":1,\"b\":1}"));
    assert!(!accepts(&grammar, "{\"a\":1,\"a\":1}"));
    assert!(!accepts(&grammar, "{\"aé\":1,\"b\":2,\"aé\":1}"));
}

#[test]
fn what_cannot_be_guaranteed_is_refused_by_name() {
    let refused = [
        (json!({"type": "string", "pattern": "(a)\\1"}), "pattern"),
        (json!({"$ref": "http://example.com/other.json"}), "$ref"),
        (json!({"$ref": "#/nowhere"}), "$ref"),
        (json!({"$ref": "#"}), "$ref"),
        (json!({"not": {"uniqueItems": true}}), "uniqueItems"),
        (
            json!({"type": "array", "items": {"type": "object"}, "uniqueItems": true, "minItems": 2}),
            "uniqueItems",
        ),
        (json!({"type": "strin"}), "type"),
        (json!({"minLength": -1}), "minLength"),
        (json!({"allOf": [{"type": "string"}, {"type": "null"}]}), "no value"),
        (json!({"type": "object", "required": ["a"], "properties": {"a": false}}), "no value"),
        (
            json!({"$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}},
                "$ref": "#/$defs/a"}),
            "no value",
        ),
    ];
    for (schema, name) in refused {
        match compile(&schema) {
            Err(error @ GrammarError::Schema(_)) => {
                assert!(error.to_string().contains(name), "{schema}: {error}")
            }
            other => panic!("{schema}: {other:?}"),
        }
    }
    let deep = format!("{}true{}", "{\"not\":".repeat(10_000), "}".repeat(10_000));
    let error = Grammar::compile(&Pattern::Json(JsonSpec::new(deep)), &vocabulary(), &Budget::default());
    assert!(matches!(error, Err(GrammarError::Schema(SchemaError::Syntax(_)))), "{error:?}");
}

#[test]
fn a_budget_at_the_bound_suffices_and_one_below_does_not() {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string", "minLength": 3}, "n": {"type": "integer"}},
                        "required": ["name", "n"]});
    let grammar = compile(&schema).expect("compiles");
    let needed = grammar.matcher().min_close_tokens().expect("can be completed") as u32;
    for seed in 0..50_u32 {
        let choices: Vec<u32> =
            (0..needed).map(|at| seed.wrapping_mul(2_654_435_761).wrapping_add(at * 40_503)).collect();
        let text = walk(&grammar, &choices, needed).expect("is completed");
        assert!(validator(&schema).is_valid(&serde_json::from_slice(&text).expect("is JSON")));
    }
    let mut words = vec![0; vocabulary().len().div_ceil(32)];
    grammar.matcher().mask_within(&mut words, needed - 1);
    assert!(words.iter().all(|word| *word == 0), "less than the bound allows nothing");
}

/// Few tokens end a text that has no room for their characters: after a backslash, the third of these does at once.
#[test]
fn what_ends_a_text_has_room_in_it() {
    let bytes = (0..=255_u8).map(|byte| vec![byte]);
    let tokens = bytes.chain([vec![], b"\": {\"".to_vec(), b"\"xyz\"".to_vec()]);
    let vocabulary = Arc::new(understudy_grammars::Vocabulary::new("bytes and ends", tokens, vec![END]));
    let pattern = Pattern::Json(JsonSpec::new(r#"{"type": "string", "maxLength": 2}"#));
    let grammar = Grammar::compile(&pattern, &vocabulary, &Budget::default()).expect("compiles");
    for (begun, needed) in [("", 2), ("\"", 1), ("\"\\", 2), ("\"a\\", 2), ("\"ab", 1)] {
        let mut matcher = grammar.matcher();
        assert_eq!(matcher.validate(&begun.bytes().map(u32::from).collect::<Vec<_>>()), begun.len());
        let path = matcher.close_path().expect("can be completed");
        assert_eq!(path.len(), needed, "{begun}");
        assert_eq!(matcher.validate(&path), needed, "{begun}: {path:?}");
        assert!(matcher.is_accepting(), "{begun}");
    }
}

/// Where the evaluation data are, if they are anywhere.
fn data() -> Option<PathBuf> {
    let data = std::env::var_os("UNDERSTUDY_DATA").map(PathBuf::from);
    if data.is_none() {
        eprintln!("UNDERSTUDY_DATA is not set: schemas of others are not tried");
    }
    data
}

#[test]
fn the_json_schema_test_suite_has_no_false_accepts() {
    let Some(data) = data() else { return };
    let folder = data.join("grammar/json-schema-test-suite/tests/draft2020-12");
    let (mut passed, mut total, mut refused) = (0, 0, 0);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the suite").map(|file| file.expect("a file").path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        let groups: Value =
            serde_json::from_str(&std::fs::read_to_string(file).expect("readable")).expect("JSON");
        for group in groups.as_array().expect("groups") {
            let tests = group["tests"].as_array().expect("tests");
            total += tests.len();
            let spec = JsonSpec { formats: false, ..JsonSpec::new(group["schema"].to_string()) };
            let grammar = match Grammar::compile(&Pattern::Json(spec), &vocabulary(), &Budget::default()) {
                Ok(grammar) => grammar,
                // A schema that nothing satisfies is judged right by refusing everything.
                Err(GrammarError::Schema(SchemaError::Unsatisfiable))
                    if tests.iter().all(|test| test["valid"] == json!(false)) =>
                {
                    passed += tests.len();
                    continue;
                }
                Err(error) => {
                    refused += tests.len();
                    eprintln!(
                        "refused: {} / {}: {error}",
                        file.file_name().unwrap_or_default().to_string_lossy(),
                        group["description"]
                    );
                    continue;
                }
            };
            for test in tests {
                let valid = test["valid"] == json!(true);
                let accepted = accepts(&grammar, &test["data"].to_string());
                assert!(valid || !accepted, "accepted {} under {}", test["data"], group["schema"]);
                if accepted == valid {
                    passed += 1;
                } else {
                    eprintln!("not accepted: {} under {}", test["data"], group["schema"]);
                }
            }
        }
    }
    eprintln!("{passed} of {total} pass, {refused} are refused");
    assert!(passed * 100 >= total * 85, "{passed} of {total}");
}
