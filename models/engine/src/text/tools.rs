//! Tools in a conversation, as templates want them.
//!
//! A template that knows tools gets what `apply_chat_template` of transformers passes. For any other one
//! they are put into words: those of Qwen 2.5's template, which many models have seen. Either way a model
//! calls by the text
//!
//! ```text
//! <tool_call>
//! {"name": NAME, "arguments": {...}}
//! </tool_call>
//! ```

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::template::Spaced;
use crate::codec::{ChatMessage, CodecError, Tool, ToolCall};

/// What a tool without a schema takes.
const ANY_OBJECT: &str = r#"{"type": "object", "properties": {}}"#;

/// A message as a template sees it. What it does not have is not there: templates ask for it.
#[derive(Serialize)]
pub(super) struct Turn<'a> {
    role: &'a str,
    content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallOf<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    tool_call_id: &'a str,
}

#[derive(Serialize)]
struct CallOf<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    r#type: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: Value,
}

/// A tool as a template sees it.
#[derive(Serialize)]
pub(super) struct FunctionOf<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: Value,
}

/// # Errors
/// [`CodecError::Template`] where a call's arguments are no JSON.
pub(super) fn turns(messages: &[ChatMessage]) -> Result<Vec<Turn<'_>>, CodecError> {
    messages
        .iter()
        .map(|message| {
            let calls = message.tool_calls.iter().map(|made| {
                let function = Called { name: &made.name, arguments: arguments(made)? };
                Ok(CallOf { id: &made.id, r#type: "function", function })
            });
            Ok(Turn {
                role: &message.role,
                content: &message.content,
                tool_calls: calls.collect::<Result<_, CodecError>>()?,
                tool_call_id: &message.tool_call_id,
            })
        })
        .collect()
}

/// # Errors
/// [`CodecError::Template`] where a tool's parameters are no JSON.
pub(super) fn functions(tools: &[Tool]) -> Result<Vec<FunctionOf<'_>>, CodecError> {
    tools
        .iter()
        .map(|tool| {
            let schema = if tool.parameters.is_empty() { ANY_OBJECT } else { &tool.parameters };
            let parameters = parsed(schema, || format!("the parameters of tool {:?}", tool.name))?;
            let function = Function { name: &tool.name, description: &tool.description, parameters };
            Ok(FunctionOf { r#type: "function", function })
        })
        .collect()
}

/// The same conversation in turns of text alone: tools in the system's, calls in the assistant's, results
/// in the user's.
///
/// # Errors
/// [`CodecError::Template`] where parameters or arguments are no JSON.
pub(super) fn in_words<'a>(
    messages: &'a [ChatMessage],
    tools: &[Tool],
) -> Result<Cow<'a, [ChatMessage]>, CodecError> {
    let is_text = |message: &ChatMessage| message.role != "tool" && message.tool_calls.is_empty();
    if tools.is_empty() && messages.iter().all(is_text) {
        return Ok(Cow::Borrowed(messages));
    }
    let mut turns: Vec<ChatMessage> = Vec::with_capacity(messages.len() + 1);
    if !tools.is_empty() && messages.first().is_none_or(|first| first.role != "system") {
        turns.push(ChatMessage::new("system", ""));
    }
    let mut after_result = false;
    for message in messages {
        let is_result = message.role == "tool";
        match turns.last_mut() {
            Some(results) if is_result && after_result => {
                results.content.push('\n');
                results.content.push_str(&result(message));
            }
            _ if is_result => turns.push(ChatMessage::new("user", result(message))),
            _ => turns.push(ChatMessage::new(message.role.as_str(), spoken(message)?)),
        }
        after_result = is_result;
    }
    if let (Some(system), false) = (turns.first_mut(), tools.is_empty()) {
        let joint = if system.content.is_empty() { "" } else { "\n\n" };
        system.content.push_str(joint);
        system.content.push_str(&instructions(tools)?);
    }
    Ok(Cow::Owned(turns))
}

fn result(message: &ChatMessage) -> String {
    format!("<tool_response>\n{}\n</tool_response>", message.content)
}

/// A turn's text and its calls.
fn spoken(message: &ChatMessage) -> Result<String, CodecError> {
    let mut text = message.content.clone();
    for call in &message.tool_calls {
        if !text.is_empty() {
            text.push('\n');
        }
        let name = one_line(&call.name)?;
        let arguments = one_line(&arguments(call)?)?;
        text.push_str(&format!(
            "<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>"
        ));
    }
    Ok(text)
}

fn instructions(tools: &[Tool]) -> Result<String, CodecError> {
    let mut text = String::from(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n\
         You are provided with function signatures within <tools></tools> XML tags:\n<tools>",
    );
    for function in functions(tools)? {
        text.push('\n');
        text.push_str(&one_line(&function)?);
    }
    text.push_str(
        "\n</tools>\n\nFor each function call, return a json object with function name and arguments \
         within <tool_call></tool_call> XML tags:\n<tool_call>\n\
         {\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>",
    );
    Ok(text)
}

fn arguments(call: &ToolCall) -> Result<Value, CodecError> {
    parsed(&call.arguments, || format!("the arguments of a call of tool {:?}", call.name))
}

fn parsed(json: &str, what: impl Fn() -> String) -> Result<Value, CodecError> {
    serde_json::from_str(json)
        .map_err(|error| CodecError::Template(format!("{} are no JSON: {error}", what())))
}

/// As `tojson` writes it in templates.
fn one_line(value: &(impl Serialize + ?Sized)) -> Result<String, CodecError> {
    let mut bytes = Vec::new();
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Spaced));
    written.map_err(|error| CodecError::Template(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| CodecError::Template(error.to_string()))
}
