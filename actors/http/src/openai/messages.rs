//! A conversation as chat has it.

use serde::Deserialize;
use serde_json::Value;
use understudy_gateway::Failure;
use understudy_proto::v1::{self, ToolCall};

use super::fields::{Unsupported, WithoutEffect};
use crate::strict::invalid;

/// One turn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatMessage {
    role: String,
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Vec<CallSpec>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    /// Frameworks name the tool of a tool's turn; other names would be of speakers.
    #[serde(default)]
    name: Option<String>,
    // Clients send answers back as they got them, with these off.
    #[serde(default, rename = "refusal")]
    _refusal: Unsupported,
    #[serde(default, rename = "audio")]
    _audio: Unsupported,
    #[serde(default, rename = "function_call")]
    _function_call: Unsupported,
    #[serde(default, rename = "annotations")]
    _annotations: Unsupported,
}

/// A call that the assistant made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallSpec {
    id: String,
    #[serde(rename = "type", default)]
    _kind: FunctionType,
    function: CalledFunction,
    #[serde(default, rename = "index")]
    _index: WithoutEffect,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FunctionType {
    #[default]
    Function,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalledFunction {
    name: String,
    arguments: String,
}

impl ChatMessage {
    /// The turn as we have it; `path` is where it stands.
    ///
    /// # Errors
    /// `REQUEST_INVALID` with the field.
    pub(crate) fn turn(self, path: &str) -> Result<v1::Message, Failure> {
        let role = role(&self.role, path)?;
        let is = |expected: &str| role == expected;
        if self.name.is_some() && !is("tool") {
            return Err(invalid(&format!("{path}.name"), "is not supported"));
        }
        if self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty()) && !is("assistant") {
            return Err(invalid(&format!("{path}.tool_calls"), "is for the role assistant"));
        }
        if self.tool_call_id.is_some() != is("tool") {
            return Err(invalid(&format!("{path}.tool_call_id"), "is for the role tool, which needs it"));
        }
        let call = |call: CallSpec| {
            let CalledFunction { name, arguments } = call.function;
            ToolCall { id: call.id, name, arguments: object(arguments) }
        };
        Ok(v1::Message {
            role: role.to_owned(),
            content: self
                .content
                .map(|content| text(content, &format!("{path}.content")))
                .transpose()?
                .unwrap_or_default(),
            tool_calls: self.tool_calls.unwrap_or_default().into_iter().map(call).collect(),
            tool_call_id: self.tool_call_id.unwrap_or_default(),
        })
    }
}

/// Arguments of a call; none at all are an empty object.
pub(crate) fn object(arguments: String) -> String {
    if arguments.trim().is_empty() { "{}".into() } else { arguments }
}

/// The role as models know it.
///
/// # Errors
/// `REQUEST_INVALID`.
pub(crate) fn role(role: &str, path: &str) -> Result<&'static str, Failure> {
    match role {
        "system" | "developer" => Ok("system"),
        "user" => Ok("user"),
        "assistant" => Ok("assistant"),
        "tool" => Ok("tool"),
        _ => Err(invalid(&format!("{path}.role"), "is none of system, developer, user, assistant, tool")),
    }
}

/// A text, whole or in parts.
///
/// # Errors
/// `REQUEST_INVALID`, naming the kind of a part that is no text.
pub(crate) fn text(content: Value, path: &str) -> Result<String, Failure> {
    let parts = match content {
        Value::Null => return Ok(String::new()),
        Value::String(text) => return Ok(text),
        Value::Array(parts) => parts,
        _ => return Err(invalid(path, "is neither a text nor a list of parts")),
    };
    let mut texts = Vec::new();
    for (at, mut part) in parts.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        match part["type"].as_str() {
            Some("text" | "input_text" | "output_text") => {}
            Some(kind) => {
                let why = format!("{kind:?} is not supported: this node reads text");
                return Err(invalid(&format!("{path}.type"), why));
            }
            None => return Err(invalid(&format!("{path}.type"), "is missing")),
        }
        let known = ["type", "text", "annotations", "logprobs"];
        let unknown =
            part.as_object().and_then(|part| part.keys().find(|key| !known.contains(&key.as_str())));
        if let Some(unknown) = unknown {
            return Err(invalid(&format!("{path}.{unknown}"), "is not supported"));
        }
        match part["text"].take() {
            Value::String(text) => texts.push(text),
            _ => return Err(invalid(&format!("{path}.text"), "is missing")),
        }
    }
    Ok(texts.join("\n"))
}
