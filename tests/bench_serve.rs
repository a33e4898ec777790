//! `understudy bench serve` over the built binary: the fields that scripts read, and refusals.

mod common;

use common::{tiny, understudy};
use serde_json::Value;

#[test]
fn the_json_has_every_figure_and_a_shared_beginning_is_computed_once() {
    let model = tiny();
    let args = ["bench", "serve", "--model", &model, "--streams", "4", "--gen-tokens", "16", "--json"];
    let sizes = ["--long-prompt", "150", "--shared-prefix", "150"];
    let ended = understudy(args.iter().chain(&sizes)).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!(found["streams"], 4);
    for figure in ["/tok_s", "/first_ms/p50", "/itl_ms/p99", "/long/alone_ms", "/long/itl_during_ms/p99"] {
        assert!(
            found.pointer(figure).and_then(Value::as_f64).is_some_and(|n| n > 0.0),
            "{figure} in {found}"
        );
    }
    let tokens = |name: &str| found["shared"][name].as_u64().expect("a count");
    assert!(tokens("computed_tokens") < tokens("prompt_tokens") / 2, "{found}");
}

#[test]
fn a_file_without_prompts_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a path");
    let ended = understudy(["bench", "serve", "--model", &tiny(), "--prompts", path]).run();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("--prompts"), "{}", ended.stderr);
}
