//! Tools: what can be wrong with them, and the language of each one's arguments.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::{CallsSpec, ToolSpec};
use crate::json::{Json, JsonSpec, compile_objects};
use crate::{Budget, GrammarError, Vocabulary, Whitespace};

/// Longest name in bytes.
pub(super) const LONGEST_NAME: usize = 64;

/// Schemas of a request together, in bytes; what they say together. As of one JSON Schema.
const LARGEST: usize = 8 << 20;
const STATEMENTS: usize = 150_000;

pub(super) fn check(tools: &[ToolSpec]) -> Result<(), GrammarError> {
    let refused = |problem: String| Err(GrammarError::Tools(problem));
    if tools.is_empty() {
        return refused("there must be at least one".into());
    }
    if tools.len() > CallsSpec::MOST_TOOLS {
        return refused(format!("there are {}; at most {} may be", tools.len(), CallsSpec::MOST_TOOLS));
    }
    let mut seen = HashSet::new();
    for ToolSpec { name, .. } in tools {
        let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(is_of_a_name) {
            return refused(format!(
                "{:?} is no name: it takes 1 to {LONGEST_NAME} letters, digits, `_`, `-` and `.`",
                name.chars().take(LONGEST_NAME).collect::<String>()
            ));
        }
        if !seen.insert(name) {
            return refused(format!("two are named {name:?}"));
        }
    }
    Ok(())
}

/// The arguments of each tool. What compiling may cost is of all together, and what turns out too costly in one
/// leaves less for the others.
pub(super) fn arguments(
    tools: &[ToolSpec],
    vocabulary: &Arc<Vocabulary>,
    budget: &Budget,
) -> Result<Vec<Json>, GrammarError> {
    let too_much = |what| Err(GrammarError::Tools(format!("all schemas together {what}")));
    if tools.iter().map(|tool| tool.parameters.len()).sum::<usize>() > LARGEST {
        return too_much(format!("have more than {LARGEST} bytes"));
    }
    let (started, mut left, mut statements) = (Instant::now(), *budget, 0);
    let mut made = Vec::with_capacity(tools.len());
    for tool in tools {
        left.time = budget.time.saturating_sub(started.elapsed());
        if left.time.is_zero() {
            return Err(GrammarError::TooSlow(budget.time));
        }
        let spec = JsonSpec { whitespace: Whitespace::Line, ..JsonSpec::new(schema_of(&tool.parameters)) };
        let arguments = compile_objects(&spec, vocabulary, &left)
            .map_err(|error| GrammarError::Tool { name: tool.name.clone(), error: Box::new(error) })?;
        statements += arguments.known();
        if statements > STATEMENTS {
            return too_much(format!("say more than {STATEMENTS} things"));
        }
        left = arguments.left();
        made.push(arguments);
    }
    Ok(made)
}

/// The schema that a tool's parameters mean.
fn schema_of(parameters: &str) -> &str {
    if parameters.trim().is_empty() {
        "{}"
    } else if is_without_parameters(parameters) {
        r#"{"maxProperties": 0}"#
    } else {
        parameters
    }
}

/// Whether a schema says that there are properties, and names none.
fn is_without_parameters(parameters: &str) -> bool {
    const SAYS_NOTHING_MORE: [&str; 7] =
        ["type", "properties", "required", "title", "description", "$schema", "additionalProperties"];
    let Ok(Value::Object(schema)) = serde_json::from_str(parameters) else { return false };
    let is_object = schema.get("type").is_none_or(|kind| kind == "object");
    let names_none = schema.get("properties").is_some_and(|named| named == &serde_json::json!({}));
    let requires_none = schema.get("required").is_none_or(|names| names == &serde_json::json!([]));
    let others = schema.get("additionalProperties").is_some_and(|others| others != &Value::Bool(false));
    let more = schema.keys().any(|key| !SAYS_NOTHING_MORE.contains(&key.as_str()));
    is_object && names_none && requires_none && !others && !more
}
