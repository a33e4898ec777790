//! The items of a conversation.

use serde::Deserialize;
use serde_json::Value;
use understudy_gateway::Failure;
use understudy_proto::v1::{Message, ToolCall};

use crate::{
    openai::{
        fields::WithoutEffect,
        messages::{object, role, text},
    },
    strict::{self, invalid},
};

/// A turn as text or in parts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    role: String,
    content: Value,
    #[serde(default, rename = "id")]
    _id: WithoutEffect,
    #[serde(default, rename = "status")]
    _status: WithoutEffect,
    #[serde(default, rename = "phase")]
    _phase: WithoutEffect,
}

/// A call that the model made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Called {
    call_id: String,
    name: String,
    arguments: String,
    #[serde(default, rename = "id")]
    _id: WithoutEffect,
    #[serde(default, rename = "status")]
    _status: WithoutEffect,
}

/// What a tool answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    call_id: String,
    output: Value,
    #[serde(default, rename = "id")]
    _id: WithoutEffect,
    #[serde(default, rename = "status")]
    _status: WithoutEffect,
}

/// The turns of an input: a text is one of the user.
///
/// # Errors
/// `REQUEST_INVALID` with the item.
pub(super) fn turns(input: Value) -> Result<Vec<Message>, Failure> {
    let items = match input {
        Value::String(content) => {
            return Ok(vec![Message { role: "user".into(), content, ..Message::default() }]);
        }
        Value::Array(items) => items,
        _ => return Err(invalid("input", "is neither a text nor a list of items")),
    };
    let mut turns = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        add(&mut turns, item, &format!("input[{at}]"))?;
    }
    Ok(turns)
}

fn add(turns: &mut Vec<Message>, mut item: Value, path: &str) -> Result<(), Failure> {
    let kind = item.as_object_mut().and_then(|item| item.remove("type"));
    match kind.as_ref().and_then(Value::as_str).unwrap_or("message") {
        "message" => {
            let turn: Turn = strict::value(item, path)?;
            let content = text(turn.content, &format!("{path}.content"))?;
            turns.push(Message { role: role(&turn.role, path)?.into(), content, ..Message::default() });
        }
        "function_call" => {
            let Called { call_id, name, arguments, .. } = strict::value(item, path)?;
            let call = ToolCall { id: call_id, name, arguments: object(arguments) };
            // Calls that follow the model's words or another call are of one turn.
            match turns.last_mut().filter(|last| last.role == "assistant") {
                Some(turn) => turn.tool_calls.push(call),
                None => turns.push(Message {
                    role: "assistant".into(),
                    tool_calls: vec![call],
                    ..Message::default()
                }),
            }
        }
        "function_call_output" => {
            let Answered { call_id, output, .. } = strict::value(item, path)?;
            let content = text(output, &format!("{path}.output"))?;
            turns.push(Message { role: "tool".into(), content, tool_call_id: call_id, ..Message::default() });
        }
        kind => return Err(invalid(&format!("{path}.type"), format!("{kind:?} is not supported"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_join_the_turn_that_makes_them() {
        let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
        let turns = turns(json!([
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"role": "assistant", "content": "I look."},
            call("1"),
            call("2"),
            {"type": "function_call_output", "call_id": "1", "output": "b"},
        ]))
        .unwrap();
        let told: Vec<_> = turns
            .iter()
            .map(|turn| (turn.role.as_str(), turn.content.as_str(), turn.tool_calls.len()))
            .collect();
        assert_eq!(told, [("user", "a", 0), ("assistant", "I look.", 2), ("tool", "b", 0)]);
        assert_eq!(turns[2].tool_call_id, "1");
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        for (input, field) in [
            (json!([{"type": "reasoning", "summary": []}]), "input[0].type"),
            (json!([{"role": "user", "content": [{"type": "input_image"}]}]), "input[0].content[0].type"),
            (json!([{"role": "robot", "content": "x"}]), "input[0].role"),
            (json!([{"role": "user", "content": "x", "extra": 1}]), "input[0].extra"),
            (json!(7), "input"),
        ] {
            assert_eq!(turns(input.clone()).unwrap_err().fields[0].0, field, "{input}");
        }
    }
}
