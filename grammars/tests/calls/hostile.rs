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
    let list = |count: usize, one: &dyn Fn(usize) -> Value| Value::from_iter((0..count).map(one));
    let text = |pattern: String| json!({"properties": {"a": {"type": "string", "pattern": pattern}}});
    let named = |at: usize| (format!("p{at}"), json!({"type": "integer"}));
    let properties = Value::from_iter((0..1_500).map(named));
    let nested = format!("{}true{}", "{\"items\":".repeat(10_000), "}".repeat(10_000));
    vec![
        ("plain tools", each(|_| json!({"properties": {"a": {"type": "string"}}}))),
        ("long names", (0..128).map(|at| tool(&format!("{}{at:03}", "n".repeat(61)), "")).collect()),
        ("names of their own", (0..128).map(|at| tool(&format!("{at:03}{}", "n".repeat(61)), "")).collect()),
        ("many properties each", each(|_| json!({"properties": properties}))),
        ("required keys", each(|tool| json!({"required": list(200, &|at| json!(format!("{tool}.{at}")))}))),
        ("explosive patterns", each(|_| text("^(?:[^a]|a){0,500}a.{500}$".into()))),
        ("others each", each(|at| text(format!("^(?:[^a]|a){{0,{}}}a.{{400}}$", 300 + at)))),
        ("alternatives", each(|_| json!({"oneOf": list(60, &|at| json!({"required": [format!("k{at}")]}))}))),
        ("circles", each(|_| json!({"allOf": [{"$ref": "#"}]}))),
        ("large enums", each(|_| json!({"properties": {"a": {"enum": list(1_000, &|at| json!(at))}}}))),
        ("larger enums", each(|_| json!({"properties": {"a": {"enum": list(2_000, &|at| json!(at))}}}))),
        ("nesting", vec![tool("deep", &nested)]),
        ("eight megabytes", each(|_| json!({"description": "x".repeat(70_000)}))),
        ("too many tools", (0..100_000).map(|at| tool(&at.to_string(), "")).collect()),
    ]
}

/// Compiles calls alone, or calls amid text with one of them begun, and writes on to an end.
fn compile_and_write((tools, text): (Vec<ToolSpec>, bool)) -> Result<(), GrammarError> {
    let name = tools.first().map(|tool| tool.name.clone()).unwrap_or_default();
    let begun = if text { format!("{{\"name\": \"{name}\", \"arguments\": {{") } else { String::new() };
    let pattern = Pattern::Calls(CallsSpec { tools, text, many: true });
    let mut matcher = Grammar::compile(&pattern, &vocabulary(), &Budget::default())?.matcher();
    assert!(begun.bytes().all(|byte| matcher.try_accept(u32::from(byte))), "{begun}");
    for token in matcher.close_path().unwrap_or_default() {
        assert!(allowed(&mut matcher).contains(&token) && matcher.try_accept(token));
    }
    assert!(matcher.is_accepting());
    Ok(())
}

#[test]
fn hostile_tools_are_dealt_with_soon() {
    let with_text = |text: bool| {
        let kind = if text { "text and calls" } else { "calls" };
        sets().into_iter().map(move |(name, tools)| (format!("{kind}: {name}"), (tools, text)))
    };
    all_end_soon(with_text(false).chain(with_text(true)), compile_and_write);
}
