//! Runs: rows and their sum, going on after an interruption, what is another run, and what is refused.

use std::path::Path;

use serde_json::{Value, json};
use understudy_agents::eval::{self, EvalError, Options, Progress, Suite};
use understudy_proto::v1::{constraint::Kind, validator};

use crate::place::{Place, judged, run, wanted};
use crate::scripted::{Node, Says};

fn capitals() -> Place {
    let line = |id: &str, country: &str, capital: &str| json!({"id": id, "prompt": format!("Capital of {country}?"), "expected": capital, "match": "contains"});
    Place::with_lines(&[
        line("fr", "France", "Paris"),
        line("it", "Italy", "Rome"),
        line("no", "Norway", "Oslo"),
        line("de", "Germany", "Berlin"),
    ])
}

#[tokio::test]
async fn rows_have_the_fields_of_the_contract_and_the_summary_adds_them_up() {
    let place = capitals();
    let node = Node::scripted([("France", Says::Text("It is Paris.")), ("Italy", Says::Text("Milan"))]);
    let mut seen = Vec::new();
    let client = node.serve().await;
    let options = place.options(Suite::Jsonl);
    let summary = eval::run(&client, &options, &mut |progress| seen.push(progress)).await.unwrap();

    let found = summary.as_json();
    assert_eq!((&found["items"], &found["ok"], &found["accuracy"]), (&json!(4), &json!(1), &json!(0.25)));
    assert_eq!(found["mean_latency_ms"], json!(100.0));
    // "It is Paris.", "Milan", and twice "I do not know", in 0.4 s.
    let speed = found["tokens_per_s"].as_f64().unwrap();
    assert!((speed - f64::from(12 + 5 + 13 + 13) / 0.4).abs() < 1e-9, "{speed}");
    let (low, high) = summary.accuracy().unwrap().1;
    assert!((low - 0.0456).abs() < 1e-3 && (high - 0.6994).abs() < 1e-3, "{low} {high}");
    assert_eq!(seen.first(), Some(&Progress { done: 0, resumed: 0, total: 4, ok: 0 }));
    assert_eq!(seen.last(), Some(&Progress { done: 4, resumed: 0, total: 4, ok: 1 }));

    let text = std::fs::read_to_string(place.out()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["schema"], &lines[0]["header"]["suite"]), (&json!(1), &json!("jsonl")));
    let fields = [
        "schema",
        "suite",
        "item",
        "policy",
        "model",
        "checkpoint",
        "ok",
        "score",
        "question",
        "answer",
        "expected",
        "error",
        "usage",
        "timing",
        "ledger",
        "seed",
        "run",
    ];
    for row in &lines[1..] {
        assert_eq!(row.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), fields);
        assert_eq!((&row["run"]["git"], &row["run"]["device"]), (&json!("abc"), &json!("cpu-f32")));
        assert!(row["run"]["time"].as_str().unwrap().ends_with('Z'), "{row}");
    }
    let request = node.asked()[0].clone();
    assert_eq!((request.policy.as_str(), request.model.as_str()), ("direct", "small"));
    assert_eq!(request.sampling.unwrap().temperature, 0.0);
}

#[tokio::test]
async fn an_interrupted_run_goes_on_where_it_was() {
    let place = capitals();
    let options = Options { concurrency: 1, ..place.options(Suite::Jsonl) };
    let node = Node::scripted([("France", Says::Text("Paris")), ("Norway", Says::Refusal("MODEL_UNKNOWN"))]);
    let stopped = run(&node, &options).await.unwrap_err();
    assert!(matches!(&stopped, EvalError::Node(error) if error.code == "MODEL_UNKNOWN"), "{stopped:?}");
    assert_eq!(judged(&place.out()), wanted([("fr", true), ("it", false)]));

    node.say([("Norway", Says::Text("Oslo"))]);
    node.forget();
    let summary = run(&node, &options).await.unwrap();
    assert_eq!(node.questions(), ["Capital of Norway?", "Capital of Germany?"]);
    assert_eq!((summary.items, summary.ok), (4, 2));

    node.forget();
    assert_eq!(run(&node, &options).await.unwrap().items, 4, "a finished run has nothing to do");
    assert_eq!(node.questions(), [""; 0]);
}

#[tokio::test]
async fn another_run_never_mixes_its_rows_in() {
    let place = capitals();
    let node = Node::default();
    run(&node, &place.options(Suite::Jsonl)).await.unwrap();
    let before = std::fs::read(place.out()).unwrap();
    let other = Place::with_lines(&[json!({"id": "fr", "prompt": "France?", "expected": "Paris"})]);
    let options = || place.options(Suite::Jsonl);
    let cases = [
        (Options { model: "large".into(), ..options() }, "model"),
        (Options { policy: "cascade".into(), ..options() }, "policy"),
        (Options { seed: 9, ..options() }, "seed"),
        (Options { max_tokens: Some(3), ..options() }, "max_tokens"),
        (Options { ladder: vec!["small".into(), "large".into()], ..options() }, "ladder"),
        (Options { data: other.data.path().to_owned(), ..options() }, "data"),
    ];
    for (options, word) in cases {
        let refused = run(&node, &options).await.unwrap_err();
        assert!(matches!(&refused, EvalError::Input(why) if why.contains(word)), "{word}: {refused}");
        assert_eq!(std::fs::read(place.out()).unwrap(), before, "{word}");
    }
}

#[tokio::test]
async fn a_limit_takes_the_same_items_for_the_same_seed() {
    let line = |i: usize| json!({"id": format!("{i}"), "prompt": format!("{i}?"), "expected": "x"});
    let lines: Vec<Value> = (0..30).map(line).collect();
    let of = async |limit, seed| {
        let place = Place::with_lines(&lines);
        let options = Options { limit: Some(limit), seed, ..place.options(Suite::Jsonl) };
        run(&Node::default(), &options).await.unwrap();
        judged(&place.out()).into_keys().collect::<Vec<_>>()
    };
    let five = of(5, 1).await;
    assert_eq!(five.len(), 5);
    assert_eq!(five, of(5, 1).await);
    assert_ne!(five, of(5, 2).await);
}

#[tokio::test]
async fn refusals_of_one_item_are_rows_and_a_busy_node_is_asked_again() {
    let place = capitals();
    let node = Node::scripted([
        ("France", Says::Refusal("CONTEXT_OVERFLOW")),
        ("Italy", Says::Later(3, "Rome")),
        ("Norway", Says::Text("Oslo")),
    ]);
    let summary = run(&node, &place.options(Suite::Jsonl)).await.unwrap();
    assert_eq!((summary.items, summary.ok, summary.unanswered), (4, 2, 1));
    let refused = summary.rows.rows.iter().find(|row| row.item == "fr").unwrap();
    assert_eq!((refused.answer.as_deref(), refused.ok), (None, false));
    assert!(refused.error.as_ref().unwrap().starts_with("CONTEXT_OVERFLOW: "), "{refused:?}");

    let node = Node::scripted([("Capital", Says::Later(1000, ""))]);
    let place = capitals();
    let stopped = run(&node, &place.options(Suite::Jsonl)).await.unwrap_err();
    assert!(matches!(&stopped, EvalError::Node(error) if error.code == "OVERLOADED"), "{stopped:?}");
}

#[tokio::test]
async fn bad_data_is_named() {
    let line = json!({"id": "a", "prompt": "p", "expected": "e"}).to_string();
    let twice = format!("{line}\n{line}\n");
    let many = r#"{"id": "a", "question": "q", "answer": "many"}"#;
    let outside = r#"{"id": "a", "db": "../../etc/passwd", "question": "q", "sql": "s"}"#;
    type Files<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Suite, Files<'_>, &str); 9] = [
        (Suite::Jsonl, &[], "no .jsonl file"),
        (Suite::Jsonl, &[("a.jsonl", &line), ("b.jsonl", &line)], "several .jsonl"),
        (Suite::Jsonl, &[("dev.jsonl", "\n\n")], "no item"),
        (Suite::Jsonl, &[("dev.jsonl", "{\"id\": \"a\"}\n")], "line 1"),
        (Suite::Jsonl, &[("dev.jsonl", &twice)], "two items named \"a\""),
        (Suite::Gsm8k, &[("dev.jsonl", many)], "no number"),
        (Suite::Perplexity, &[], "no .txt file"),
        (Suite::Perplexity, &[("a.txt", "x")], "too short"),
        (Suite::Geoquery, &[("dev.jsonl", outside), ("schema.sql", "")], "no file \"../../etc/passwd\""),
    ];
    for (suite, files, word) in cases {
        let place = Place::new();
        files.iter().for_each(|(name, content)| place.file(name, content));
        let refused = run(&Node::default(), &place.options(suite)).await.unwrap_err();
        assert!(matches!(&refused, EvalError::Input(why) if why.contains(word)), "{word}: {refused}");
        assert!(!place.out().exists(), "{word}");
    }
}

#[tokio::test]
async fn flags_add_constraints_and_validators_and_are_another_run() {
    let line =
        json!({"id": "a", "db": "geo.sqlite", "question": "which ones", "sql": "SELECT name FROM city"});
    let place = Place::with_lines(&[line]);
    place.file("schema.sql", "CREATE TABLE city (name text, state text);\n");
    place.database("geo.sqlite");
    let node = Node::scripted([("which ones", Says::Text("SELECT name FROM city"))]);
    let plain = place.options(Suite::Geoquery);
    let ladder = vec!["small".to_owned(), "large".to_owned()];
    let flagged = Options { constrain: true, validators: true, ladder: ladder.clone(), ..plain.clone() };

    run(&node, &plain).await.unwrap();
    let first = node.asked().remove(0);
    assert_eq!((&first.constraint, first.validators.len(), first.ladder.len()), (&None, 0, 0));
    assert!(first.messages.iter().any(|message| message.content.contains("```sql")));
    let header = std::fs::read_to_string(place.out()).unwrap();
    assert!(!header.lines().next().unwrap().contains("constrain"), "what is off is left out");
    let refused = run(&node, &flagged).await.unwrap_err();
    assert!(matches!(refused, EvalError::Input(_)), "{refused}");
    std::fs::remove_file(place.out()).unwrap();

    node.forget();
    run(&node, &flagged).await.unwrap();
    let asked = node.asked().remove(0);
    assert_eq!(asked.ladder, ladder);
    assert!(!asked.messages.iter().any(|message| message.content.contains("```")), "{:?}", asked.messages);
    let Some(Kind::Sql(held_to)) = asked.constraint.unwrap().kind else { panic!("no SQL") };
    assert_eq!(held_to.schema, "CREATE TABLE city (name text, state text);", "no sample rows");
    assert!(held_to.double_quoted_strings && !held_to.writes);
    let Some(validator::Kind::Sql(runs)) = &asked.validators[0].kind else { panic!("no run") };
    assert!(Path::new(&runs.database).is_absolute() && Path::new(&runs.database).is_file());
    let refused = run(&node, &plain).await.unwrap_err();
    assert!(matches!(refused, EvalError::Input(_)), "rows with and without do not mix: {refused}");
    let refused = run(&node, &Options { constrain: true, ..place.options(Suite::Jsonl) }).await.unwrap_err();
    assert!(refused.to_string().contains("leave --constrain out"), "{refused}");
}
