//! A whole answer.

use serde_json::{Value, json};

use super::Frame;
use crate::{
    native,
    openai::{logprobs, usage},
    telling::Told,
};

/// `chat.completion`.
pub(super) fn completion(answers: &[Told], frame: &Frame) -> Value {
    let choices: Vec<Value> =
        answers.iter().enumerate().map(|(nth, told)| choice(nth, told, frame)).collect();
    let account = answers.first().map(|told| native::answer(&told.finished, frame.explains));
    json!({
        "id": frame.id,
        "object": "chat.completion",
        "created": frame.created,
        "model": frame.model,
        "choices": choices,
        "usage": usage::json(usage::of(answers.iter().map(|told| &told.finished))),
        "system_fingerprint": answers.first().map(|told| &told.finished.numerics),
        "service_tier": "default",
        "understudy": account,
    })
}

fn choice(nth: usize, told: &Told, frame: &Frame) -> Value {
    let calls = told.calls.iter().enumerate().map(|(index, call)| {
        json!({
            "id": frame.call_id(nth, index), "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        })
    });
    let calls: Vec<Value> = calls.collect();
    let has_text = !told.text.is_empty() || calls.is_empty();
    let mut message = json!({
        "role": "assistant", "content": has_text.then_some(&told.text), "refusal": null, "annotations": [],
    });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    let mut choice = json!({
        "index": nth,
        "message": message,
        "logprobs": frame.tells_tokens.then(|| logprobs::content(&told.logprobs)),
        "finish_reason": usage::finish_reason(&told.finished),
    });
    // The first one's stands beside the choices.
    if nth > 0 {
        choice["understudy"] = native::answer(&told.finished, frame.explains);
    }
    choice
}
