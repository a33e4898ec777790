//! `/api/*` as a client of Ollama sees it.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use common::api;
use serde_json::{Value, json};
use understudy_backend::fake::Reply;

fn chat(question: &str, more: Value) -> Value {
    let mut body = json!({"model": "small:latest", "messages": [{"role": "user", "content": question}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(start_paused = true)]
async fn a_chat_comes_in_lines_or_whole() {
    let api = api(&[]).await;
    let lines = api.post("/api/chat", chat("2+2?", json!({}))).await.lines();
    let text: String = lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!(text, "4");
    let (last, before) = lines.split_last().unwrap();
    assert!(before.iter().all(|line| line["done"] == false) && !before.is_empty());
    assert_eq!(
        (&last["done"], &last["done_reason"], &last["eval_count"]),
        (&json!(true), &json!("stop"), &json!(1))
    );
    assert_eq!(last["model"], "small:latest");

    let options =
        json!({"stream": false, "keep_alive": "5m", "options": {"num_predict": 2, "num_ctx": 4096}});
    let whole = api.post("/api/chat", chat("slow", options)).await.ok();
    assert_eq!((&whole["message"]["content"], &whole["done_reason"]), (&json!("xx"), &json!("length")));
}

#[tokio::test(start_paused = true)]
async fn calls_have_objects_as_arguments() {
    let calls = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";
    let api = api(&[("weather?", Reply::text(calls)), ("22 degrees", Reply::text("Warm."))]).await;
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}});
    let lines = api.post("/api/chat", chat("weather?", json!({"tools": [tool]}))).await.lines();
    let called = &lines.last().unwrap()["message"]["tool_calls"][0];
    assert_eq!(called["function"], json!({"name": "weather", "arguments": {"city": "Paris"}}));
    let messages = json!([
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "tool_name": "weather", "content": "22 degrees"},
    ]);
    let more = json!({"messages": messages, "tools": [tool], "stream": false});
    assert_eq!(api.post("/api/chat", chat("", more)).await.ok()["message"]["content"], "Warm.");
}

#[tokio::test(start_paused = true)]
async fn a_prompt_is_answered_and_none_loads_the_model() {
    let api = api(&[]).await;
    let lines = api
        .post("/api/generate", json!({"model": "small", "prompt": "2+2?", "system": "Be short."}))
        .await
        .lines();
    let text: String = lines.iter().filter_map(|line| line["response"].as_str()).collect();
    assert_eq!(text, "4");
    let loaded = api.post("/api/generate", json!({"model": "small"})).await.ok();
    assert_eq!((&loaded["done_reason"], &loaded["response"]), (&json!("load"), &json!("")));
    let embedded = api.post("/api/embed", json!({"model": "small", "input": ["a", "b"]})).await.ok();
    assert_eq!(embedded["embeddings"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn models_are_listed_and_shown() {
    let api = api(&[]).await;
    let names = |body: Value| -> Vec<String> {
        let models = body["models"].as_array().unwrap().clone();
        models.iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(api.get("/api/tags").await.ok()), ["small", "large"]);
    assert_eq!(names(api.get("/api/ps").await.ok()), ["small"]);
    let shown = api.post("/api/show", json!({"model": "large:latest"})).await.ok();
    assert_eq!(shown["understudy"]["model"], "large");
    assert_eq!(api.get("/api/version").await.ok()["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test(start_paused = true)]
async fn refusals_are_sentences() {
    let api = api(&[]).await;
    for (path, body, status, word) in [
        ("/api/chat", chat("hi", json!({"think": true})), 400, "think"),
        ("/api/chat", chat("hi", json!({"options": {"mirostat": 1}})), 400, "options.mirostat"),
        ("/api/chat", chat("hi", json!({"format": 7})), 400, "format"),
        ("/api/chat", chat("hi", json!({"model": "nobody"})), 404, "nobody"),
        ("/api/generate", json!({"model": "small", "prompt": "hi", "raw": true}), 400, "raw"),
        ("/api/show", json!({"model": "nobody"}), 404, "nobody"),
        ("/api/pull", json!({}), 404, "/api/pull"),
    ] {
        let said = api.post(path, body).await;
        assert_eq!(said.status, status, "{}", said.body);
        assert!(said.json()["error"].as_str().unwrap().contains(word), "{}", said.body);
    }
}
