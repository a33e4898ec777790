//! Policies as text: `direct`, `direct:model=NAME`, `cascade:threshold=0.6+friend+speculate:draft=NAME`.
//!
//! Layers stand from the outermost to the innermost. Which there are, and what each takes, is in
//! the registry of [`crate::policies`]; here nothing knows a policy by name but the two that callers
//! build without a text.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::RouterError;
use crate::policies::{self, Definition};

/// How models work together on an answer: layers of policies, each over the next.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySpec {
    layers: Vec<Layer>,
}

/// One policy with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) params: Params,
}

/// What is given to a policy, by name. Values were checked against the policy's definition.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Params(BTreeMap<&'static str, Value>);

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(f32),
    Count(u32),
    Text(String),
}

/// A parameter that a policy takes.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What a value may be.
    pub kind: ParamKind,
    /// What it does and its default, for help.
    pub about: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParamKind {
    /// A number between 0 and 1.
    Share,
    /// A number of at least 0.
    Amount,
    /// A whole number in this range.
    Count(u32, u32),
    /// A model's name.
    Model,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Why a policy could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyParseError {
    /// No policy of that name.
    #[error("unknown policy {0:?}; known: {known}", known = known_policies())]
    UnknownPolicy(String),
    /// The policy has no such parameter.
    #[error("policy {policy:?} has no parameter {name:?}; known: {known}")]
    UnknownParameter {
        /// The policy.
        policy: String,
        /// The parameter.
        name: String,
        /// What it takes, for people.
        known: String,
    },
    /// Not `name=value`, or a name twice.
    #[error("{0:?} is not one name=value")]
    Malformed(String),
    /// The value does not fit.
    #[error("{name}: {value:?} is not {expected}")]
    BadValue {
        /// The parameter.
        name: String,
        /// What was given.
        value: String,
        /// What would do.
        expected: String,
    },
    /// The layers do not stand in this order.
    #[error("{outer:?} does not go over {inner:?}: {why}")]
    Order {
        /// The layer that stands further out.
        outer: String,
        /// The layer below it.
        inner: String,
        /// What would do.
        why: &'static str,
    },
}

impl From<PolicyParseError> for RouterError {
    fn from(error: PolicyParseError) -> Self {
        Self::invalid("policy", error.to_string())
    }
}

fn known_policies() -> String {
    policies::REGISTRY.each_ref().map(|definition| definition.name).join(", ")
}

/// When text stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settles {
    /// Nothing is ever withdrawn.
    AsWritten,
    /// From the decision `stay` on, or once the last rung's own words come.
    OnceJudged,
    /// When the answer is finished.
    AtEnd,
}

impl PolicySpec {
    /// One model answers; `None` is the ladder's first rung.
    pub fn direct(model: Option<String>) -> Self {
        let params = model.map(|model| ("model", Value::Text(model))).into_iter().collect();
        Self { layers: vec![Layer { name: "direct", params: Params(params) }] }
    }

    /// Layers, outermost first; at least one.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The name of each layer, joined by `+`: what is said of an answer.
    pub fn name(&self) -> String {
        self.layers.iter().map(|layer| layer.name).collect::<Vec<_>>().join("+")
    }

    /// The model that a policy of one model is fixed to.
    pub fn only_model(&self) -> Option<&str> {
        self.layers.iter().find(|layer| layer.name == "direct").and_then(|layer| layer.params.text("model"))
    }

    /// When the text of an answer can no longer be withdrawn.
    pub fn settles(&self) -> Settles {
        let has = |name: &str| self.layers.iter().any(|layer| layer.name == name);
        let selects_best = self.layers.iter().any(|layer| layer.params.text("select") == Some("best"));
        match () {
            () if has("friend") || has("best-of-n") || selects_best => Settles::AtEnd,
            () if has("cascade") => Settles::OnceJudged,
            () => Settles::AsWritten,
        }
    }

    /// Whether one model answers and nothing else happens.
    pub fn is_direct(&self) -> bool {
        matches!(self.layers.as_slice(), [only] if only.name == "direct")
    }
}

impl Params {
    pub(crate) fn number(&self, name: &str) -> Option<f32> {
        if let Value::Number(number) = self.0.get(name)? { Some(*number) } else { None }
    }

    pub(crate) fn count(&self, name: &str) -> Option<u32> {
        if let Value::Count(count) = self.0.get(name)? { Some(*count) } else { None }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        if let Value::Text(text) = self.0.get(name)? { Some(text) } else { None }
    }
}

impl FromStr for PolicySpec {
    type Err = PolicyParseError;

    fn from_str(text: &str) -> Result<Self, PolicyParseError> {
        let layers = text.split('+').map(layer).collect::<Result<Vec<_>, _>>()?;
        policies::check_order(&layers)?;
        Ok(Self { layers })
    }
}

fn layer(text: &str) -> Result<Layer, PolicyParseError> {
    let (name, parameters) = text.split_once(':').unwrap_or((text, ""));
    let name = name.trim();
    let definition =
        policies::definition(name).ok_or_else(|| PolicyParseError::UnknownPolicy(name.into()))?;
    let mut params = BTreeMap::new();
    for parameter in parameters.split(',').map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let malformed = || PolicyParseError::Malformed(parameter.into());
        let (name, value) = parameter.split_once('=').ok_or_else(malformed)?;
        let param = param(definition, name.trim())?;
        if params.insert(param.name, param.kind.read(param.name, value.trim())?).is_some() {
            return Err(malformed());
        }
    }
    Ok(Layer { name: definition.name, params: Params(params) })
}

fn param(definition: &'static Definition, name: &str) -> Result<&'static Param, PolicyParseError> {
    definition.params.iter().find(|param| param.name == name).ok_or_else(|| {
        let known: Vec<_> = definition.params.iter().map(|param| param.name).collect();
        PolicyParseError::UnknownParameter {
            policy: definition.name.into(),
            name: name.into(),
            known: if known.is_empty() { "none".into() } else { known.join(", ") },
        }
    })
}

impl ParamKind {
    fn read(self, name: &str, value: &str) -> Result<Value, PolicyParseError> {
        let number = || value.parse::<f32>().ok().filter(|number| number.is_finite());
        let read = match self {
            Self::Share => number().filter(|number| (0.0..=1.0).contains(number)).map(Value::Number),
            Self::Amount => number().filter(|number| *number >= 0.0).map(Value::Number),
            Self::Count(low, high) => {
                value.parse().ok().filter(|count| (low..=high).contains(count)).map(Value::Count)
            }
            Self::Model => (!value.is_empty()).then(|| Value::Text(value.into())),
            Self::Word(words) => words.contains(&value).then(|| Value::Text(value.into())),
        };
        read.ok_or_else(|| PolicyParseError::BadValue {
            name: name.into(),
            value: value.into(),
            expected: self.to_string(),
        })
    }
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share => f.write_str("a number between 0 and 1"),
            Self::Amount => f.write_str("a number of at least 0"),
            Self::Count(low, high) => write!(f, "a whole number from {low} to {high}"),
            Self::Model => f.write_str("a model name"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

impl fmt::Display for PolicySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, layer) in self.layers.iter().enumerate() {
            f.write_str(if at > 0 { "+" } else { "" })?;
            f.write_str(layer.name)?;
            for (at, (name, value)) in layer.params.0.iter().enumerate() {
                f.write_str(if at > 0 { "," } else { ":" })?;
                match value {
                    Value::Number(number) => write!(f, "{name}={number}")?,
                    Value::Count(count) => write!(f, "{name}={count}")?,
                    Value::Text(text) => write!(f, "{name}={text}")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_read_and_print() {
        for text in [
            "direct",
            "direct:model=m-1",
            "cascade",
            "cascade:threshold=0.6",
            "cascade:threshold=0.6+direct",
            "cascade+friend+speculate:draft=small",
        ] {
            let spec: PolicySpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), text);
        }
        let spaced: PolicySpec = " cascade : threshold = 1 + direct ".parse().unwrap();
        assert_eq!(spaced.to_string(), "cascade:threshold=1+direct");
        assert_eq!(spaced.name(), "cascade+direct");
        assert_eq!(PolicySpec::direct(Some("m".into())), "direct:model=m".parse().unwrap());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            ("cascde", r#"unknown policy "cascde"; known: direct, "#),
            ("", r#"unknown policy ""; known: direct, "#),
            ("cascade:alpha=1", r#"policy "cascade" has no parameter "alpha"; known: threshold"#),
            ("direct:threshold=1", r#"policy "direct" has no parameter "threshold"; known: model"#),
            ("direct:model", r#""model" is not one name=value"#),
            ("direct:model=", r#"model: "" is not a model name"#),
            ("cascade:threshold=NaN", r#"threshold: "NaN" is not a number between 0 and 1"#),
            ("cascade:threshold=1.5", r#"threshold: "1.5" is not a number between 0 and 1"#),
            ("cascade:threshold=0.1,threshold=0.2", r#""threshold=0.2" is not one name=value"#),
            ("direct+cascade", r#""direct" does not go over "cascade""#),
            ("speculate+friend", r#""speculate" does not go over "friend""#),
            ("friend+cascade", r#""friend" does not go over "cascade""#),
        ] {
            let said = text.parse::<PolicySpec>().unwrap_err().to_string();
            assert!(said.starts_with(message), "{said}");
        }
    }
}
