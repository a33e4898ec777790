//! Fields that several endpoints take.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, de::Error as _, de::IgnoredAny};
use serde_json::Value;
use understudy_gateway::Failure;
use understudy_proto::v1::Sampling;

use crate::strict::{Absent, invalid};

/// How the next token is chosen, as the field names of OpenAI have it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drawing {
    pub(crate) temperature: Option<f32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) seed: Option<i64>,
    pub(crate) frequency_penalty: Option<f32>,
    pub(crate) presence_penalty: Option<f32>,
    pub(crate) logit_bias: Option<HashMap<String, f32>>,
}

impl Drawing {
    /// # Errors
    /// `REQUEST_INVALID` for a bias of something that is no token's id.
    pub(crate) fn sampling(self) -> Result<Sampling, Failure> {
        let mut logit_bias = HashMap::new();
        for (token, bias) in self.logit_bias.into_iter().flatten() {
            let id = token.parse().map_err(|_| {
                invalid(&format!("logit_bias.{token}"), "is no id of a token in the model's vocabulary")
            })?;
            logit_bias.insert(id, bias);
        }
        Ok(Sampling {
            temperature: self.temperature.unwrap_or_default(),
            top_p: self.top_p,
            // Negative ones are seeds too.
            seed: self.seed.map(i64::cast_unsigned),
            frequency_penalty: self.frequency_penalty.unwrap_or_default(),
            presence_penalty: self.presence_penalty.unwrap_or_default(),
            logit_bias: logit_bias.into_iter().collect(),
            ..Sampling::default()
        })
    }
}

/// One text or a list of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = |value| match value {
            Value::String(text) => Ok(text),
            Value::Number(_) | Value::Array(_) => {
                Err(D::Error::custom("of token ids is not supported: send text"))
            }
            _ => Err(D::Error::custom("is neither a text nor a list of texts")),
        };
        match Value::deserialize(reader)? {
            Value::Null => Ok(Self::default()),
            Value::Array(values) => Ok(Self(values.into_iter().map(text).collect::<Result<_, _>>()?)),
            value => Ok(Self(vec![text(value)?])),
        }
    }
}

/// Which class of service: there is one.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServiceTier {
    #[default]
    Auto,
    Default,
}

/// What a stream tells besides.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: bool,
    #[serde(rename = "include_obfuscation")]
    _obfuscation: IgnoredAny,
}

/// What an answer consists of: text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Modality {
    Text,
}

/// Fields that OpenAI's client libraries or frameworks send by default and that change nothing here.
pub(crate) type WithoutEffect = IgnoredAny;

/// Fields of things that this node does not do.
pub(crate) type Unsupported = Absent;
