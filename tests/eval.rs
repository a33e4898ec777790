//! `understudy eval` over the built binary: a node in its process, rows, and refusals.

mod common;

use common::node::{SOON, Server};
use common::{Ended, tiny, understudy, written};
use serde_json::{Value, json};
use tempfile::TempDir;
use understudy_proto::v1::ScoreRequest;

fn data() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let line =
        |id: &str| json!({"id": id, "prompt": format!("say {id}"), "expected": "never said"}).to_string();
    written(folder.path(), "dev.jsonl", format!("{}\n{}\n{}\n", line("a"), line("b"), line("c")));
    folder
}

fn eval(data: &TempDir, out: &str, more: &[&str]) -> Ended {
    let model = tiny();
    let data = data.path().to_str().expect("a UTF-8 path");
    let args = ["eval", "jsonl", "--data", data, "--model", &model, "--max-tokens", "4", "--out", out];
    understudy(args.iter().chain(more)).run()
}

#[track_caller]
fn summary(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("one object: {}", ended.stdout))
}

#[test]
fn a_run_is_continued_and_compared() {
    let data = data();
    let rows = tempfile::tempdir().expect("a temporary folder");
    let out = rows.path().join("rows.jsonl");
    let out = out.to_str().expect("a UTF-8 path");

    let first = summary(&eval(&data, out, &["--limit", "2", "--json"]));
    assert_eq!((&first["items"], &first["of"], &first["ok"]), (&json!(2), &json!(3), &json!(0)));
    assert_eq!(first["interval95"][0], json!(0.0));
    let before = std::fs::read_to_string(out).expect("rows");
    let whole = summary(&eval(&data, out, &["--json"]));
    assert_eq!(whole["items"], json!(3));
    let after = std::fs::read_to_string(out).expect("rows");
    assert!(after.starts_with(&before) && after.lines().count() == 4, "finished rows stay as they are");

    let compared = summary(&understudy(["eval", "compare", out, out, "--json"]).run());
    assert_eq!((&compared["items"], &compared["difference"]), (&json!(3), &json!(0.0)));
    let shown = eval(&data, out, &[]);
    assert!(shown.stdout.contains("accuracy    0.0 %"), "{}", shown.stdout);

    let refused = eval(&data, out, &["--seed", "5"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    for word in ["error[REQUEST_INVALID]", "seed", "rows.jsonl", "--out"] {
        assert!(refused.stderr.contains(word), "{word} in {}", refused.stderr);
    }
    assert_eq!(std::fs::read_to_string(out).expect("rows"), after);
}

#[test]
fn perplexity_of_a_text() {
    let data = tempfile::tempdir().expect("a temporary folder");
    written(data.path(), "text.txt", "the same words again and again, ".repeat(60));
    let out = data.path().join("rows.jsonl");
    let (folder, out) = (data.path().to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let model = tiny();
    let args = ["eval", "perplexity", "--data", folder, "--model", &model, "--out", out, "--json"];
    let found = summary(&understudy(args).run());
    let (perplexity, tokens) = (found["perplexity"].as_f64(), found["tokens"].as_u64());
    assert!(perplexity.is_some_and(|found| found > 1.0 && found.is_finite()), "{found}");
    assert!(tokens.is_some_and(|tokens| tokens > 100), "{found}");
}

/// Of two texts that differ in their last token the difference of the scores is that of the
/// logits, which the vectors have. Most of these texts take many passes of the engine.
#[tokio::test]
async fn long_texts_are_scored_as_the_vectors_say() {
    let ladder = format!("[engine]\nactivations = \"f32\"\n[[ladder]]\nmodel = {:?}\n", tiny());
    let server = Server::with_config(&ladder);
    let client = server.client().await;
    let score = async |ids: &[u32], last: u64| {
        let ids = ids.iter().copied().chain([u32::try_from(last).expect("an id")]).collect();
        let scored = client.score(ScoreRequest { ids, ..ScoreRequest::default() }, SOON).await;
        let scored = scored.expect("a scored text");
        (scored.logprobs[0], scored.tokens[0])
    };
    let vectors = std::fs::read_to_string("tests/vectors/tiny-qwen3.json").expect("the vectors");
    let vectors: Value = serde_json::from_str(&vectors).expect("JSON");
    let prompt =
        vectors["prompts"].as_array().into_iter().flatten().find(|prompt| prompt["name"] == "multilingual");
    let prompt = prompt.expect("a prompt of 542 tokens");
    let ids: Vec<u32> = serde_json::from_value(prompt["ids"].clone()).expect("ids");
    for check in prompt["checks"].as_array().expect("checks") {
        let position = check["pos"].as_u64().expect("a position") as usize;
        let [(first, high), (fifth, low)] = [0, 4].map(|rank: usize| {
            let token = &check["top5"][rank];
            (token[0].as_u64().expect("an id"), token[1].as_f64().expect("a logit"))
        });
        let text = &ids[..=position];
        let ((likely, count), (unlikely, _)) = (score(text, first).await, score(text, fifth).await);
        assert_eq!(count as usize, position + 1);
        let found = f64::from(likely) - f64::from(unlikely);
        assert!((found - (high - low)).abs() < 0.05, "at {position}: {found} is not {}", high - low);
    }
}

#[test]
fn wrong_commands_say_so() {
    let data = data();
    let folder = data.path().to_str().expect("a UTF-8 path");
    let cases: [(&[&str], &str); 5] = [
        (&["eval"], "SUITE"),
        (&["eval", "nothing", "--data", folder, "--out", "x.jsonl"], "geoquery"),
        (&["eval", "jsonl", "--data", folder, "--out", "x.jsonl", "--limit", "0"], "at least 1"),
        (&["eval", "jsonl", "--data", "/no/such/folder", "--out", "x.jsonl"], "/no/such/folder"),
        (&["eval", "compare", "/no/such/a", "/no/such/b"], "/no/such/a"),
    ];
    for (args, word) in cases {
        let ended = understudy(args).run();
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(word), "{word} in {}", ended.stderr);
    }
}
