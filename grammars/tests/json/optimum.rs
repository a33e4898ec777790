//! Completions beside the shortest that there are.

use std::sync::Arc;

use serde_json::{Value, json};
use understudy_grammars::measure::optimum::fewest_tokens;
use understudy_grammars::{Budget, Constraint, Grammar, JsonSpec, Pattern};

use crate::support::{Choices, vocabulary};

/// Schemas tried, unless `UNDERSTUDY_GRAMMARS` says how many.
const SCHEMAS: usize = 120;
/// States looked at for one schema; larger ones are left out.
const STATES: usize = 60_000;

fn scalar(choices: &mut Choices) -> Value {
    let number = choices.below(900) as i64;
    match choices.below(8) {
        0 => json!({"const": (["on", "off", "automatic", "northwest"][choices.below(4)])}),
        1 => json!({"enum": (["red", "green", "blue", "ultraviolet"][choices.below(3)..])}),
        2 => json!({"type": "integer", "minimum": number, "maximum": number + 12}),
        3 => json!({"type": "boolean"}),
        4 => {
            json!({"type": "string", "pattern": (["^[a-f]{3}$", "^x-[0-9]+$", "^(ab|cde)+$"][choices.below(3)])})
        }
        5 => json!({"type": "string", "minLength": choices.below(5)}),
        6 => json!({"type": "string", "format": "date"}),
        _ => json!({"type": ["null", "number"]}),
    }
}

fn schema(choices: &mut Choices, depth: usize) -> Value {
    match choices.below(if depth == 0 { 1 } else { 5 }) {
        0 => scalar(choices),
        1 => {
            let fewest = choices.below(3);
            json!({"type": "array", "items": schema(choices, depth - 1), "minItems": fewest, "maxItems": fewest + 2})
        }
        2 => json!({"anyOf": [schema(choices, depth - 1), schema(choices, depth - 1)]}),
        _ => {
            let names = ["name", "id", "unit", "description", "x"];
            let from = choices.below(3);
            let members = &names[from..from + 1 + choices.below(2)];
            let properties: serde_json::Map<String, Value> =
                members.iter().map(|name| ((*name).to_owned(), schema(choices, depth - 1))).collect();
            json!({"type": "object", "properties": properties, "required": members[..choices.below(members.len() + 1)],
                   "additionalProperties": false})
        }
    }
}

#[test]
fn completions_are_nearly_as_short_as_any() {
    let wanted = std::env::var("UNDERSTUDY_GRAMMARS").ok().and_then(|count| count.parse().ok());
    let (mut tried, mut longer, mut planned, mut fewest) = (0, Vec::new(), 0, 0);
    for seed in 0.. {
        if tried >= wanted.unwrap_or(SCHEMAS) {
            break;
        }
        let schema = schema(&mut Choices::new(seed), 2);
        let pattern = Pattern::Json(JsonSpec::new(schema.to_string()));
        let grammar: Arc<Grammar> =
            Grammar::compile(&pattern, &vocabulary(), &Budget::default()).expect("compiles");
        let Some(optimum) = fewest_tokens(&grammar, &vocabulary(), STATES) else { continue };
        let plan = grammar.matcher().min_close_tokens().expect("a completion");
        assert!(plan >= optimum, "{plan} tokens, but {optimum} are the fewest: {schema}");
        tried += 1;
        planned += plan;
        fewest += optimum;
        if plan * 10 > optimum * 11 {
            longer.push(format!("{plan} for {optimum}: {schema}"));
        }
    }
    eprintln!(
        "{tried} schemas: {planned} tokens, {fewest} at least; {} are more than a tenth over",
        longer.len()
    );
    assert!(planned * 10 <= fewest * 11, "{planned} tokens in place of {fewest}: {longer:#?}");
    // Most of these spell a short text with a token that spans two lexemes, such as the string `":"`.
    assert!(longer.len() * 100 <= tried * 15, "{} of {tried}: {longer:#?}", longer.len());
}
