//! Tools, log-probabilities and bias as a client of `Generate` sees them.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use common::{SOON, ask_small, event_of, read, refusal, start_with};
use tokio_stream::StreamExt as _;
use understudy_backend::fake::{Call, FakeBackend, Reply};
use understudy_gateway::tools::call_id;
use understudy_proto::v1::{
    Finished, GenerateRequest, Message, Sampling, Tool, ToolCall, ToolChoice, generate_event::Event,
};

const CALL: &str = "<tool_call>\n{\"name\": \"find\", \"arguments\": {\"q\": 7}}\n</tool_call>";

fn tool(name: &str, parameters: &str) -> Tool {
    Tool { name: name.into(), description: "looks".into(), parameters: parameters.into() }
}

fn with_tools(choice: ToolChoice) -> GenerateRequest {
    let schema = r#"{"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]}"#;
    GenerateRequest {
        tools: vec![tool("find", schema), tool("send", "")],
        tool_choice: choice.into(),
        request_id: "r7".into(),
        max_tokens: Some(200),
        ..ask_small("look")
    }
}

/// What `small` says to a request that makes it want to say `wish`, and the prompt that it saw.
async fn answer(wish: &str, request: GenerateRequest) -> (Finished, String) {
    let small = FakeBackend::new("small").when("", Reply::text(wish));
    let harness = start_with("", small).await;
    let events = harness.client().await.generate(request, SOON).await.unwrap();
    let (shown, end) = read(events).await;
    let end = end.unwrap();
    assert_eq!(shown, end.text);
    let mut prompts = harness.small.calls().into_iter().filter_map(|call| match call {
        Call::Open(prompt) => Some(prompt),
        _ => None,
    });
    (end, prompts.next_back().unwrap())
}

#[tokio::test]
async fn calls_are_told_at_the_end_with_stable_ids() {
    let (end, prompt) = answer(&format!("I look.\n{CALL}"), with_tools(ToolChoice::Auto)).await;
    assert!(prompt.starts_with("<tools>find send\n"), "{prompt}");
    assert_eq!(end.text, format!("I look.\n{CALL}"));
    assert_eq!(end.finish_reason, "tool_calls");
    let call = ToolCall { id: call_id("r7", 0), name: "find".into(), arguments: "{\"q\": 7}".into() };
    assert_eq!(end.tool_calls, [call]);

    let (end, _) = answer("Nothing to look for.", with_tools(ToolChoice::Auto)).await;
    assert_eq!((end.finish_reason.as_str(), end.tool_calls.len()), ("stop", 0));
}

#[tokio::test]
async fn a_required_call_is_made_whatever_the_model_would_like_to_say() {
    let (end, _) = answer("I would rather not.", with_tools(ToolChoice::Required)).await;
    assert_eq!(end.finish_reason, "tool_calls", "{}", end.text);
    assert!(end.text.starts_with("<tool_call>\n{\"name\": \""), "{}", end.text);
    assert!(["find", "send"].contains(&end.tool_calls[0].name.as_str()));

    let named = GenerateRequest { tool: "send".into(), ..with_tools(ToolChoice::Required) };
    let (end, prompt) = answer("I would rather not.", named).await;
    assert!(prompt.starts_with("<tools>send\n"), "{prompt}");
    let names: Vec<_> = end.tool_calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["send"]);
}

#[tokio::test]
async fn tools_that_are_not_to_be_called_are_told_to_nobody() {
    let (end, prompt) = answer(CALL, with_tools(ToolChoice::None)).await;
    assert!(!prompt.contains("<tools>"), "{prompt}");
    assert_eq!((end.finish_reason.as_str(), end.tool_calls.len()), ("stop", 0));
    assert_eq!(end.text, CALL, "what looks like a call is text");
}

#[tokio::test]
async fn calls_and_their_results_are_part_of_the_conversation() {
    let turn = |role: &str, content: &str| Message {
        role: role.into(),
        content: content.into(),
        ..Default::default()
    };
    let made = ToolCall { id: "c1".into(), name: "find".into(), arguments: "{\"q\": 7}".into() };
    let messages = vec![
        turn("user", "look"),
        Message { tool_calls: vec![made], ..turn("assistant", "") },
        Message { tool_call_id: "c1".into(), ..turn("tool", "") },
    ];
    let request = GenerateRequest { messages, prompt: String::new(), ..with_tools(ToolChoice::Auto) };
    let (_, prompt) = answer("Found.", request).await;
    assert!(prompt.ends_with("<user>look\n<assistant>find({\"q\": 7})\n<tool>\n<assistant>"), "{prompt}");
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_its_name() {
    let harness = start_with("", FakeBackend::new("small")).await;
    let client = harness.client().await;
    let biased = |bias: &[(u32, f32)]| GenerateRequest {
        sampling: Some(Sampling { logit_bias: bias.iter().copied().collect(), ..Default::default() }),
        ..ask_small("hi")
    };
    for (request, field) in [
        (biased(&[(3, 101.0)]), "sampling.logit_bias"),
        (biased(&[(257, 1.0)]), "sampling.logit_bias"),
        (biased(&(0..1025).map(|id| (id, 1.0)).collect::<Vec<_>>()), "sampling.logit_bias"),
        (GenerateRequest { top_logprobs: Some(21), ..ask_small("hi") }, "top_logprobs"),
        (GenerateRequest { top_logprobs: Some(300), ..ask_small("hi") }, "top_logprobs"),
        (GenerateRequest { lane: 65_536, ..ask_small("hi") }, "lane"),
        (GenerateRequest { tool: "send".into(), ..with_tools(ToolChoice::Auto) }, "tool"),
        (GenerateRequest { tools: vec![tool("a b", "")], ..ask_small("hi") }, "tools"),
    ] {
        let refused = refusal(&client, request).await;
        assert_eq!(refused.code, "REQUEST_INVALID", "{refused:?}");
        assert_eq!(refused.fields.first().map(|(path, _)| path.as_str()), Some(field));
    }
}

#[tokio::test]
async fn log_probabilities_come_with_their_text() {
    let small = FakeBackend::new("small").when("", Reply::text("né").logprob(-0.5));
    let harness = start_with("", small).await;
    let request = GenerateRequest { top_logprobs: Some(1), ..ask_small("hi") };
    let mut events = harness.client().await.generate(request, SOON).await.unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        if let Event::Delta(delta) = event_of(event.unwrap()) {
            let tokens: Vec<_> = delta.logprobs.iter().map(|one| one.token.clone()).collect();
            assert!(delta.logprobs.iter().all(|one| one.logprob == -0.5 && one.top[0].id == one.id));
            told.push((delta.text, tokens));
        }
    }
    assert_eq!(told, [("n".into(), vec![b"n".to_vec()]), ("é".into(), vec![vec![0xC3], vec![0xA9]])]);
}
