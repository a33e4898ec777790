//! `understudy bench policy` over the built binary: a lossless policy says what the model says alone, the figures that
//! scripts read are there, and wrong arguments are refused.

mod common;

use std::path::Path;

use common::{Ended, tiny, tiny_twin, understudy, written};
use serde_json::{Value, json};

/// Two classes, one under a constraint.
fn suite(folder: &Path) -> String {
    let prompt = |class: &str, number: usize, constraint: Value| {
        json!({
            "id": format!("{class}-{number}"),
            "class": class,
            "messages": [
                {"role": "system", "content": "Repeat after me."},
                {"role": "user", "content": format!("one two three four, {number} times")},
            ],
            "constraint": constraint,
            "max_tokens": 24,
        })
        .to_string()
    };
    let sql = json!({"sql": "CREATE TABLE pets (name TEXT, age INTEGER);"});
    let lines = |class: &str, count, constraint: &Value| {
        (0..count).map(|number| prompt(class, number, constraint.clone()) + "\n").collect::<String>()
    };
    written(folder, "free.jsonl", lines("free", 3, &Value::Null));
    written(folder, "sql.jsonl", lines("sql", 2, &sql));
    written(folder, "notes.md", "not a prompt");
    folder.to_str().expect("a UTF-8 path").to_owned()
}

fn bench(more: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let ladder = format!("{},{}", tiny_twin(folder.path()), tiny());
    let suite = suite(folder.path());
    understudy(["bench", "policy", "--suite", &suite, "--ladder", &ladder].iter().chain(more)).run()
}

#[test]
fn a_lossless_policy_says_what_the_model_says_alone() {
    let policies = ["--policy", "speculate:with=lookup", "--policy", "speculate"];
    let ended = bench(&[&policies[..], &["--pairs", "2", "--json"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!((&found["model"], &found["pairs"]), (&json!(tiny()), &json!(2)));
    assert_eq!(found["policies"].as_array().map(Vec::len), Some(2));
    for (policy, name) in
        found["policies"].as_array().into_iter().flatten().zip(["speculate:with=lookup", "speculate"])
    {
        assert_eq!(policy["policy"], name);
        for (class, (name, prompts)) in
            policy["classes"].as_array().into_iter().flatten().zip([("free", 3), ("sql", 2)])
        {
            assert_eq!((&class["class"], &class["prompts"]), (&json!(name), &json!(prompts)));
            assert_eq!(class["mismatches"], 0, "{class}");
            for figure in ["/decode/median", "/whole/total"] {
                let ratio = class.pointer(figure).unwrap_or_else(|| panic!("{figure} in {class}"));
                let [low, high] = [0, 1].map(|end| ratio["interval95"][end].as_f64().expect("a number"));
                assert!(low > 0.0 && low <= high, "{ratio}");
            }
        }
        assert!(policy["geometric_mean"]["decode"]["median"]["ratio"].as_f64().is_some_and(|n| n > 0.0));
    }
}

#[test]
fn a_policy_that_says_something_else_is_found_out() {
    common::ensure_models();
    let other = format!("direct:model={}", common::SMALL);
    let ended = bench(&["--policy", &other, "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).expect("one object");
    let free = &found["policies"][0]["classes"][0];
    assert!(free["mismatches"].as_u64().is_some_and(|count| count > 0), "{free}");
    assert!(free["first_mismatch"]["id"].as_str().is_some_and(|id| id.starts_with("free-")), "{free}");
}

#[test]
fn the_table_has_a_line_per_class_and_a_mean() {
    let ended = bench(&["--policy", "speculate:with=lookup", "--limit", "1"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for word in ["speculate:with=lookup", "DECODE, MEDIAN", "free", "sql", "geometric mean"] {
        assert!(ended.stdout.contains(word), "{word} in {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("different:"), "{}", ended.stdout);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let ended = bench(&["--policy", "guess"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("guess") && ended.stderr.contains("speculate"), "{}", ended.stderr);
    let empty = tempfile::tempdir().expect("a folder");
    let ended = understudy(["bench", "policy", "--suite", empty.path().to_str().expect("a path")]).run();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("--suite"), "{}", ended.stderr);
}
