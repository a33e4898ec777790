//! JSON Schemas of answers.

use serde_json::{Map, Value, json};
use understudy_proto::v1::{Constraint, JsonSchema, Validator, constraint::Kind, validator};

use crate::eval::suite::{constraint, validator as of_kind};

/// The answer is such JSON, without whitespace.
pub(super) fn compact(schema: &Value) -> Constraint {
    constraint(Kind::JsonSchema(JsonSchema {
        schema: schema.to_string(),
        compact: true,
        ..JsonSchema::default()
    }))
}

/// The answer is such JSON, spaced in any way.
pub(super) fn is_matched(schema: &Value) -> Validator {
    let held_to = JsonSchema { schema: schema.to_string(), ..JsonSchema::default() };
    of_kind(validator::Kind::Matches(constraint(Kind::JsonSchema(held_to))))
}

/// Objects with these members and no others.
pub(super) fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false
    })
}

/// `{"intent": ..., "slots": {...}}`: each intent with the slots that it may have.
pub(super) fn of_frames<'a>(intents: impl Iterator<Item = (&'a str, Map<String, Value>)>) -> Value {
    let frame = |(intent, slots): (&str, Map<String, Value>)| {
        let mut members = Map::new();
        members.insert("intent".into(), json!({"const": intent}));
        members.insert("slots".into(), object(slots, &[]));
        object(members, &["intent", "slots"])
    };
    json!({"anyOf": intents.map(frame).collect::<Vec<_>>()})
}

/// Arrays of calls of declared functions: `{"name": ..., "arguments": {...}}`.
pub(super) fn of_calls(functions: &[Value]) -> Value {
    let calls: Vec<Value> = functions
        .iter()
        .map(|function| {
            let mut members = Map::new();
            members.insert("name".into(), json!({"const": function["name"]}));
            members.insert("arguments".into(), of_type(&function["parameters"]));
            object(members, &["name", "arguments"])
        })
        .collect();
    json!({"type": "array", "items": {"anyOf": calls}})
}

/// A type in the leaderboard's words, which are Python's, Java's and JavaScript's, in those of JSON Schema. What it
/// does not say is not held to anything.
fn of_type(declared: &Value) -> Value {
    let word = declared["type"].as_str().unwrap_or_default().to_ascii_lowercase();
    match word.as_str() {
        "dict" | "object" | "hashmap" => members(declared),
        "array" | "list" | "tuple" | "arraylist" | "set" => {
            json!({"type": "array", "items": of_type(&declared["items"])})
        }
        "integer" | "int" | "long" | "short" | "byte" | "bigint" => json!({"type": "integer"}),
        "float" | "double" | "number" => json!({"type": "number"}),
        "boolean" => json!({"type": "boolean"}),
        "string" | "char" => match &declared["enum"] {
            Value::Array(words) if words.iter().any(Value::is_string) => {
                json!({"enum": words.iter().filter(|word| word.is_string()).collect::<Vec<_>>()})
            }
            _ => json!({"type": "string"}),
        },
        _ => json!({}),
    }
}

/// An object with its declared members, or any object where none are declared.
fn members(declared: &Value) -> Value {
    let Some(properties) = declared["properties"].as_object().filter(|declared| !declared.is_empty()) else {
        return json!({"type": "object"});
    };
    let required = declared["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let required: Vec<&str> = required.filter(|name| properties.contains_key(*name)).collect();
    object(properties.iter().map(|(name, of)| (name.clone(), of_type(of))).collect(), &required)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_the_leaderboard_become_json_schema() {
        let function = json!({"name": "f", "parameters": {"type": "dict", "required": ["a", "gone"], "properties": {
            "a": {"type": "tuple", "items": {"type": "float"}},
            "b": {"type": "String", "enum": ["x", "y", 3]},
            "c": {"type": "any"},
            "d": {"type": "dict"},
            "e": {"type": "integer", "description": "text"}
        }}});
        let schema = of_calls(&[function]);
        let call = &schema["items"]["anyOf"][0];
        assert_eq!(call["properties"]["name"], json!({"const": "f"}));
        let arguments = &call["properties"]["arguments"];
        assert_eq!(
            (&arguments["required"], &arguments["additionalProperties"]),
            (&json!(["a"]), &json!(false))
        );
        let wanted = json!({
            "a": {"type": "array", "items": {"type": "number"}}, "b": {"enum": ["x", "y"]}, "c": {},
            "d": {"type": "object"}, "e": {"type": "integer"}
        });
        assert_eq!(arguments["properties"], wanted);
        assert_eq!(
            of_calls(&[json!({"name": "g", "parameters": {"type": "dict", "properties": {}}})])["items"]["anyOf"]
                [0]["properties"]["arguments"],
            json!({"type": "object"})
        );
    }
}
