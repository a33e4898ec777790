//! Tools that mean harm: each set is refused or compiled soon, whatever its schemas say.

use serde_json::{Value, json};
use understudy_grammars::{Budget, CallsSpec, Constraint, Grammar, GrammarError, Pattern, ToolSpec};

use crate::soon::all_end_soon;
use crate::support::{allowed, tool, vocabulary};

/// As many tools as there may be.
fn each(parameters: impl Fn(usize) -> Value) -> Vec<ToolSpec> {
    (0..CallsSpec::MOST_TOOLS).map(|at| tool(&format!("tool_{at}"), &parameters(at).to_string())).collect()
}

fn sets() -> Vec<(&'static str, Vec<ToolSpec>)> {
    let properties = |count: usize| -> Value {
        (0..count)
            .map(|at| (format!("p{at}"), json!({"type": "integer"})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    vec![
        ("plain tools", each(|_| json!({"type": "object", "properties": {"a": {"type": "string"}}}))),
        ("long names", (0..128).map(|at| tool(&format!("{}{at:03}", "n".repeat(61)), "")).collect()),
        ("many properties each", each(|_| json!({"properties": properties(1_500)}))),
        (
            "required keys",
            each(|at| json!({"required": (0..200).map(|key| format!("{at}.{key}")).collect::<Vec<_>>()})),
        ),
        (
            "explosive patterns",
            each(
                |_| json!({"properties": {"a": {"type": "string", "pattern": "^(?:[^a]|a){0,500}a.{500}$"}}, "required": ["a"]}),
            ),
        ),
        (
            "patterns that differ",
            each(
                |at| json!({"properties": {"a": {"type": "string", "pattern": format!("^(?:[^a]|a){{0,{}}}a.{{400}}$", 300 + at)}}, "required": ["a"]}),
            ),
        ),
        (
            "alternatives",
            each(
                |_| json!({"oneOf": (0..60).map(|at| json!({"required": [format!("k{at}")]})).collect::<Vec<_>>()}),
            ),
        ),
        ("circles", each(|_| json!({"allOf": [{"$ref": "#"}]}))),
        ("large enums", each(|_| json!({"properties": {"a": {"enum": (0..2_000).collect::<Vec<_>>()}}}))),
        (
            "nesting",
            vec![tool("deep", &format!("{}true{}", "{\"items\":".repeat(10_000), "}".repeat(10_000)))],
        ),
        ("eight megabytes", each(|_| json!({"description": "x".repeat(70_000)}))),
        ("a million tools", (0..1_000_000).map(|at| tool(&at.to_string(), "")).collect()),
    ]
}

fn compile_and_write(tools: Vec<ToolSpec>) -> Result<(), GrammarError> {
    let pattern = Pattern::Calls(CallsSpec { tools, text: false, many: true });
    let mut matcher = Grammar::compile(&pattern, &vocabulary(), &Budget::default())?.matcher();
    for _ in 0..40 {
        let Some(token) = allowed(&mut matcher).into_iter().next() else { break };
        matcher.try_accept(token);
    }
    matcher.min_close_tokens();
    Ok(())
}

#[test]
fn hostile_tools_are_dealt_with_soon() {
    all_end_soon(sets(), compile_and_write);
}
