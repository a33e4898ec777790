//! `/v1/chat/completions` as a client sees it.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::time::Duration;

use common::{api, api_with, said, text_of};
use serde_json::{Value, json};
use understudy_backend::fake::{Fault, Reply};

const CHAT: &str = "/v1/chat/completions";

fn ask(model: &str, question: &str, more: Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": question}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_what_and_who() {
    let api = api(&[]).await;
    let answer = api.post(CHAT, ask("small", "2+2?", json!({}))).await;
    let body = answer.ok();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "small");
    let choice = &body["choices"][0];
    assert_eq!(choice["message"]["content"], "4");
    assert_eq!((&choice["finish_reason"], &choice["logprobs"]), (&json!("stop"), &Value::Null));
    let usage = &body["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));
    assert!(usage["prompt_tokens_details"]["cached_tokens"].is_u64());
    assert_eq!(
        (&body["understudy"]["model"], &body["understudy"]["policy"]),
        (&json!("small"), &json!("direct"))
    );
}

#[tokio::test(start_paused = true)]
async fn names_choose_model_and_policy() {
    let api = api(&[]).await;
    for (model, extension, author, policy) in [
        ("small", json!({}), "small", "direct"),
        ("understudy/auto", json!({}), "large", "cascade"),
        ("understudy/direct", json!({}), "small", "direct"),
        ("understudy/cascade:threshold=0", json!({}), "small", "cascade"),
        ("understudy/auto", json!({"policy": "direct", "ladder": ["large"]}), "large", "direct"),
    ] {
        let body = api.post(CHAT, ask(model, "unsure", json!({"understudy": extension}))).await.ok();
        let told = &body["understudy"];
        assert_eq!(
            (&told["model"], &told["policy"]),
            (&json!(author), &json!(policy)),
            "{model} {extension}"
        );
        assert!(told["ledger"]["spans"].is_null(), "the whole account is for whoever wants it explained");
    }
    let explained = ask("understudy/auto", "unsure", json!({"understudy": {"explain": true}}));
    let body = api.post(CHAT, explained).await.ok();
    assert_eq!(body["understudy"]["ledger"]["spans"][0]["author"], "large");
    assert_eq!(body["understudy"]["ledger"]["decisions"][0]["kind"], "escalate");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_the_answer_in_pieces() {
    let api = api(&[]).await;
    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let answer = api.post(CHAT, ask("small", "2+2?", options)).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let chunks = answer.events();
    assert_eq!(text_of(&chunks), "4");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let [.., end, usage] = chunks.as_slice() else { panic!("{chunks:?}") };
    assert_eq!(end["choices"][0]["finish_reason"], "stop");
    assert_eq!(end["understudy"]["model"], "small");
    assert!(end["usage"].is_null() && usage["choices"].as_array().unwrap().is_empty());
    assert_eq!(usage["usage"]["completion_tokens"], 1);
    let plain = api.post(CHAT, ask("small", "2+2?", json!({"stream": true}))).await.events();
    assert!(plain.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test(start_paused = true)]
async fn text_that_was_sent_is_never_withdrawn() {
    let api = api(&[]).await;
    for (policy, expected) in [
        ("cascade", "certainly"),
        ("cascade:threshold=0", "perhaps"),
        ("cascade:select=best", "certainly"),
        ("cascade+friend", "certainly"),
        ("direct", "perhaps"),
        ("speculate", "certainly"),
        ("best-of-n", "perhaps"),
    ] {
        let body = ask(&format!("understudy/{policy}"), "unsure", json!({"stream": true}));
        let chunks = api.post(CHAT, body.clone()).await.events();
        let mut whole = body;
        whole["stream"] = false.into();
        let whole = api.post(CHAT, whole).await.ok();
        assert_eq!(text_of(&chunks), whole["choices"][0]["message"]["content"], "{policy}");
        if !policy.contains("friend") {
            assert_eq!(text_of(&chunks), expected, "{policy}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_it_explained_sees_drafts_at_once() {
    let api = api(&[]).await;
    let body = ask("understudy/cascade", "unsure", json!({"stream": true, "understudy": {"explain": true}}));
    let chunks = api.post(CHAT, body).await.events();
    let kinds: Vec<&str> = chunks.iter().filter_map(|chunk| chunk["understudy"]["type"].as_str()).collect();
    for pair in [
        ["started", "segment"],
        ["segment", "delta"],
        ["delta", "retracted"],
        ["decided", "retracted"],
        ["retracted", "finished"],
    ] {
        let at = |kind: &str| kinds.iter().position(|one| *one == kind);
        assert!(at(pair[0]).unwrap() < at(pair[1]).unwrap(), "{pair:?} in {kinds:?}");
    }
    let shown =
        |chunk: &&Value| chunk["understudy"]["type"] == "delta" && chunk["understudy"]["model"] == "small";
    assert!(chunks.iter().filter(shown).count() > 0, "the draft is shown");
    assert_eq!(text_of(&chunks), "certainly");
    let end = chunks.iter().find(|chunk| chunk["understudy"]["type"] == "finished").unwrap();
    assert_eq!(end["understudy"]["ledger"]["spans"][0]["author"], "large");
    for chunk in &chunks {
        let is_native = !chunk["understudy"].is_null();
        assert_eq!(is_native, chunk["choices"].as_array().unwrap().is_empty(), "{chunk}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_explanation_says_whose_text_it_is_and_where_it_comes_from() {
    let api = api(&[]).await;
    let explained = async |model: &str, prompt: &str, understudy: Value| {
        let chunks = api
            .post(CHAT, ask(model, prompt, json!({"stream": true, "understudy": understudy})))
            .await
            .events();
        let told: Vec<Value> = chunks.iter().map(|chunk| chunk["understudy"].clone()).collect();
        move |kind: &str| told.iter().filter(|one| one["type"] == kind).cloned().collect::<Vec<_>>()
    };

    let of = explained("small", "2+2?", json!({"explain": true, "constraint": {"regex": "4!"}})).await;
    assert_eq!(of("segment"), [json!({"type": "segment", "author": "small", "start": 0, "why": ""})]);
    let delta = &of("delta")[0];
    assert_eq!(
        delta,
        &json!({"type": "delta", "model": "small", "text": "4", "tokens": 1, "origin": "forced"})
    );
    let of = explained("small", "2+2?", json!({"explain": true})).await;
    assert_eq!(of("delta")[0]["origin"], "written");

    let policy = "speculate:draft=small,with=model";
    let of = explained("understudy/auto", "unsure", json!({"explain": true, "policy": policy})).await;
    let [drafted, ..] = &of("drafted")[..] else { panic!("nothing was drafted") };
    assert_eq!((&drafted["drafter"], &drafted["target"]), (&json!("small"), &json!("large")));
    let sum = |count: &str| of("drafted").iter().filter_map(|one| one[count].as_u64()).sum::<u64>();
    let ledger = &of("finished")[0]["ledger"];
    assert_eq!(
        (json!(sum("drafted")), json!(sum("accepted"))),
        (ledger["drafted"].clone(), ledger["accepted"].clone())
    );
}

#[tokio::test(start_paused = true)]
async fn several_answers_are_told_apart() {
    let api = api(&[]).await;
    let body = api.post(CHAT, ask("small", "2+2?", json!({"n": 3}))).await.ok();
    let indices: Vec<u64> =
        body["choices"].as_array().unwrap().iter().map(|choice| choice["index"].as_u64().unwrap()).collect();
    assert_eq!((indices, &body["usage"]["completion_tokens"]), (vec![0, 1, 2], &json!(3)));
    let chunks = api.post(CHAT, ask("small", "2+2?", json!({"n": 2, "stream": true}))).await.events();
    let ends = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"] == "stop");
    assert_eq!(ends.count(), 2);
    let full = api_with("limits.max_requests = 2", &[]).await;
    let (_, code) = full.post(CHAT, ask("small", "slow", json!({"n": 3}))).await.refused(429);
    assert_eq!(code, "OVERLOADED");
    full.becomes_idle().await;
}

const CALLS: &str = "I look.<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>\n\
                     <tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>";

fn tools() -> Value {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    json!([tool("weather"), tool("time")])
}

#[tokio::test(start_paused = true)]
async fn calls_of_tools_are_no_text() {
    let api = api(&[("weather?", Reply::text(CALLS))]).await;
    let body = api.post(CHAT, ask("small", "weather?", json!({"tools": tools()}))).await.ok();
    let message = &body["choices"][0]["message"];
    assert_eq!(message["content"], "I look.");
    let calls = message["tool_calls"].as_array().unwrap();
    assert_eq!(calls[0]["function"], json!({"name": "weather", "arguments": "{\"city\": \"Paris\"}"}));
    assert_eq!(calls[1]["function"], json!({"name": "time", "arguments": "{}"}));
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");

    let chunks =
        api.post(CHAT, ask("small", "weather?", json!({"tools": tools(), "stream": true}))).await.events();
    assert_eq!(text_of(&chunks), "I look.");
    let mut streamed = vec![(String::new(), String::new()); 2];
    for call in chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]) {
        let Some(index) = call["index"].as_u64() else { continue };
        let (name, arguments) = &mut streamed[index as usize];
        name.push_str(call["function"]["name"].as_str().unwrap_or_default());
        arguments.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
    }
    assert_eq!(streamed[0], ("weather".into(), "{\"city\": \"Paris\"}".into()));
    assert_eq!(streamed[1], ("time".into(), "{}".into()));
    // Without tools the same words are words.
    let plain = api.post(CHAT, ask("small", "weather?", json!({}))).await.ok();
    assert_eq!(plain["choices"][0]["message"]["content"], CALLS);
}

/// Models that were made for code do so.
#[tokio::test(start_paused = true)]
async fn a_call_without_marks_is_a_call() {
    let bare = "```json\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n```";
    let api = api(&[("weather?", Reply::text(bare))]).await;
    for stream in [false, true] {
        let asked = ask("small", "weather?", json!({"tools": tools(), "stream": stream}));
        let answer = api.post(CHAT, asked).await;
        let (text, arguments) = match stream {
            true => {
                let chunks = answer.events();
                let call = |chunk: &Value| chunk["choices"][0]["delta"]["tool_calls"][0]["function"].clone();
                let pieces =
                    chunks.iter().filter_map(|chunk| call(chunk)["arguments"].as_str().map(str::to_owned));
                (text_of(&chunks), pieces.collect::<String>())
            }
            false => {
                let message = answer.ok()["choices"][0]["message"].clone();
                let arguments =
                    message["tool_calls"][0]["function"]["arguments"].as_str().unwrap().to_owned();
                (message["content"].as_str().unwrap_or_default().to_owned(), arguments)
            }
        };
        assert_eq!((text.as_str(), arguments.as_str()), ("", "{\"city\": \"Paris\"}"), "stream: {stream}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_of_tools_are_part_of_the_conversation() {
    let api = api(&[("22 degrees", Reply::text("Warm."))]).await;
    let call = json!({"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}});
    let messages = json!([
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
        {"role": "assistant", "content": null, "tool_calls": [call], "refusal": null, "function_call": null},
        {"role": "tool", "tool_call_id": "c1", "content": "22 degrees"},
    ]);
    let body = json!({"model": "small", "messages": messages, "tools": tools()});
    assert_eq!(api.post(CHAT, body).await.ok()["choices"][0]["message"]["content"], "Warm.");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_supported_is_refused_by_name() {
    let api = api(&[]).await;
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]);
    for (more, field) in [
        (json!({"audio": {"voice": "x"}}), "audio"),
        (json!({"functions": []}), "functions"),
        (json!({"reasoning_effort": "low"}), "reasoning_effort"),
        (json!({"modalities": ["text", "audio"]}), "modalities[1]"),
        (json!({"service_tier": "flex"}), "service_tier"),
        (json!({"messages": image}), "messages[0].content[0].type"),
        (json!({"messages": [{"role": "user", "content": "x", "name": "Bob"}]}), "messages[0].name"),
        (json!({"messages": [{"role": "robot", "content": "x"}]}), "messages[0].role"),
        (json!({"n": 0}), "n"),
        (json!({"n": 17}), "n"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"temperature": -1}), "temperature"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
        (json!({"logit_bias": {"the": 1}}), "logit_bias.the"),
        (json!({"max_tokens": 1, "max_completion_tokens": 2}), "max_tokens"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type"),
        (json!({"tools": [{"type": "custom"}]}), "tools[0].type"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tools": tools(), "tool_choice": {"type": "allowed_tools"}}), "tool_choice.type"),
        (json!({"understudy": {"polcy": "direct"}}), "understudy.polcy"),
        (json!({"understudy": {"alpha": 0.1}}), "understudy.alpha"),
        (json!({"understudy": {"constraint": {"xml": "x"}}}), "understudy.constraint"),
        (
            json!({"response_format": {"type": "json_object"}, "understudy": {"constraint": {"regex": "x"}}}),
            "understudy.constraint",
        ),
        (json!({"stream_options": {"verbose": true}}), "stream_options.verbose"),
    ] {
        let (param, code) = api.post(CHAT, ask("small", "2+2?", more.clone())).await.refused(400);
        assert_eq!((param.as_str(), code.as_str()), (field, "REQUEST_INVALID"), "{more}");
    }
    assert_eq!(api.post(CHAT, "not json").await.refused(400).0, "body");
    assert_eq!(api.post(CHAT, json!({"messages": []})).await.refused(400).0, "model");
}

#[tokio::test(start_paused = true)]
async fn fields_without_effect_are_taken() {
    let api = api(&[]).await;
    let more = json!({
        "user": "u", "metadata": {"a": "b"}, "store": true, "service_tier": "auto", "modalities": ["text"],
        "stop": null, "seed": -1, "logit_bias": null, "safety_identifier": "s", "prompt_cache_key": "k",
        "stream_options": null, "parallel_tool_calls": true, "response_format": {"type": "text"},
    });
    api.post(CHAT, ask("small", "2+2?", more)).await.ok();
}

#[tokio::test(start_paused = true)]
async fn refusals_are_openais() {
    let api = api(&[("lost", Reply::text("abc").fail_at(0, Fault::Lost("gone".into())))]).await;
    let unknown = api.post(CHAT, ask("nobody", "hi", json!({"stream": true}))).await;
    assert_eq!(unknown.refused(404).1, "model_not_found");
    assert_eq!(unknown.json()["error"]["understudy"]["code"], "MODEL_UNKNOWN");
    let long = "x".repeat(5000);
    assert_eq!(
        api.post(CHAT, ask("small", &long, json!({}))).await.refused(400).1,
        "context_length_exceeded"
    );
    let empty = api.post(CHAT, ask("small", " ", json!({}))).await;
    assert_eq!(empty.refused(400).1, "PROMPT_EMPTY");
    let large = ask("small", &"x".repeat(5 << 20), json!({}));
    assert_eq!(api.post(CHAT, large).await.refused(413).1, "MESSAGE_TOO_LARGE");
    assert_eq!(api.post("/v1/chat/nothing", "{}").await.refused(404).1, "unknown_url");
    api.get(CHAT).await.refused(405);
    let policy = api.post(CHAT, ask("understudy/cascde", "hi", json!({}))).await;
    assert_eq!(policy.refused(400), ("model".into(), "POLICY_UNKNOWN".into()));
}

#[tokio::test]
async fn a_full_node_says_when_to_come_again() {
    let api = api_with("limits.max_requests = 1", &[]).await;
    let slow = api.open("POST", CHAT, ask("small", "slow", json!({"stream": true}))).await;
    let refused = api.post(CHAT, ask("small", "2+2?", json!({}))).await;
    assert_eq!(refused.refused(429).1, "OVERLOADED");
    // Nothing is known of waits yet: the shortest hint, and whole seconds of it.
    assert_eq!(
        (&refused.headers["retry-after"], &refused.headers["retry-after-ms"]),
        (&"1".parse().unwrap(), &"100".parse().unwrap())
    );
    drop(slow);
    api.becomes_idle().await;
    api.post(CHAT, ask("small", "2+2?", json!({}))).await.ok();
}

#[tokio::test]
async fn whoever_leaves_cancels() {
    let api = api(&[]).await;
    let stream = api.open("POST", CHAT, ask("small", "slow", json!({"stream": true, "n": 2}))).await;
    assert_eq!(api.node.in_flight(), 2);
    drop(stream);
    api.becomes_idle().await;
    let whole = api.open("POST", CHAT, ask("small", "slow", json!({})));
    assert!(tokio::time::timeout(Duration::from_millis(50), whole).await.is_err());
    api.becomes_idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_an_answer_with_what_there_is() {
    let api = api(&[]).await;
    let body = ask("small", "slow", json!({"understudy": {"deadline_ms": 550}}));
    let body = api.post(CHAT, body).await.ok();
    let choice = &body["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &body["understudy"]["finish_reason"]),
        (&json!("length"), &json!("deadline"))
    );
    let text = choice["message"]["content"].as_str().unwrap();
    assert!((1..100).contains(&text.len()), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_says_so() {
    let reply = Reply::text("abcdef").fail_at(3, Fault::Error(no_number()));
    let api = api(&[("broken", reply)]).await;
    let data = api.post(CHAT, ask("small", "broken", json!({"stream": true}))).await.data();
    let last: Value = serde_json::from_str(data.last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "NON_FINITE", "{data:?}");
    let chunks: Vec<Value> = data.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(text_of(&chunks), "abc");
}

fn no_number() -> understudy_engine::EngineError {
    understudy_engine::EngineError::NonFiniteLogits
}

#[tokio::test(start_paused = true)]
async fn a_request_keeps_its_name() {
    let api = api(&[]).await;
    let request = |id: &str| {
        let body = ask("small", "2+2?", json!({"stream": true, "understudy": {"explain": true}})).to_string();
        axum::http::Request::post(CHAT).header("x-request-id", id).body(body.into()).unwrap()
    };
    let named = said(api.send(request("my-id")).await).await;
    assert_eq!(named.events()[0]["understudy"]["request_id"], "my-id");
    assert_eq!(said(api.send(request("two words")).await).await.refused(400).0, "request_id");
}
