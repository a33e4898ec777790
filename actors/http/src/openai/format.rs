//! What form the answer has.

use serde::Deserialize;
use serde_json::{Value, json};
use understudy_proto::v1::{Constraint, JsonSchema, constraint::Kind};

use super::fields::WithoutEffect;

/// `response_format` of chat.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Format {
    Text {},
    JsonObject {},
    JsonSchema { json_schema: Schema },
}

/// `text.format` of responses: the same, one level flatter.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum FlatFormat {
    Text {},
    JsonObject {},
    JsonSchema {
        #[serde(rename = "name")]
        _name: String,
        #[serde(default, rename = "description")]
        _description: WithoutEffect,
        schema: Value,
        #[serde(default, rename = "strict")]
        _strict: WithoutEffect,
    },
}

/// A schema with its name. Answers are always held to it, `strict` or not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schema {
    #[serde(rename = "name")]
    _name: String,
    #[serde(default, rename = "description")]
    _description: WithoutEffect,
    #[serde(default)]
    schema: Option<Value>,
    #[serde(default, rename = "strict")]
    _strict: WithoutEffect,
}

impl Format {
    /// What the answer is held to.
    pub(crate) fn constraint(self) -> Option<Constraint> {
        match self {
            Self::Text {} => None,
            Self::JsonObject {} => Some(held_to(&object())),
            Self::JsonSchema { json_schema } => Some(held_to(&json_schema.schema.unwrap_or_else(object))),
        }
    }
}

impl FlatFormat {
    /// What the answer is held to.
    pub(crate) fn constraint(self) -> Option<Constraint> {
        match self {
            Self::Text {} => None,
            Self::JsonObject {} => Some(held_to(&object())),
            Self::JsonSchema { schema, .. } => Some(held_to(&schema)),
        }
    }
}

/// Any object.
pub(crate) fn object() -> Value {
    json!({"type": "object"})
}

/// JSON that this schema accepts.
pub(crate) fn held_to(schema: &Value) -> Constraint {
    let schema = JsonSchema { schema: schema.to_string(), ..JsonSchema::default() };
    Constraint { kind: Some(Kind::JsonSchema(schema)) }
}
