//! Who answers: model names and policies.
//!
//! | model | who answers |
//! |---|---|
//! | `understudy/auto` | the node's ladder under its default policy, or under `understudy.policy` |
//! | `understudy/POLICY[:param=value,...]` | its ladder under this policy |
//! | any other name | that model alone |

use understudy_gateway::{Failure, codes};
use understudy_router::{PolicySpec, policies::REGISTRY};

use super::extension::Extension;
use crate::strict::invalid;

/// Names that begin with this are no models.
pub(crate) const OURS: &str = "understudy/";

/// Who answers, as a request says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// May be empty: the default.
    pub(crate) policy: String,
    /// May be empty: those of the ladder.
    pub(crate) model: String,
}

impl Target {
    /// # Errors
    /// `REQUEST_INVALID`, `POLICY_UNKNOWN`.
    pub(crate) fn of(name: &str, extension: &Extension) -> Result<Self, Failure> {
        let asked = extension.policy.clone().unwrap_or_default();
        let mut target = match name.strip_prefix(OURS) {
            None if name.is_empty() => return Err(invalid("model", "is empty")),
            None => Self { policy: asked, model: name.to_owned() },
            Some("auto") => Self { policy: asked, model: String::new() },
            Some(_) if !asked.is_empty() => {
                return Err(invalid("understudy.policy", "is set, and the model's name is a policy too"));
            }
            Some(policy) => Self { policy: policy.to_owned(), model: String::new() },
        };
        for (param, value) in [("alpha", extension.alpha), ("max_teacher_share", extension.max_teacher_share)]
        {
            if let Some(value) = value {
                target.policy = with_param(&target, param, value)?;
            }
        }
        if !target.policy.is_empty() {
            // Said here, since the field is another than over gRPC.
            target.policy.parse::<PolicySpec>().map_err(|error| {
                let field = if extension.policy.is_some() { "understudy.policy" } else { "model" };
                Failure::new(codes::POLICY_UNKNOWN, error.to_string()).with_field(field, error.to_string())
            })?;
        }
        Ok(target)
    }
}

/// The policy with a parameter, for each layer that takes it.
fn with_param(target: &Target, param: &str, value: f32) -> Result<String, Failure> {
    let takes = |layer: &str| {
        let name = layer.split(':').next().unwrap_or_default().trim();
        let known = REGISTRY.iter().find(|definition| definition.name == name);
        known.is_some_and(|definition| definition.params.iter().any(|one| one.name == param))
    };
    let layers: Vec<String> = target
        .policy
        .split('+')
        .map(|layer| match (takes(layer), layer.contains(':')) {
            (false, _) => layer.to_owned(),
            (true, false) => format!("{layer}:{param}={value}"),
            (true, true) => format!("{layer},{param}={value}"),
        })
        .collect();
    if !target.policy.split('+').any(takes) {
        return Err(invalid(&format!("understudy.{param}"), "is no parameter of the policy"));
    }
    Ok(layers.join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(model: &str, policy: Option<&str>, alpha: Option<f32>) -> Result<(String, String), String> {
        let mut extension = Extension::default();
        (extension.policy, extension.alpha) = (policy.map(str::to_owned), alpha);
        let target = Target::of(model, &extension).map_err(|failure| failure.fields[0].0.clone())?;
        Ok((target.policy, target.model))
    }

    #[test]
    fn names_say_who_answers() {
        for (model, policy, alpha, expected) in [
            ("m", None, None, Ok(("", "m"))),
            ("m", Some("direct"), None, Ok(("direct", "m"))),
            ("understudy/auto", None, None, Ok(("", ""))),
            ("understudy/auto", Some("cascade"), None, Ok(("cascade", ""))),
            ("understudy/cascade:threshold=0.6", None, None, Ok(("cascade:threshold=0.6", ""))),
            ("understudy/cascade+friend", None, Some(0.5), Ok(("cascade+friend:alpha=0.5", ""))),
            ("understudy/friend:margin=0.1", None, Some(0.5), Ok(("friend:margin=0.1,alpha=0.5", ""))),
            ("understudy/cascade", None, Some(0.5), Err("understudy.alpha")),
            ("understudy/cascade", Some("direct"), None, Err("understudy.policy")),
            ("understudy/cascde", None, None, Err("model")),
            ("understudy/auto", Some("cascde"), None, Err("understudy.policy")),
            ("", None, None, Err("model")),
        ] {
            let expected = expected.map(|(policy, model)| (policy.to_owned(), model.to_owned()));
            assert_eq!(target(model, policy, alpha), expected.map_err(str::to_owned), "{model} {policy:?}");
        }
    }
}
