//! What a call takes, and what it means.

use serde::Deserialize;
use serde_json::{Map, Value};
use understudy_gateway::Failure;
use understudy_proto::v1::{GenerateRequest, Message};

use super::{input, object::Frame};
use crate::{
    ids,
    openai::{
        extension::Extension,
        fields::{Drawing, ServiceTier, StreamOptions, Unsupported, WithoutEffect},
        format::FlatFormat,
        tools,
    },
    strict::{self, invalid},
};

/// The body of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponseRequest {
    model: String,
    input: Value,
    #[serde(default)]
    pub(super) previous_response_id: Option<String>,
    #[serde(default)]
    understudy: Extension,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default, rename = "stream_options")]
    _stream_options: Option<StreamOptions>,
    #[serde(default)]
    background: Option<bool>,
    #[serde(default)]
    store: Option<bool>,
    #[serde(default)]
    max_output_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    text: Option<TextSpec>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    truncation: Option<Truncation>,

    #[serde(default, rename = "service_tier")]
    _service_tier: Option<ServiceTier>,
    #[serde(default, rename = "user")]
    _user: WithoutEffect,
    #[serde(default, rename = "safety_identifier")]
    _safety_identifier: WithoutEffect,
    #[serde(default, rename = "prompt_cache_key")]
    _prompt_cache_key: WithoutEffect,
    #[serde(default, rename = "include")]
    _include: Unsupported,
    #[serde(default, rename = "reasoning")]
    _reasoning: Unsupported,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextSpec {
    #[serde(default)]
    format: Option<Value>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Truncation {
    Disabled,
}

/// What it comes to.
pub(super) struct Asked {
    pub(super) request: GenerateRequest,
    pub(super) frame: Frame,
    pub(super) streams: bool,
    pub(super) in_background: bool,
    pub(super) deadline_ms: Option<u64>,
}

impl ResponseRequest {
    /// The request after the turns of the response before it.
    ///
    /// # Errors
    /// `REQUEST_INVALID` with the field, `POLICY_UNKNOWN`.
    pub(super) fn asked(self, before: Vec<Message>) -> Result<Asked, Failure> {
        let (streams, in_background) = (self.stream.unwrap_or(false), self.background.unwrap_or(false));
        let stores = self.store.unwrap_or(true);
        if in_background && (streams || !stores) {
            return Err(invalid("background", "is not supported with a stream or without store"));
        }
        let _whole_input_or_refusal = self.truncation;
        let conversation: Vec<Message> = before.into_iter().chain(input::turns(self.input)?).collect();
        let format = self.text.and_then(|text| text.format);
        let held_to = format.clone().map(|format| strict::value::<FlatFormat>(format, "text.format"));
        // Instructions are of this call alone: what follows it has its own.
        let instructions = self.instructions.iter().map(|text| Message {
            role: "system".into(),
            content: text.clone(),
            ..Message::default()
        });
        let drawing = Drawing { temperature: self.temperature, top_p: self.top_p, ..Drawing::default() };
        let mut request = GenerateRequest {
            messages: instructions.chain(conversation.iter().cloned()).collect(),
            tools: self.tools.iter().flatten().enumerate().map(tool).collect::<Result<_, _>>()?,
            max_tokens: self.max_output_tokens,
            sampling: Some(drawing.sampling()?),
            constraint: held_to.transpose()?.and_then(FlatFormat::constraint),
            ..GenerateRequest::default()
        };
        tools::choose(&mut request, self.tool_choice.clone(), self.parallel_tool_calls)?;
        let frame = Frame {
            id: ids::new("resp"),
            created: ids::now(),
            tenant: String::new(),
            stores,
            in_background,
            explains: self.understudy.explain,
            conversation,
            model: self.model.clone(),
            instructions: self.instructions,
            previous: self.previous_response_id,
            max_output_tokens: self.max_output_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            format,
            tools: self.tools.unwrap_or_default(),
            tool_choice: self.tool_choice,
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(true),
            metadata: self.metadata.unwrap_or_default(),
        };
        let deadline_ms = self.understudy.deadline_ms;
        self.understudy.apply(&self.model, &mut request)?;
        Ok(Asked { request, frame, streams, in_background, deadline_ms })
    }
}

/// A function, whose fields stand beside its type.
fn tool((at, tool): (usize, &Value)) -> Result<understudy_proto::v1::Tool, Failure> {
    let path = format!("tools[{at}]");
    let mut tool = tool.clone();
    let kind = tool.as_object_mut().and_then(|tool| tool.remove("type"));
    match kind.as_ref().and_then(Value::as_str) {
        Some("function") => Ok(strict::value::<tools::FunctionSpec>(tool, &path)?.tool()),
        Some(kind) => Err(tools::unknown_kind(kind, &path)),
        None => Err(invalid(&format!("{path}.type"), "is missing")),
    }
}
