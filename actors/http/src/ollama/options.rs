//! What requests share: options, formats, names.

use serde::Deserialize;
use serde_json::Value;
use understudy_gateway::Failure;
use understudy_proto::v1::{Constraint, GenerateRequest, JsonSchema, Sampling, constraint::Kind};

use crate::{
    openai::{Extension, Target, Texts, WithoutEffect},
    strict::invalid,
};

/// `options`: what of Ollama's this node has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    seed: Option<i64>,
    /// -1 is as many as the node gives.
    num_predict: Option<i64>,
    stop: Texts,
    repeat_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    /// The node's context is what it is.
    #[serde(rename = "num_ctx")]
    _num_ctx: WithoutEffect,
}

impl Options {
    /// Writes into the request what they say.
    ///
    /// # Errors
    /// `REQUEST_INVALID`.
    pub(super) fn apply(self, request: &mut GenerateRequest) -> Result<(), Failure> {
        request.max_tokens = match self.num_predict {
            None | Some(-1) => None,
            Some(count) => Some(
                u32::try_from(count)
                    .map_err(|_| invalid("options.num_predict", "must be a number of tokens, or -1"))?,
            ),
        };
        request.stop = self.stop.0;
        request.sampling = Some(Sampling {
            temperature: self.temperature.unwrap_or_default(),
            top_k: self.top_k.unwrap_or_default(),
            top_p: self.top_p,
            min_p: self.min_p.unwrap_or_default(),
            repetition_penalty: self.repeat_penalty,
            frequency_penalty: self.frequency_penalty.unwrap_or_default(),
            presence_penalty: self.presence_penalty.unwrap_or_default(),
            seed: self.seed.map(i64::cast_unsigned),
            ..Sampling::default()
        });
        Ok(())
    }
}

/// Writes into the request who answers. `NAME:latest` is `NAME`.
///
/// # Errors
/// `REQUEST_INVALID`, `POLICY_UNKNOWN`.
pub(super) fn target(name: &str, request: &mut GenerateRequest) -> Result<(), Failure> {
    let Target { policy, model } = Target::of(plain(name), &Extension::default())?;
    (request.policy, request.model) = (policy, model);
    Ok(())
}

/// The name without the tag that clients add.
pub(super) fn plain(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

/// What `format` holds the answer to: `"json"` to an object, a schema to itself.
///
/// # Errors
/// `REQUEST_INVALID`.
pub(super) fn constraint(format: Option<Value>) -> Result<Option<Constraint>, Failure> {
    let schema = match format {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(word)) if word.is_empty() => return Ok(None),
        Some(Value::String(word)) if word == "json" => r#"{"type": "object"}"#.to_owned(),
        Some(schema @ Value::Object(_)) => schema.to_string(),
        Some(_) => return Err(invalid("format", "must be \"json\" or a JSON Schema")),
    };
    Ok(Some(Constraint { kind: Some(Kind::JsonSchema(JsonSchema { schema, ..JsonSchema::default() })) }))
}
