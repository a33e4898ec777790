//! Policies as text: `direct`, `direct:model=NAME`, `cascade:threshold=0.6`.

use std::fmt;
use std::str::FromStr;

use crate::{PolicySpec, RouterError};

/// Policy words and their parameters, for messages and completion.
pub const KNOWN_POLICIES: [(&str, &[&str]); 2] = [("direct", &["model"]), ("cascade", &["threshold"])];

/// Why a policy could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyParseError {
    /// No policy of that name.
    #[error("unknown policy {0:?}; known: {known}", known = known_policies())]
    UnknownPolicy(String),
    /// The policy has no such parameter.
    #[error("policy {policy:?} has no parameter {name:?}; known: {}", known_parameters(.policy).join(", "))]
    UnknownParameter {
        /// The policy.
        policy: String,
        /// The parameter.
        name: String,
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
        expected: &'static str,
    },
}

impl From<PolicyParseError> for RouterError {
    fn from(error: PolicyParseError) -> Self {
        Self::invalid("policy", error.to_string())
    }
}

fn known_policies() -> String {
    KNOWN_POLICIES.map(|(policy, _)| policy).join(", ")
}

fn known_parameters(policy: &str) -> &'static [&'static str] {
    KNOWN_POLICIES.iter().find(|(name, _)| *name == policy).map_or(&[], |(_, parameters)| parameters)
}

impl FromStr for PolicySpec {
    type Err = PolicyParseError;

    fn from_str(text: &str) -> Result<Self, PolicyParseError> {
        let (policy, parameters) = text.split_once(':').unwrap_or((text, ""));
        let mut spec = match policy.trim() {
            "direct" => Self::Direct { model: None },
            "cascade" => Self::Cascade { threshold: None },
            other => return Err(PolicyParseError::UnknownPolicy(other.into())),
        };
        for parameter in parameters.split(',').map(str::trim).filter(|parameter| !parameter.is_empty()) {
            let malformed = || PolicyParseError::Malformed(parameter.into());
            let (name, value) = parameter.split_once('=').ok_or_else(malformed)?;
            match (&mut spec, name.trim(), value.trim()) {
                (Self::Direct { model: Some(_) }, "model", _) => return Err(malformed()),
                (Self::Cascade { threshold: Some(_) }, "threshold", _) => return Err(malformed()),
                (Self::Direct { model }, "model", value) => *model = Some(name_of(value)?),
                (Self::Cascade { threshold }, "threshold", value) => *threshold = Some(threshold_of(value)?),
                (_, name, _) => {
                    return Err(PolicyParseError::UnknownParameter {
                        policy: policy.trim().into(),
                        name: name.into(),
                    });
                }
            }
        }
        Ok(spec)
    }
}

fn name_of(value: &str) -> Result<String, PolicyParseError> {
    let bad =
        || PolicyParseError::BadValue { name: "model".into(), value: value.into(), expected: "a model name" };
    Some(value.to_owned()).filter(|value| !value.is_empty()).ok_or_else(bad)
}

fn threshold_of(value: &str) -> Result<f32, PolicyParseError> {
    let expected = "a number between 0 and 1";
    let bad = || PolicyParseError::BadValue { name: "threshold".into(), value: value.into(), expected };
    value.parse().ok().filter(|threshold| (0.0..=1.0).contains(threshold)).ok_or_else(bad)
}

impl PolicySpec {
    /// `direct` or `cascade`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Direct { .. } => "direct",
            Self::Cascade { .. } => "cascade",
        }
    }
}

impl fmt::Display for PolicySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { model: Some(model) } => write!(f, "direct:model={model}"),
            Self::Cascade { threshold: Some(threshold) } => write!(f, "cascade:threshold={threshold}"),
            other => f.write_str(other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_read_and_print() {
        for (text, spec) in [
            ("direct", PolicySpec::Direct { model: None }),
            ("direct:model=m-1", PolicySpec::Direct { model: Some("m-1".into()) }),
            ("cascade", PolicySpec::Cascade { threshold: None }),
            ("cascade:threshold=0.6", PolicySpec::Cascade { threshold: Some(0.6) }),
        ] {
            assert_eq!(text.parse(), Ok(spec.clone()));
            assert_eq!(spec.to_string(), text);
        }
        assert_eq!(" cascade : threshold = 1 ".parse(), Ok(PolicySpec::Cascade { threshold: Some(1.0) }));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            ("cascde", r#"unknown policy "cascde"; known: direct, cascade"#),
            ("", r#"unknown policy ""; known: direct, cascade"#),
            ("cascade:alpha=1", r#"policy "cascade" has no parameter "alpha"; known: threshold"#),
            ("direct:threshold=1", r#"policy "direct" has no parameter "threshold"; known: model"#),
            ("direct:model", r#""model" is not one name=value"#),
            ("direct:model=", r#"model: "" is not a model name"#),
            ("cascade:threshold=NaN", r#"threshold: "NaN" is not a number between 0 and 1"#),
            ("cascade:threshold=1.5", r#"threshold: "1.5" is not a number between 0 and 1"#),
            ("cascade:threshold=0.1,threshold=0.2", r#""threshold=0.2" is not one name=value"#),
        ] {
            assert_eq!(text.parse::<PolicySpec>().unwrap_err().to_string(), message);
        }
    }
}
