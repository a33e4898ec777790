//! Plain rules: which requests begin at which rung, by what can be read off them.

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::prompt::{constraint_name, question};
use crate::{AnswerRequest, RouterError};

/// A rule. All that it names must hold; the first rule that holds decides.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The request names this task.
    pub task: Option<String>,
    /// The answer is under a constraint of this kind: `json`, `sql`, `graphql`, `protobuf`, `regex`, `choice`,
    /// `lark`.
    pub constraint: Option<String>,
    /// The question is in this language, by its ISO 639-3 code, such as `eng`, `deu`, `cmn`.
    pub language: Option<String>,
    /// The question has a part that this regular expression matches.
    pub matches: Option<String>,
    /// The model that begins.
    pub start: String,
}

/// Rules, ready to be tried.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<(Rule, Option<Regex>)>,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        let plain = |rules: &Self| rules.rules.iter().map(|(rule, _)| rule.clone()).collect::<Vec<_>>();
        plain(self) == plain(other)
    }
}

impl Rules {
    /// # Errors
    /// [`RouterError::Invalid`] naming the first rule that says nothing or cannot be read.
    pub fn new(rules: Vec<Rule>) -> Result<Self, RouterError> {
        let ready = |(at, rule): (usize, Rule)| {
            let invalid = |why: String| RouterError::invalid(format!("rules[{at}]"), why);
            if rule.start.trim().is_empty() {
                return Err(invalid("start names no model".into()));
            }
            let language = rule.language.as_deref();
            if let Some(odd) = language.filter(|code| whatlang::Lang::from_code(*code).is_none()) {
                return Err(invalid(format!("language {odd:?} is no ISO 639-3 code that is known here")));
            }
            let regex = rule.matches.as_deref().map(Regex::new).transpose();
            let regex = regex.map_err(|error| invalid(format!("matches: {error}")))?;
            Ok((rule, regex))
        };
        let rules = rules.into_iter().enumerate().map(ready).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// The first rule that holds, and its place.
    pub(crate) fn first(&self, request: &AnswerRequest) -> Option<(usize, &Rule)> {
        let question = question(&request.messages);
        let holds = |(rule, regex): &&(Rule, Option<Regex>)| {
            let of = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
            of(&rule.task, Some(&request.task))
                && of(&rule.constraint, request.constraint.as_ref().map(constraint_name))
                && regex.as_ref().is_none_or(|regex| regex.is_match(question))
                && (rule.language.is_none() || of(&rule.language, language(question)))
        };
        let found = self.rules.iter().position(|rule| holds(&rule))?;
        self.rules.get(found).map(|(rule, _)| (found, rule))
    }
}

/// The language of a text that says enough to tell.
fn language(text: &str) -> Option<&'static str> {
    whatlang::detect(text).filter(whatlang::Info::is_reliable).map(|found| found.lang().code())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(question: &str) -> AnswerRequest {
        AnswerRequest::ask(question, crate::PolicySpec::direct(None))
    }

    fn rule(start: &str) -> Rule {
        Rule { start: start.into(), ..Rule::default() }
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rules = Rules::new(vec![
            Rule { task: Some("sql".into()), ..rule("sql-model") },
            Rule { constraint: Some("json".into()), ..rule("json-model") },
            Rule { matches: Some(r"(?i)\bprove\b".into()), ..rule("big") },
            Rule { language: Some("deu".into()), ..rule("german") },
        ])
        .unwrap();
        let german = "Warum ist der Himmel am Tag blau und am Abend manchmal rot, und was hat das Wetter damit zu tun?";
        let json = understudy_grammars::Pattern::Json(understudy_grammars::JsonSpec::object());
        for (request, start) in [
            (AnswerRequest { task: "sql".into(), ..ask("Prove it") }, Some("sql-model")),
            (AnswerRequest { constraint: Some(json), ..ask("hello") }, Some("json-model")),
            (ask("Prove that there are infinitely many primes."), Some("big")),
            (ask("improved"), None),
            (ask(german), Some("german")),
            (ask("Why is the sky blue during the day and sometimes red in the evening?"), None),
        ] {
            assert_eq!(
                rules.first(&request).map(|(_, rule)| rule.start.as_str()),
                start,
                "{:?}",
                request.messages
            );
        }
    }

    #[test]
    fn rules_that_cannot_hold_are_refused_by_their_place() {
        for (bad, word) in [
            (rule(" "), "start"),
            (Rule { matches: Some("(".into()), ..rule("m") }, "matches"),
            (Rule { language: Some("german".into()), ..rule("m") }, "language"),
        ] {
            let said = Rules::new(vec![rule("m"), bad]).unwrap_err().to_string();
            assert!(said.starts_with("rules[1]") && said.contains(word), "{said}");
        }
    }
}
