//! Does a constraint accept the answer, though it was written without?

use std::collections::BTreeMap;

use serde_json::Value;
use understudy_actors::Constraints;
use understudy_grammars::Pattern;

use super::Finding;
use crate::Verdict;

pub(super) const NAME: &str = "matches";

pub(super) fn validate(constraints: &Constraints, pattern: &Pattern, text: &str) -> Finding {
    let answer = answer_of(text);
    match constraints.accepts(pattern, answer.as_bytes()) {
        Err(error) => Finding::new(NAME, Verdict::Unknown, error.to_string()),
        Ok(None) => {
            let mut finding = Finding::new(NAME, Verdict::Pass, "accepted");
            finding.outcome = pattern.is_json().then(|| canonical(answer));
            finding
        }
        Ok(Some(at)) => {
            let near: String = answer.get(at..).unwrap_or_default().chars().take(24).collect();
            Finding::new(NAME, Verdict::Fail, format!("not accepted from byte {at} on: {near:?}"))
        }
    }
}

/// The content of the first code block, or all of the text.
fn answer_of(text: &str) -> &str {
    let block = text.split_once("```").and_then(|(_, rest)| rest.split_once('\n'));
    let inner = block.map(|(_, inner)| inner.split_once("```").map_or(inner, |(inner, _)| inner));
    inner.unwrap_or(text).trim()
}

/// One spelling of a JSON value: members by name, no whitespace.
fn canonical(text: &str) -> String {
    serde_json::from_str(text).map_or_else(|_| text.to_owned(), |value| sorted(value).to_string())
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(members) => {
            let members: BTreeMap<String, Value> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.into_iter().collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use understudy_grammars::JsonSpec;

    use super::*;

    fn numbers() -> Pattern {
        let schema = r#"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a"]}"#;
        Pattern::Json(JsonSpec::new(schema))
    }

    #[test]
    fn texts_are_judged_with_or_without_a_fence() {
        let constraints = Constraints::default();
        let verdict = |text: &str| validate(&constraints, &numbers(), text).verdict;
        assert_eq!(verdict(r#"{"a": 1}"#), Verdict::Pass);
        assert_eq!(verdict("Here:\n```json\n{\"a\": 1}\n```\nDone."), Verdict::Pass);
        assert_eq!(verdict(r#"{"b": 1}"#), Verdict::Fail);
        assert_eq!(verdict(r#"{"a": 1"#), Verdict::Fail, "it is not complete");
        assert_eq!(verdict(""), Verdict::Fail);
    }

    #[test]
    fn values_that_are_equal_agree() {
        let constraints = Constraints::default();
        let outcome = |text: &str| validate(&constraints, &numbers(), text).outcome;
        assert_eq!(outcome(r#"{"a": 1, "b": 2}"#), outcome("{\"b\":2,\n\"a\":1}"));
        assert_ne!(outcome(r#"{"a": 1}"#), outcome(r#"{"a": 2}"#));
    }
}
