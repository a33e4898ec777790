//! `/api/chat`.

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};
use understudy_gateway::Failure;
use understudy_proto::v1::{GenerateRequest, Message, ToolCall};

use super::{
    error::Refusal,
    options::{self, Options},
    spoken::{self, Form},
};
use crate::{
    app::App,
    call::Call,
    openai::{Tool, Unsupported, WithoutEffect, role},
    telling::{CallTold, Telling},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatRequest {
    model: String,
    messages: Vec<Turn>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    format: Option<Value>,
    #[serde(default)]
    options: Option<Options>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default, rename = "keep_alive")]
    _keep_alive: WithoutEffect,
    #[serde(default, rename = "think")]
    _think: Unsupported,
    #[serde(default, rename = "logprobs")]
    _logprobs: Unsupported,
    #[serde(default, rename = "top_logprobs")]
    _top_logprobs: Unsupported,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    role: String,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallSpec>>,
    /// Of a tool's turn: which tool.
    #[serde(default, rename = "tool_name", alias = "name")]
    tool_name: Option<String>,
    #[serde(default, rename = "images")]
    _images: Unsupported,
    #[serde(default, rename = "thinking")]
    _thinking: Unsupported,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallSpec {
    function: Function,
    #[serde(default, rename = "id")]
    _id: WithoutEffect,
    #[serde(default, rename = "type")]
    _kind: WithoutEffect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    arguments: Value,
    #[serde(default, rename = "index")]
    _index: WithoutEffect,
}

/// A turn of the assistant.
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let call = Call::read(request).await?;
    let asked: ChatRequest = call.json()?;
    let (streams, model) = (asked.stream.unwrap_or(true), asked.model.clone());
    let ctx = call.context(&app.inference, 0, None)?;
    let telling = Telling::begin(&app.inference, ctx, asked.request()?, false, &call.trace).await?;
    Ok(spoken::respond(telling, model, Chat, streams).await?)
}

impl ChatRequest {
    fn request(self) -> Result<GenerateRequest, Failure> {
        let tools = self.tools.into_iter().flatten().enumerate();
        let mut request = GenerateRequest {
            messages: turns(self.messages)?,
            tools: tools.map(|(at, tool)| tool.tool(&format!("tools[{at}]"))).collect::<Result<_, _>>()?,
            constraint: options::constraint(self.format)?,
            ..GenerateRequest::default()
        };
        self.options.unwrap_or_default().apply(&mut request)?;
        options::target(&self.model, &mut request)?;
        Ok(request)
    }
}

/// Calls have no names here: a tool's turn answers the first call that has no answer yet, of its tool if it names one.
fn turns(asked: Vec<Turn>) -> Result<Vec<Message>, Failure> {
    let mut open: Vec<ToolCall> = Vec::new();
    let mut turns = Vec::new();
    for (at, turn) in asked.into_iter().enumerate() {
        let role = role(&turn.role, &format!("messages[{at}]"))?;
        let mut message =
            Message { role: role.into(), content: turn.content.unwrap_or_default(), ..Message::default() };
        for (index, CallSpec { function, .. }) in turn.tool_calls.into_iter().flatten().enumerate() {
            message.tool_calls.push(ToolCall {
                id: format!("call_{at}_{index}"),
                name: function.name,
                arguments: function.arguments.to_string(),
            });
        }
        open.extend(message.tool_calls.iter().cloned());
        if role == "tool" {
            let is_meant = |call: &ToolCall| turn.tool_name.as_ref().is_none_or(|name| *name == call.name);
            if let Some(nth) = open.iter().position(is_meant) {
                message.tool_call_id = open.remove(nth).id;
            }
        }
        turns.push(message);
    }
    Ok(turns)
}

/// Says things as messages.
struct Chat;

impl Form for Chat {
    fn text(&self, text: &str) -> Value {
        json!({"message": {"role": "assistant", "content": text}})
    }

    fn calls(&self, calls: &[CallTold]) -> Value {
        let call = |call: &CallTold| {
            // An object, which a call that was cut off is not.
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
            json!({"function": {"name": call.name, "arguments": arguments}})
        };
        json!({"message": {"tool_calls": calls.iter().map(call).collect::<Vec<_>>()}})
    }
}
