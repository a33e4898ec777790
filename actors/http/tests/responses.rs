//! `/v1/responses` as a client sees it.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::time::Duration;

use common::{Api, api};
use serde_json::{Value, json};
use understudy_backend::fake::Reply;

const RESPONSES: &str = "/v1/responses";

async fn created(api: &Api, body: Value) -> Value {
    api.post(RESPONSES, body).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_response_is_kept_for_its_tenant() {
    let mut api = api(&[]).await;
    api.tenant("a");
    let body = json!({"model": "small", "input": "2+2?", "metadata": {"k": "v"}});
    let response = created(&api, body).await;
    assert_eq!((&response["object"], &response["status"]), (&json!("response"), &json!("completed")));
    let message = &response["output"][0];
    assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(message["content"][0]["text"], "4");
    assert_eq!(response["usage"]["output_tokens"], 1);
    assert_eq!(response["metadata"], json!({"k": "v"}));
    assert_eq!(response["understudy"]["model"], "small");

    let path = format!("{RESPONSES}/{}", response["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.ok(), response);
    assert_eq!(api.get(&format!("{path}?stream=true")).await.refused(400).0, "stream");
    api.post(&format!("{path}/cancel"), "").await.refused(400);
    api.tenant("b");
    assert_eq!(api.get(&path).await.refused(404).1, "RESPONSE_UNKNOWN");
    api.post(&format!("{path}/cancel"), "").await.refused(404);
    api.delete(&path).await.refused(404);
    let stolen = json!({"model": "small", "input": "hi", "previous_response_id": response["id"]});
    assert_eq!(api.post(RESPONSES, stolen).await.refused(404).0, "previous_response_id");
    api.tenant("a");
    assert_eq!(api.delete(&path).await.ok()["deleted"], true);
    api.get(&path).await.refused(404);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_goes_on_without_its_instructions() {
    let api = api(&[("<assistant>4", Reply::text("I said 4."))]).await;
    let body = json!({"model": "small", "input": "2+2?", "instructions": "Be short."});
    let first = created(&api, body).await;
    let body = json!({"model": "small", "input": "what?", "previous_response_id": first["id"]});
    let second = created(&api, body).await;
    assert_eq!(second["output"][0]["content"][0]["text"], "I said 4.");
    let opened: Vec<String> = api
        .small
        .calls()
        .into_iter()
        .filter_map(|call| match call {
            understudy_backend::fake::Call::Open(prompt) => Some(prompt),
            _ => None,
        })
        .collect();
    assert!(opened[0].contains("Be short.") && !opened[1].contains("Be short."), "{opened:?}");
    let forgotten = json!({"model": "small", "input": "2+2?", "store": false});
    let forgotten = created(&api, forgotten).await;
    api.get(&format!("{RESPONSES}/{}", forgotten["id"].as_str().unwrap())).await.refused(404);
}

fn typed(data: Vec<String>) -> Vec<Value> {
    data.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_every_step_in_order() {
    let calls =
        "Wait.<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";
    let api = api(&[("weather?", Reply::text(calls))]).await;
    let tool =
        json!({"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": true});
    let body = json!({"model": "small", "input": "weather?", "tools": [tool], "stream": true});
    let events = typed(api.post(RESPONSES, body).await.data());
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let response = &events.last().unwrap()["response"];
    let call = &response["output"][1];
    assert_eq!(
        (&call["type"], &call["arguments"]),
        (&json!("function_call"), &json!("{\"city\": \"Paris\"}"))
    );
    let deltas: String = events
        .iter()
        .filter(|event| event["type"] == "response.function_call_arguments.delta")
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(deltas, "{\"city\": \"Paris\"}");
    let path = format!("{RESPONSES}/{}", response["id"].as_str().unwrap());
    assert_eq!(&api.get(&path).await.ok(), response);
    // The tool's answer goes on from there.
    let answer = json!([{"type": "function_call_output", "call_id": call["call_id"], "output": "warm"}]);
    let body = json!({"model": "small", "input": answer, "previous_response_id": response["id"]});
    created(&api, body).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_cut_is_incomplete() {
    let api = api(&[]).await;
    let body = json!({"model": "small", "input": "slow", "max_output_tokens": 3});
    let response = created(&api, body.clone()).await;
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
    let mut streaming = body;
    streaming["stream"] = true.into();
    let events = typed(api.post(RESPONSES, streaming).await.data());
    assert_eq!(events.last().unwrap()["type"], "response.incomplete");
}

#[tokio::test]
async fn a_response_in_the_background_can_be_waited_for_and_cancelled() {
    let api = api(&[]).await;
    let begun = created(&api, json!({"model": "small", "input": "2+2?", "background": true})).await;
    assert_eq!((&begun["status"], &begun["background"]), (&json!("in_progress"), &json!(true)));
    let path = format!("{RESPONSES}/{}", begun["id"].as_str().unwrap());
    let mut response = begun;
    for _ in 0..200 {
        response = api.get(&path).await.ok();
        if response["status"] != "in_progress" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(response["output"][0]["content"][0]["text"], "4");

    let begun = created(&api, json!({"model": "small", "input": "slow", "background": true})).await;
    let path = format!("{RESPONSES}/{}", begun["id"].as_str().unwrap());
    assert_eq!(api.post(&format!("{path}/cancel"), "").await.ok()["status"], "cancelled");
    api.becomes_idle().await;
    assert_eq!(api.get(&path).await.ok()["status"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_supported_is_refused_by_name() {
    let api = api(&[]).await;
    for (more, field) in [
        (json!({"include": ["reasoning.encrypted_content"]}), "include"),
        (json!({"reasoning": {"effort": "low"}}), "reasoning"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input[0].type"),
        (json!({"background": true, "stream": true}), "background"),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"conversation": "c"}), "conversation"),
    ] {
        let mut body = json!({"model": "small", "input": "hi"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(api.post(RESPONSES, body).await.refused(400).0, field, "{more}");
    }
}
