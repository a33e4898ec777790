//! The object `understudy` of a request: what OpenAI's API has no field for.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use understudy_gateway::Failure;
use understudy_proto::v1::{
    Choice, Constraint, GenerateRequest, Graphql, JsonSchema, Lark, Priority, Protobuf, Sql, constraint::Kind,
};

use super::naming::Target;
use crate::strict::invalid;

/// How an answer should come about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Extension {
    /// `NAME[:param=value,...]`, several joined by `+`.
    pub(crate) policy: Option<String>,
    /// Rungs, cheapest first.
    ladder: Vec<String>,
    /// The policy's parameter of that name.
    pub(crate) alpha: Option<f32>,
    /// Likewise.
    pub(crate) max_teacher_share: Option<f32>,
    /// Milliseconds.
    pub(crate) deadline_ms: Option<u64>,
    task: String,
    priority: Option<Word>,
    /// Tell our own events and the whole account.
    pub(crate) explain: bool,
    constraint: Option<Form>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Interactive,
    Agent,
    Batch,
}

/// What the answer must look like: exactly one of these.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Regex(String),
    Choice(Vec<String>),
    JsonSchema(Value),
    SqlSchema(String),
    GraphqlSchema(String),
    Lark(String),
    Protobuf(Message),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    files: HashMap<String, String>,
    message: String,
    #[serde(default)]
    format: MessageFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MessageFormat {
    #[default]
    Text,
    Json,
}

impl Extension {
    /// Writes into the request what it says; the model's name has its part in it.
    ///
    /// # Errors
    /// `REQUEST_INVALID`, `POLICY_UNKNOWN`.
    pub(crate) fn apply(self, model: &str, request: &mut GenerateRequest) -> Result<(), Failure> {
        let Target { policy, model } = Target::of(model, &self)?;
        (request.policy, request.model) = (policy, model);
        request.ladder = self.ladder;
        request.task = self.task;
        if let Some(word) = self.priority {
            request.set_priority(match word {
                Word::Interactive => Priority::Interactive,
                Word::Agent => Priority::Agent,
                Word::Batch => Priority::Batch,
            });
        }
        match self.constraint {
            Some(_) if request.constraint.is_some() => {
                Err(invalid("understudy.constraint", "is set together with a response format"))
            }
            Some(form) => {
                request.constraint = Some(Constraint { kind: Some(form.kind()) });
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Form {
    fn kind(self) -> Kind {
        match self {
            Self::Regex(expression) => Kind::Regex(expression),
            Self::Choice(options) => Kind::Choice(Choice { options }),
            Self::JsonSchema(schema) => {
                Kind::JsonSchema(JsonSchema { schema: schema.to_string(), ..Default::default() })
            }
            Self::SqlSchema(schema) => Kind::Sql(Sql { schema, ..Default::default() }),
            Self::GraphqlSchema(schema) => Kind::Graphql(Graphql { schema, ..Default::default() }),
            Self::Lark(grammar) => Kind::Lark(Lark { grammar }),
            Self::Protobuf(Message { files, message, format }) => Kind::Protobuf(Protobuf {
                files: files.into_iter().collect(),
                message,
                json: format == MessageFormat::Json,
                ..Default::default()
            }),
        }
    }
}
