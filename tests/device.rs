//! The choice of a device, seen from outside. `--features device` adds candle's processor backend,
//! which goes the way of a graphics processor from settings to answer.

mod common;

use common::{Ended, tiny, understudy, written};

fn bench(more: &[&str]) -> Ended {
    let model = tiny();
    let args = ["bench", "engine", "--model", &model, "--prompt-tokens", "40", "--gen-tokens", "4"];
    understudy(args.iter().chain(more)).run()
}

fn serve(engine: &str) -> Ended {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = format!("[engine]\n{engine}\n[[ladder]]\nmodel = {:?}\n", tiny());
    understudy(["serve", "--config", &written(folder.path(), "node.toml", config)]).run()
}

fn assert_refused(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word} in {}", ended.stderr);
    }
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_the_build_lacks_is_refused_with_what_to_build() {
    let words = ["DEVICE_FAILED", "cuda:1", "--features cuda"];
    assert_refused(&bench(&["--device", "cuda:1"]), 1, &words);
    assert_refused(&serve("device = \"cuda:1\""), 1, &words);
}

#[test]
fn what_names_no_device_is_refused() {
    assert_refused(&bench(&["--device", "gpu"]), 2, &["\"gpu\" is no device", "cuda:N"]);
    let words = ["CONFIG_INVALID", "node.toml", "\"gpu\" is no device"];
    assert_refused(&serve("device = \"gpu\""), 2, &words);
}

#[test]
fn a_device_has_no_path_of_small_integers() {
    let words = ["CONFIG_INVALID", "f32 or int8"];
    assert_refused(&bench(&["--device", "cuda", "--activations", "int16"]), 2, &words);
    assert_refused(&bench(&["--device", "cuda", "--activations", "mixed"]), 2, &words);
    assert_refused(&serve("device = \"cuda\"\nactivations = \"int16\""), 2, &words);
}

#[cfg(feature = "device")]
mod on_candle {
    use super::*;
    use common::answers::{answered, direct};
    use common::node::{SOON, Server};

    #[tokio::test]
    async fn answers_and_models_name_the_devices_arithmetic() {
        let model = tiny();
        for (more, numerics) in [("", "candle-f32"), ("activations = \"int8\"", "candle-int8")] {
            let engine = format!("[engine]\ndevice = \"candle\"\n{more}\n");
            let server = Server::with_config(&format!("{engine}[[ladder]]\nmodel = {model:?}\n"));
            let client = server.client().await;
            let answer = answered(&client, direct(&model, "Once upon a time", 8)).await.finished;
            assert_eq!(answer.numerics, numerics);
            let listed = client.models(SOON).await.expect("the models");
            assert!(listed.iter().any(|one| one.model == model && one.numerics == numerics), "{listed:?}");
        }
    }

    #[test]
    fn the_bench_measures_the_device() {
        let ended = bench(&["--device", "candle", "--streams", "2", "--repeat", "1", "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let found: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one object");
        assert_eq!((&found["device"], &found["path"]), (&"candle".into(), &"f32".into()));
        assert!(found["ceiling"].is_null(), "no ceiling of a device is known: {found}");
        assert!(found["decode_tok_s"].as_f64().is_some_and(|rate| rate > 0.0), "{found}");
        let text = bench(&["--device", "candle", "--repeat", "1"]);
        assert!(text.stdout.contains("(candle), activations f32"), "{}", text.stdout);
    }
}
