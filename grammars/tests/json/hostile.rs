//! Schemas that mean harm: each is refused or compiled soon, whatever it says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use understudy_grammars::{Budget, Constraint, Grammar, JsonSpec, Pattern};

use crate::support::{allowed, vocabulary};

/// Longest time for compiling and a few masks. Alone on a machine each takes less than a second; others
/// may be running.
const LIMIT: Duration = Duration::from_secs(10);

fn many(count: usize, one: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..count).map(one).collect()
}

fn schemas() -> Vec<(&'static str, String)> {
    let chain = |count: usize| {
        let link = |at: usize| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}));
        let mut links: serde_json::Map<String, Value> = (0..count).map(link).collect();
        links.insert(format!("d{count}"), json!({"type": "null"}));
        json!({"$defs": links, "$ref": "#/$defs/d0"})
    };
    let wide: serde_json::Map<String, Value> =
        (0..20_000).map(|at| (format!("property{at}"), json!({"type": "integer"}))).collect();
    let keys: Vec<String> = wide.keys().take(250).cloned().collect();
    let schemas = vec![
        (
            "a circle of oneOf",
            json!({"$defs": {"a": {"oneOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}, "$ref": "#/$defs/a"}),
        ),
        (
            "a circle of allOf",
            json!({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}),
        ),
        ("a circle of not", json!({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"})),
        ("a long chain", chain(5_000)),
        ("many properties", json!({"type": "object", "properties": wide})),
        ("many required", json!({"type": "object", "required": keys})),
        (
            "too many required",
            json!({"type": "object", "required": many(2_000, |at| json!(format!("k{at}")))}),
        ),
        ("a large enum", json!({"enum": many(50_000, |at| json!(format!("value number {at}")))})),
        ("enormous bounds", json!({"type": "array", "minItems": 1_000_000_000_000_u64})),
        ("long texts", json!({"type": "string", "minLength": 1_000_000_000})),
        ("many alternatives", json!({"oneOf": many(60, |at| json!({"required": [format!("k{at}")]}))})),
        (
            "many conditions",
            json!({"allOf": many(60, |at| json!({"anyOf": [{"required": [format!("a{at}")]}, {"required": [format!("b{at}")]}]}))}),
        ),
        ("repetitions", json!({"type": "string", "pattern": "((a{1,99}){1,99}){1,99}$"})),
        ("backtracking", json!({"type": "string", "pattern": "^(a+)+$"})),
        ("numbers", json!({"multipleOf": 1e-300})),
        (
            "unsatisfiable depths",
            json!({"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}, "minItems": 1}}, "$ref": "#/$defs/a"}),
        ),
    ];
    let mut schemas: Vec<(&str, String)> =
        schemas.into_iter().map(|(name, schema)| (name, schema.to_string())).collect();
    schemas.push(("nesting", format!("{}true{}", "{\"items\":".repeat(10_000), "}".repeat(10_000))));
    schemas.push(("no JSON", "{\"type\": ".into()));
    schemas.push(("five megabytes", json!({"enum": ["x".repeat(5 << 20)]}).to_string()));
    schemas
}

#[test]
fn hostile_schemas_are_dealt_with_soon() {
    let mut slow = Vec::new();
    for (name, schema) in schemas() {
        let started = Instant::now();
        let pattern = Pattern::Json(JsonSpec::new(schema));
        if let Ok(grammar) = Grammar::compile(&pattern, &vocabulary(), &Budget::default()) {
            let mut matcher = grammar.matcher();
            for _ in 0..3 {
                let Some(token) = allowed(&mut matcher).into_iter().next() else { break };
                assert!(matcher.try_accept(token), "{name}");
            }
            assert!(matcher.min_close_tokens().is_some(), "{name} cannot be completed");
        }
        if started.elapsed() > LIMIT {
            slow.push((name, started.elapsed()));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}
