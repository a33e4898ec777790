//! `understudy bench engine` over the built binary: the fields that scripts read, and refusals.

mod common;

use common::{Ended, tiny, understudy};
use serde_json::Value;

fn bench(more: &[&str]) -> Ended {
    let model = tiny();
    let args = ["bench", "engine", "--model", &model, "--gen-tokens", "8", "--repeat", "1"];
    understudy(args.iter().chain(more)).run()
}

#[test]
fn the_json_has_every_figure_and_the_path_that_was_asked_for() {
    for path in ["f32", "int16", "mixed", "int8"] {
        let more = ["--prompt-tokens", "64", "--streams", "1,3", "--activations", path, "--json"];
        let ended = bench(&more);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let found: Value = serde_json::from_str(&ended.stdout).expect("one object");
        assert_eq!(found["path"], path);
        assert_eq!(found["prompt_tokens"], 64);
        assert_eq!(found["gen_tokens"], 8);
        assert!(found["device"].as_str().is_some_and(|device| device.starts_with("cpu-")), "{found}");
        for figure in ["prefill_tok_s", "decode_tok_s", "ttft_ms", "load_ms", "threads"] {
            assert!(found[figure].as_f64().is_some_and(|n| n > 0.0), "{figure} in {found}");
        }
        for figure in ["first_token_ms", "load_ms"] {
            assert!(found["start"][figure].as_f64().is_some_and(|n| n > 0.0), "{figure} in {found}");
        }
        let whole = |figure: &Value| figure["first_token_ms"].as_f64() > figure["load_ms"].as_f64();
        assert!(whole(&found["start"]), "a start is more than its loading: {found}");
        for rate in ["prefill_tok_s", "decode_tok_s"] {
            assert!(found["ceiling"][rate].as_f64().is_some_and(|n| n > 0.0), "{rate} in {found}");
        }
        for rows in ["1", "2", "4", "8", "16"] {
            assert!(found["rows_ms"][rows].as_f64().is_some_and(|n| n > 0.0), "{rows} in {found}");
        }
        let streams: Vec<_> =
            found["batch"].as_array().into_iter().flatten().map(|b| &b["streams"]).collect();
        assert_eq!(streams, [1, 3]);
        assert_eq!(found["mask_ms"], serde_json::json!({}), "no mask was asked for");
    }
}

#[test]
fn steps_under_masks_stand_beside_those_without() {
    let ended = bench(&["--prompt-tokens", "16", "--mask", "1,100", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).expect("one object");
    for mask in ["none", "1", "100"] {
        assert!(found["mask_ms"][mask].as_f64().is_some_and(|ms| ms > 0.0), "{mask} in {found}");
    }
    let ended = bench(&["--prompt-tokens", "16", "--mask", "100"]);
    assert!(ended.stdout.contains("none: ") && ended.stdout.contains("100: "), "{}", ended.stdout);
}

#[test]
fn the_text_names_path_and_ceiling() {
    let ended = bench(&["--prompt-tokens", "16"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for word in ["activations int16", "to its first token", "prefill 16", "CEILING", "decode 8 at depth 0"] {
        assert!(ended.stdout.contains(word), "{word} in {}", ended.stdout);
    }
}

#[test]
fn fast_kernels_can_be_required() {
    let ended = bench(&["--prompt-tokens", "16", "--require-fast"]);
    // Which it is depends on how fast this machine is: on a tiny model a kernel may lose.
    match ended.code {
        Some(0) => assert!(ended.stdout.contains("activations int16"), "{}", ended.stdout),
        _ => assert!(ended.stderr.starts_with("error[NUMERICS_GATE]: "), "{}", ended.stderr),
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for (more, word) in [
        (["--prompt-tokens", "90000"], "context"),
        (["--activations", "int4"], "int16"),
        (["--model", "no-such-model"], "no-such-model"),
    ] {
        let model = tiny();
        let mut args = vec!["bench", "engine"];
        if more[0] != "--model" {
            args.extend(["--model", &model]);
        }
        args.extend(more);
        let ended = understudy(args).run();
        assert_eq!(ended.code, Some(2), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(word), "{word} in {}", ended.stderr);
    }
}
