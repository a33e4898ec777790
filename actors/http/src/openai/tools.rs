//! Functions that a model may call, and whether it does.

use serde::Deserialize;
use serde_json::Value;
use understudy_gateway::Failure;
use understudy_proto::v1::{self, GenerateRequest, ToolChoice};

use super::fields::WithoutEffect;
use crate::strict::{self, invalid};

/// A function as chat has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<FunctionSpec>,
}

/// What a function is called and takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FunctionSpec {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Value>,
    /// Calls are always held to their schema.
    #[serde(default, rename = "strict")]
    _strict: WithoutEffect,
}

impl Tool {
    /// # Errors
    /// `REQUEST_INVALID` for another kind than functions.
    pub(crate) fn tool(self, path: &str) -> Result<v1::Tool, Failure> {
        match (self.kind.as_str(), self.function) {
            ("function", Some(function)) => Ok(function.tool()),
            ("function", None) => Err(invalid(&format!("{path}.function"), "is missing")),
            (kind, _) => Err(unknown_kind(kind, path)),
        }
    }
}

impl FunctionSpec {
    /// As we have it.
    pub(crate) fn tool(self) -> v1::Tool {
        v1::Tool {
            name: self.name,
            description: self.description.unwrap_or_default(),
            parameters: self.parameters.map(|schema| schema.to_string()).unwrap_or_default(),
        }
    }
}

/// A tool of this kind is none of ours.
pub(crate) fn unknown_kind(kind: &str, path: &str) -> Failure {
    invalid(&format!("{path}.type"), format!("{kind:?} is not supported: tools are functions"))
}

/// Writes the choice of tools into the request: `"none"`, `"auto"`, `"required"` or one function, as chat
/// (`{"type", "function": {"name"}}`) or the Responses API (`{"type", "name"}`) names it.
///
/// # Errors
/// `REQUEST_INVALID`.
pub(crate) fn choose(
    request: &mut GenerateRequest,
    choice: Option<Value>,
    parallel: Option<bool>,
) -> Result<(), Failure> {
    request.single_tool_call = parallel == Some(false);
    let choice = match choice {
        None | Some(Value::Null) => return Ok(()),
        Some(choice) => choice,
    };
    let wish = match choice.as_str() {
        Some("none") => ToolChoice::None,
        Some("auto") => ToolChoice::Auto,
        Some("required") => ToolChoice::Required,
        Some(_) => return Err(invalid("tool_choice", "is none of none, auto, required and a function")),
        None => {
            request.tool = named(choice)?;
            ToolChoice::Required
        }
    };
    request.set_tool_choice(wish);
    let needs_tools = request.tool_choice() == ToolChoice::Required && request.tools.is_empty();
    if needs_tools { Err(invalid("tool_choice", "asks for a call, and there are no tools")) } else { Ok(()) }
}

fn named(choice: Value) -> Result<String, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        #[serde(rename = "type")]
        kind: String,
        name: Option<String>,
        function: Option<Function>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Function {
        name: String,
    }
    let Named { kind, name, function } = strict::value(choice, "tool_choice")?;
    if kind != "function" {
        return Err(unknown_kind(&kind, "tool_choice"));
    }
    let name = function.map(|function| function.name).or(name);
    name.ok_or_else(|| invalid("tool_choice.function", "is missing"))
}
