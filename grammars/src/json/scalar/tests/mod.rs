//! Against the `jsonschema` crate: what an automaton accepts is valid, and what is valid is
//! accepted where the rules promise it.

mod bench;
mod decimal;
mod format;
mod number;
mod pattern;
mod text;

use serde_json::{Value, json};

use super::{Decimal, Logic};
use crate::Budget;
use crate::lexeme::{Automaton, START};

fn budget() -> Budget {
    Budget::default()
}

/// Whether a text is accepted as a whole.
fn accepts(automaton: &Automaton, text: &str) -> bool {
    let end = text.bytes().try_fold(START, |state, byte| automaton.step(state, byte));
    end.is_some_and(|end| automaton.ending(end).is_some())
}

/// A text that an automaton accepts: `choices` say where to go, then it goes to the nearest end.
fn walk(automaton: &Automaton, choices: &[u16]) -> String {
    let (mut state, mut text) = (START, Vec::new());
    for choice in choices {
        let ways: Vec<u8> = (0..=u8::MAX).filter(|byte| automaton.step(state, *byte).is_some()).collect();
        let Some(byte) = ways.get(usize::from(*choice) % ways.len().max(1)) else { break };
        text.push(*byte);
        state = automaton.step(state, *byte).expect("a way");
    }
    let (rest, _) = automaton.shortest(state).expect("every state can end");
    text.extend(rest);
    String::from_utf8(text).expect("texts are UTF-8")
}

/// A schema as the oracle judges it, formats included.
fn oracle(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(true).build(schema).expect("a schema")
}

/// A combination as a schema; `test` gives that of one condition.
fn schema<T>(logic: &Logic<T>, test: &impl Fn(&T) -> Value) -> Value {
    let all = |parts: &[Logic<T>]| parts.iter().map(|part| schema(part, test)).collect::<Vec<_>>();
    match logic {
        Logic::All(parts) if parts.is_empty() => json!(true),
        Logic::Any(parts) if parts.is_empty() => json!(false),
        Logic::All(parts) => json!({ "allOf": all(parts) }),
        Logic::Any(parts) => json!({ "anyOf": all(parts) }),
        Logic::Not(part) => json!({ "not": schema(part, test) }),
        Logic::Is(is) => test(is),
    }
}

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).expect("a number")
}
