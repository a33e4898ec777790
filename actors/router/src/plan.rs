//! Checks a request before anything is done, and resolves its ladder.

use understudy_engine::sampling::check_bias;
use understudy_engine::verbs::SamplerSpec;
use understudy_grammars::Pattern;

use crate::config::{check_ladder, check_share};
use crate::policies::{self, Policy};
use crate::{AnswerRequest, MOST_LANE, RouterConfig, RouterError, ValidatorSpec, bias};

/// Roles that chat templates know.
const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];
/// A stop text longer than this would hold back that much of the answer.
const LONGEST_STOP: usize = 256;
/// Alternatives told of a token, as OpenAI's interface has it.
const MOST_ALTERNATIVES: u8 = 20;
/// Each is waited for.
const MOST_VALIDATORS: usize = 8;
/// More options are better stated as a grammar.
const MOST_OPTIONS: usize = 1_000;

/// Who may answer, and how.
pub(crate) struct Plan {
    /// The policy, as said of the answer.
    pub(crate) name: String,
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) cast: Cast,
}

/// The models of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cast {
    /// Cheapest first; at least one.
    pub(crate) rungs: Vec<PlannedRung>,
    /// Who writes, where a policy has said so.
    pub(crate) lead: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedRung {
    pub(crate) model: String,
    /// Confidence from which its answer stays.
    pub(crate) threshold: f32,
}

impl Cast {
    /// The name of a rung; of the last one where there are not so many.
    pub(crate) fn model(&self, rung: usize) -> &str {
        self.rungs.get(rung).or(self.rungs.last()).map_or("", |rung| &rung.model)
    }

    pub(crate) fn threshold(&self, rung: usize) -> f32 {
        self.rungs.get(rung).map_or(0.0, |rung| rung.threshold)
    }

    /// The biggest model.
    pub(crate) fn last(&self) -> usize {
        self.rungs.len().saturating_sub(1)
    }

    /// The same models with this one writing.
    pub(crate) fn led_by(&self, rung: usize) -> Self {
        Self { lead: Some(rung), ..self.clone() }
    }
}

impl Plan {
    /// # Errors
    /// [`RouterError::Invalid`] naming the field.
    pub(crate) fn of(request: &AnswerRequest, config: &RouterConfig) -> Result<Self, RouterError> {
        check_messages(request)?;
        check_budget(request, config)?;
        check_sampler(&request.sampler)?;
        check_told(request)?;
        check_constraint(request.constraint.as_ref())?;
        check_validators(request, config)?;
        let profile = config.profile_of(&request.task);
        let names = match request.policy.only_model() {
            Some(model) => vec![model.to_owned()],
            None if request.policy.is_direct() => ladder(request, config).into_iter().take(1).collect(),
            None => ladder(request, config),
        };
        check_ladder(names.iter().map(String::as_str))?;
        if names.is_empty() {
            return Err(RouterError::invalid("ladder", "is empty, in the request and in the configuration"));
        }
        let planned = |model: String| {
            let calibrated = profile.and_then(|profile| profile.rung(&model)?.threshold);
            let threshold =
                calibrated.map_or_else(|| config.threshold_of(&model), |calibrated| calibrated as f32);
            PlannedRung { model, threshold }
        };
        Ok(Self {
            name: request.policy.name(),
            policy: policies::compose(&request.policy),
            cast: Cast { rungs: names.into_iter().map(planned).collect(), lead: None },
        })
    }
}

fn ladder(request: &AnswerRequest, config: &RouterConfig) -> Vec<String> {
    if request.ladder.is_empty() {
        config.ladder.iter().map(|rung| rung.model.clone()).collect()
    } else {
        request.ladder.clone()
    }
}

fn check_messages(request: &AnswerRequest) -> Result<(), RouterError> {
    let Some(last) = request.messages.last() else {
        return Err(RouterError::invalid("messages", "must not be empty"));
    };
    // A tool may have nothing to say.
    if last.role != "tool" && last.content.trim().is_empty() {
        return Err(RouterError::invalid("messages", "the last message has no text"));
    }
    match request.messages.iter().find(|message| !ROLES.contains(&message.role.as_str())) {
        Some(odd) => Err(RouterError::invalid(
            "messages",
            format!("unknown role {:?}; known: {}", odd.role, ROLES.join(", ")),
        )),
        None => Ok(()),
    }
}

fn check_budget(request: &AnswerRequest, config: &RouterConfig) -> Result<(), RouterError> {
    let limit = config.max_tokens_limit;
    if !(1..=limit).contains(&request.max_tokens) {
        return Err(RouterError::invalid(
            "max_tokens",
            format!("{} is not between 1 and {limit}", request.max_tokens),
        ));
    }
    if request.stop.len() > config.max_stops {
        let why = format!("{} texts, at most {} are allowed", request.stop.len(), config.max_stops);
        return Err(RouterError::invalid("stop", why));
    }
    if request.stop.iter().any(|stop| stop.is_empty() || stop.len() > LONGEST_STOP) {
        return Err(RouterError::invalid("stop", format!("each text must have 1 to {LONGEST_STOP} bytes")));
    }
    Ok(())
}

fn check_sampler(sampler: &SamplerSpec) -> Result<(), RouterError> {
    let within = |field: &str, value: f32, low: f32, high: f32| {
        if (low..=high).contains(&value) {
            Ok(())
        } else {
            Err(RouterError::invalid(field, format!("{value} is not between {low} and {high}")))
        }
    };
    within("temperature", sampler.temperature, 0.0, 100.0)?;
    check_share("top_p", sampler.top_p)?;
    check_share("min_p", sampler.min_p)?;
    within("repetition_penalty", sampler.repetition_penalty, 0.01, 100.0)?;
    within("frequency_penalty", sampler.frequency_penalty, -100.0, 100.0)?;
    within("presence_penalty", sampler.presence_penalty, -100.0, 100.0)?;
    // Which ids there are is known once the first rung is.
    let biased = check_bias(&sampler.logit_bias, usize::MAX);
    biased.map_err(|wrong| RouterError::invalid(bias::FIELD, wrong.to_string()))
}

fn check_told(request: &AnswerRequest) -> Result<(), RouterError> {
    if let Some(count) = request.top_logprobs.filter(|count| *count > MOST_ALTERNATIVES) {
        let why = format!("{count} is more than {MOST_ALTERNATIVES}");
        return Err(RouterError::invalid("top_logprobs", why));
    }
    match request.sampler.lane {
        0..=MOST_LANE => Ok(()),
        lane => Err(RouterError::invalid("lane", format!("{lane} is more than {MOST_LANE}"))),
    }
}

fn check_constraint(constraint: Option<&Pattern>) -> Result<(), RouterError> {
    let Some(constraint) = constraint else { return Ok(()) };
    if let Pattern::Choice(options) = constraint
        && options.len() > MOST_OPTIONS
    {
        let why = format!("{} options, at most {MOST_OPTIONS} are allowed", options.len());
        return Err(RouterError::invalid("constraint", why));
    }
    constraint.check().map_err(|error| RouterError::invalid("constraint", error.to_string()))
}

fn check_validators(request: &AnswerRequest, config: &RouterConfig) -> Result<(), RouterError> {
    let invalid = |why: String| Err(RouterError::invalid("validators", why));
    if request.validators.len() > MOST_VALIDATORS {
        return invalid(format!(
            "{} of them, at most {MOST_VALIDATORS} are allowed",
            request.validators.len()
        ));
    }
    for validator in &request.validators {
        match validator {
            ValidatorSpec::Matches(pattern) => {
                pattern.check().map_err(|error| RouterError::invalid("validators", error.to_string()))?;
            }
            ValidatorSpec::Sql { database } if !config.databases.allows(database) => {
                return invalid(format!(
                    "{} is not in a folder of databases that this node reads",
                    database.display()
                ));
            }
            ValidatorSpec::Sql { .. } | ValidatorSpec::Python { .. } => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicySpec;

    fn request() -> AnswerRequest {
        AnswerRequest::ask("hello", "cascade".parse().unwrap())
    }

    type Spoil = fn(&mut AnswerRequest);

    #[test]
    fn every_wrong_field_is_named() {
        let config = RouterConfig::with_ladder(["a", "b"]);
        let wrong: [(&str, Spoil); 26] = [
            ("messages", |r| r.messages.clear()),
            ("messages", |r| r.messages[0].content = " \n".into()),
            ("messages", |r| r.messages[0].role = "robot".into()),
            ("max_tokens", |r| r.max_tokens = 0),
            ("max_tokens", |r| r.max_tokens = 32_769),
            ("temperature", |r| r.sampler.temperature = f32::NAN),
            ("temperature", |r| r.sampler.temperature = -0.1),
            ("top_p", |r| r.sampler.top_p = 1.1),
            ("top_p", |r| r.sampler.top_p = -0.1),
            ("min_p", |r| r.sampler.min_p = f32::NAN),
            ("repetition_penalty", |r| r.sampler.repetition_penalty = 0.0),
            ("frequency_penalty", |r| r.sampler.frequency_penalty = f32::INFINITY),
            ("sampling.logit_bias", |r| r.sampler.logit_bias = [(3, 100.5)].into()),
            ("sampling.logit_bias", |r| r.sampler.logit_bias = [(3, f32::NAN)].into()),
            ("sampling.logit_bias", |r| r.sampler.logit_bias = (0..1025).map(|id| (id, 1.0)).collect()),
            ("lane", |r| r.sampler.lane = 65_536),
            ("top_logprobs", |r| r.top_logprobs = Some(21)),
            ("stop", |r| r.stop = vec!["x".into(); 17]),
            ("stop", |r| r.stop = vec![String::new()]),
            ("ladder", |r| r.ladder = vec!["a".into(), "a".into()]),
            ("ladder", |r| r.ladder = vec![" ".into()]),
            ("ladder", |r| r.policy = PolicySpec::direct(Some(String::new()))),
            ("validators", |r| r.validators = vec![ValidatorSpec::Sql { database: "any.sqlite".into() }]),
            ("constraint", |r| r.constraint = Some(Pattern::Regex("(".into()))),
            ("constraint", |r| r.constraint = Some(Pattern::Choice(vec![]))),
            ("constraint", |r| r.constraint = Some(Pattern::Choice(vec!["x".into(); 1_001]))),
        ];
        for (expected, spoil) in wrong {
            let mut request = request();
            spoil(&mut request);
            let Err(RouterError::Invalid { field, .. }) = Plan::of(&request, &config) else {
                panic!("{expected} was accepted: {request:?}");
            };
            assert_eq!(field, expected);
        }
    }

    #[test]
    fn an_empty_ladder_is_refused_unless_a_model_is_named() {
        let config = RouterConfig::default();
        assert!(
            matches!(Plan::of(&request(), &config), Err(RouterError::Invalid { field, .. }) if field == "ladder")
        );
        let direct = AnswerRequest { policy: PolicySpec::direct(Some("m".into())), ..request() };
        assert_eq!(Plan::of(&direct, &config).unwrap().cast.model(0), "m");
    }

    #[test]
    fn thresholds_come_from_the_rung_or_the_default() {
        let mut config = RouterConfig::with_ladder(["a", "b"]);
        config.ladder[0].threshold = Some(0.7);
        let thresholds = |policy: &str, ladder: &[&str]| {
            let ladder = ladder.iter().map(|name| (*name).into()).collect();
            let request = AnswerRequest { policy: policy.parse().unwrap(), ladder, ..request() };
            let plan = Plan::of(&request, &config).unwrap();
            plan.cast.rungs.into_iter().map(|rung| (rung.model, rung.threshold)).collect::<Vec<_>>()
        };
        assert_eq!(thresholds("cascade", &[]), [("a".into(), 0.7), ("b".into(), 0.5)]);
        assert_eq!(thresholds("cascade", &["c", "a"]), [("c".into(), 0.5), ("a".into(), 0.7)]);
        assert_eq!(thresholds("direct", &[]), [("a".into(), 0.7)]);
    }
}
