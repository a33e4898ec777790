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

/// Loads are small: the machine does other things meanwhile. Figures are the command's business.
#[test]
fn a_node_under_five_times_its_load_goes_on_and_refuses_the_rest() {
    let load = ["--times", "5", "--seconds", "4", "--step-ms", "20", "--sequences", "16", "--tokens", "16"];
    let ended = understudy(["bench", "serve", "--overload", "--json"].iter().chain(&load)).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).expect("one object");
    let figure = |path: &str| {
        found.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {found}"))
    };
    assert!(figure("/goodput_share") > 0.6, "{found}");
    assert!(figure("/offered_rps") > 3.0 * figure("/capacity_rps"), "{found}");
    let [interactive, agent, batch] = [0, 1, 2].map(|class| format!("/classes/{class}"));
    for class in [&interactive, &agent] {
        let (offered, complete) = (figure(&format!("{class}/offered")), figure(&format!("{class}/complete")));
        assert!(complete > 0.8 * offered, "what goes first is answered: {found}");
    }
    assert!(figure(&format!("{batch}/refused")) > figure(&format!("{batch}/complete")), "{found}");
    for class in [&interactive, &agent, &batch] {
        assert_eq!(figure(&format!("{class}/failed")), 0.0, "{found}");
    }
    let wait = |class: &str| figure(&format!("{class}/wait_ms/p50"));
    assert!(wait(&interactive) < wait(&batch), "{found}");
    assert!(figure("/refusal_ms/p50") < wait(&batch), "a refusal does not wait: {found}");
    assert!(figure("/admission_refusal_us/p50") < 1000.0, "{found}");
    if found["rss"].is_object() {
        assert!(figure("/rss/end") < figure("/rss/quarter") + 32e6, "{found}");
    }
}

#[test]
fn the_gateways_own_time_is_told() {
    let ended = understudy(["bench", "serve", "--overhead", "--json"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).expect("one object");
    for figure in ["engine_first_ms", "gateway_first_ms"] {
        let spread = &found[figure];
        let (p50, p99) = (spread["p50"].as_f64(), spread["p99"].as_f64());
        assert!(p50 > Some(0.0) && p50 <= p99, "{found}");
    }
    let p50 = |figure: &str| found[figure]["p50"].as_f64();
    assert!(p50("gateway_first_ms") > p50("engine_first_ms"), "{found}");
    assert!(found["added_token_us"].is_f64(), "{found}");
}

#[test]
fn several_numbers_of_streams_are_measured_over_both_engines() {
    let model = tiny();
    let args = ["bench", "serve", "--model", &model, "--streams", "1,4", "--gen-tokens", "16", "--json"];
    let ended = understudy(args).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).expect("one object");
    let levels = found["levels"].as_array().expect("levels");
    let named: Vec<_> =
        levels.iter().map(|level| (level["model"].as_str(), level["streams"].as_u64())).collect();
    let expected = [(model.as_str(), 1), (&model, 4), ("scripted", 1), ("scripted", 4)];
    assert_eq!(named, expected.map(|(model, streams)| (Some(model), Some(streams))), "{found}");
    for level in levels {
        for figure in ["/tok_s", "/first_ms/p50", "/itl_ms/p99"] {
            assert!(level.pointer(figure).and_then(Value::as_f64) > Some(0.0), "{figure} in {level}");
        }
    }
}
