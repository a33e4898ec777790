//! Models, completions, embeddings and the status as a client sees them.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use common::api;
use serde_json::{Value, json};

#[tokio::test(start_paused = true)]
async fn models_and_policies_are_listed() {
    let api = api(&[]).await;
    let body = api.get("/v1/models").await.ok();
    let ids: Vec<&str> =
        body["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    for id in ["small", "large", "understudy/auto", "understudy/cascade"] {
        assert!(ids.contains(&id), "{id} in {ids:?}");
        assert_eq!(api.get(&format!("/v1/models/{id}")).await.ok()["id"], id);
    }
    assert_eq!(api.get("/v1/models/nobody").await.refused(404).1, "model_not_found");
    assert_eq!(body["data"][0]["understudy"]["state"], "ready");
}

#[tokio::test(start_paused = true)]
async fn completions_are_texts() {
    let api = api(&[]).await;
    let body = json!({"model": "small", "prompt": ["2+2?", "hi"], "n": 2});
    let whole = api.post("/v1/completions", body).await.ok();
    let texts: Vec<&str> =
        whole["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["4", "4", "ok", "ok"]);
    assert_eq!(whole["object"], "text_completion");

    let body =
        json!({"model": "small", "prompt": "hi", "stream": true, "stream_options": {"include_usage": true}});
    let chunks = api.post("/v1/completions", body).await.events();
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, "ok");
    assert!(chunks.last().unwrap()["usage"]["total_tokens"].is_u64());
    for (more, field) in [
        (json!({"echo": true}), "echo"),
        (json!({"suffix": "x"}), "suffix"),
        (json!({"prompt": [1, 2]}), "prompt"),
        (json!({"best_of": 3}), "best_of"),
        (json!({"n": 17}), "n"),
        (json!({"logprobs": 6}), "logprobs"),
    ] {
        let mut body = json!({"model": "small", "prompt": "hi"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(api.post("/v1/completions", body).await.refused(400).0, field);
    }
}

#[tokio::test(start_paused = true)]
async fn log_probabilities_are_of_each_token() {
    let api = api(&[]).await;
    let body = json!({
        "model": "small", "logprobs": true, "messages": [{"role": "user", "content": "hi"}],
    });
    let whole = api.post("/v1/chat/completions", body.clone()).await.ok();
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
    let text: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
    assert_eq!(text, "ok");
    assert!(tokens[0]["logprob"].as_f64().unwrap() < 0.0 && tokens[0]["bytes"] == json!([111]));

    let mut streaming = body;
    streaming["stream"] = true.into();
    let chunks = api.post("/v1/chat/completions", streaming).await.events();
    let streamed: Vec<Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .cloned()
        .collect();
    assert_eq!(streamed, tokens);
    let body = json!({"model": "small", "prompt": "hi", "logprobs": 1});
    let whole = api.post("/v1/completions", body).await.ok();
    assert_eq!(whole["choices"][0]["logprobs"]["text_offset"], json!([0, 1]));
}

#[tokio::test(start_paused = true)]
async fn embeddings_come_in_two_spellings() {
    let api = api(&[]).await;
    let body = json!({"model": "small", "input": ["a", "b"]});
    let plain = api.post("/v1/embeddings", body).await.ok();
    let vector: Vec<f32> = serde_json::from_value(plain["data"][1]["embedding"].clone()).unwrap();
    let body = json!({"model": "small", "input": "b", "encoding_format": "base64"});
    let packed = api.post("/v1/embeddings", body).await.ok();
    let text = packed["data"][0]["embedding"].as_str().unwrap();
    assert_eq!(text.len(), (vector.len() * 4).div_ceil(3) * 4);
    let exact = json!({"model": "small", "input": "b", "dimensions": vector.len()});
    api.post("/v1/embeddings", exact).await.ok();
    for (body, field) in [
        (json!({"model": "small", "input": "b", "dimensions": vector.len() + 1}), "dimensions"),
        (json!({"model": "small", "input": [1, 2]}), "input"),
        (json!({"model": "small", "input": []}), "input"),
        (json!({"model": "understudy/auto", "input": "b"}), "model"),
        (json!({"model": "small", "input": "b", "encoding_format": "int8"}), "encoding_format"),
    ] {
        assert_eq!(api.post("/v1/embeddings", body).await.refused(400).0, field);
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_what_runs() {
    let api = api(&[]).await;
    let status = api.get("/understudy/status").await.ok();
    assert_eq!(status["node"]["draining"], false);
    assert_eq!(
        (&status["models"][0]["model"], &status["models"][0]["state"]),
        (&json!("small"), &json!("ready"))
    );
    assert_eq!(status["requests"]["running"], 0);
    let body = json!({"model": "small", "stream": true, "messages": [{"role": "user", "content": "slow"}]});
    let _running = api.open("POST", "/v1/chat/completions", body).await;
    assert_eq!(api.get("/understudy/status").await.ok()["requests"]["running"], 1);
}
