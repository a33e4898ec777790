//! What chat takes, and what it means.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use understudy_gateway::Failure;
use understudy_proto::v1::GenerateRequest;

use super::Frame;
use crate::{
    fan::{MOST_ANSWERS, repeated},
    openai::{
        extension::Extension,
        fields::{Drawing, Modality, ServiceTier, StreamOptions, Texts, WithoutEffect},
        format::Format,
        logprobs::MOST_ALTERNATIVES,
        messages::ChatMessage,
        tools::{self, Tool},
    },
    strict::invalid,
};

/// The body of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChatRequest {
    model: String,
    messages: Vec<ChatMessage>,
    #[serde(default)]
    understudy: Extension,

    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    n: Option<usize>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    stop: Texts,
    #[serde(default)]
    response_format: Option<Format>,

    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    frequency_penalty: Option<f32>,
    #[serde(default)]
    presence_penalty: Option<f32>,
    #[serde(default)]
    logit_bias: Option<HashMap<String, f32>>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    top_logprobs: Option<u32>,

    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,

    #[serde(default, rename = "modalities")]
    _modalities: Option<Vec<Modality>>,
    #[serde(default, rename = "service_tier")]
    _service_tier: Option<ServiceTier>,
    #[serde(default, rename = "metadata")]
    _metadata: WithoutEffect,
    #[serde(default, rename = "store")]
    _store: WithoutEffect,
    #[serde(default, rename = "user")]
    _user: WithoutEffect,
    #[serde(default, rename = "safety_identifier")]
    _safety_identifier: WithoutEffect,
    #[serde(default, rename = "prompt_cache_key")]
    _prompt_cache_key: WithoutEffect,
}

/// What it comes to.
pub(super) struct Asked {
    pub(super) requests: Vec<GenerateRequest>,
    pub(super) frame: Frame,
    pub(super) streams: bool,
    pub(super) deadline_ms: Option<u64>,
}

impl ChatRequest {
    /// # Errors
    /// `REQUEST_INVALID` with the field, `POLICY_UNKNOWN`.
    pub(super) fn asked(self) -> Result<Asked, Failure> {
        let n = self.n.unwrap_or(1);
        if !(1..=MOST_ANSWERS).contains(&n) {
            return Err(invalid("n", format!("must be 1 to {MOST_ANSWERS}")));
        }
        let max_tokens = match (self.max_tokens, self.max_completion_tokens) {
            (Some(old), Some(new)) if old != new => {
                return Err(invalid("max_tokens", "and max_completion_tokens are both set, and differ"));
            }
            (old, new) => new.or(old),
        };
        let top_logprobs = alternatives(self.logprobs, self.top_logprobs)?;
        let drawing = Drawing {
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            logit_bias: self.logit_bias,
        };
        let turns = self.messages.into_iter().enumerate();
        let tools = self.tools.into_iter().flatten().enumerate();
        let mut request = GenerateRequest {
            messages: turns
                .map(|(at, message)| message.turn(&format!("messages[{at}]")))
                .collect::<Result<_, _>>()?,
            tools: tools.map(|(at, tool)| tool.tool(&format!("tools[{at}]"))).collect::<Result<_, _>>()?,
            max_tokens,
            sampling: Some(drawing.sampling()?),
            stop: self.stop.0,
            constraint: self.response_format.and_then(Format::constraint),
            top_logprobs,
            ..GenerateRequest::default()
        };
        tools::choose(&mut request, self.tool_choice, self.parallel_tool_calls)?;
        let frame = Frame {
            explains: self.understudy.explain,
            tells_tokens: top_logprobs.is_some(),
            tells_usage: self.stream_options.unwrap_or_default().include_usage,
            ..Frame::new(self.model.clone())
        };
        let deadline_ms = self.understudy.deadline_ms;
        self.understudy.apply(&self.model, &mut request)?;
        let streams = self.stream.unwrap_or_default();
        Ok(Asked { requests: repeated(&request, n), frame, streams, deadline_ms })
    }
}

/// How many alternatives of each token are told; `None`: not even the token.
fn alternatives(logprobs: Option<bool>, top: Option<u32>) -> Result<Option<u32>, Failure> {
    match (logprobs.unwrap_or_default(), top) {
        (_, Some(top)) if top > MOST_ALTERNATIVES => {
            Err(invalid("top_logprobs", format!("must be 0 to {MOST_ALTERNATIVES}")))
        }
        (false, Some(1..)) => Err(invalid("top_logprobs", "needs logprobs")),
        (false, _) => Ok(None),
        (true, top) => Ok(Some(top.unwrap_or(0))),
    }
}
