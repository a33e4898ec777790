//! Tools of a request: what its prompt says of them, what its answer is held to, and the calls in the end.
//!
//! | choice | the prompt tells of | the answer |
//! |---|---|---|
//! | auto | all tools | text, then calls or none; or calls without marks |
//! | none | none | anything |
//! | required | all tools | calls and nothing else |
//! | required, one named | that tool | one call of it |

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use understudy_engine::codec::{ChatMessage, Tool, ToolCall};
use understudy_proto::v1;
use understudy_router::{CallReader, CallsSpec, Pattern, ToolSpec};

use crate::{Failure, wire::invalid};

/// What a request says of tools.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    /// What the prompt tells of.
    pub(crate) told: Vec<Tool>,
    /// What calls are held to.
    pub(crate) constraint: Option<Pattern>,
}

impl Tools {
    /// # Errors
    /// `REQUEST_INVALID` with the field.
    pub(crate) fn of(request: &v1::GenerateRequest) -> Result<Self, Failure> {
        let choice = v1::ToolChoice::try_from(request.tool_choice)
            .map_err(|_| invalid("tool_choice", "is none that this node knows"))?;
        let is_required = choice == v1::ToolChoice::Required;
        if !request.tool.is_empty() && !is_required {
            return Err(invalid("tool", "is for the choice required"));
        }
        if request.tools.is_empty() && is_required {
            return Err(invalid("tool_choice", "is required, and there are no tools"));
        }
        if request.tools.is_empty() {
            return Ok(Self::default());
        }
        let mut spec = CallsSpec { tools: Vec::new(), text: !is_required, many: !request.single_tool_call };
        for (index, tool) in request.tools.iter().enumerate() {
            check_parameters(index, &tool.parameters)?;
            spec.tools.push(ToolSpec { name: tool.name.clone(), parameters: tool.parameters.clone() });
        }
        spec.check().map_err(|wrong| invalid("tools", &format!("are not as they should be: {wrong}")))?;
        if choice == v1::ToolChoice::None {
            return Ok(Self::default());
        }
        if request.constraint.is_some() {
            return Err(invalid("tools", "are set together with a constraint; use one of them"));
        }
        if !request.tool.is_empty() {
            spec.tools.retain(|tool| tool.name == request.tool);
            spec.many = false;
        }
        if spec.tools.is_empty() {
            return Err(invalid("tool", &format!("{:?} is none of the tools", request.tool)));
        }
        let is_told = |tool: &&v1::Tool| request.tool.is_empty() || tool.name == request.tool;
        let told = request.tools.iter().filter(is_told).map(|tool| Tool {
            name: tool.name.clone(),
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
        });
        Ok(Self { told: told.collect(), constraint: Some(Pattern::Calls(spec)) })
    }
}

fn check_parameters(index: usize, schema: &str) -> Result<(), Failure> {
    match schema.is_empty() || serde_json::from_str::<Map<String, Value>>(schema).is_ok() {
        true => Ok(()),
        false => Err(invalid(&format!("tools[{index}].parameters"), "must be a JSON Schema of an object")),
    }
}

/// Turns of a conversation; what a tool says belongs to a call before it.
///
/// # Errors
/// `REQUEST_INVALID` with the field.
pub(crate) fn turns(messages: Vec<v1::Message>) -> Result<Vec<ChatMessage>, Failure> {
    let mut turns: Vec<ChatMessage> = Vec::with_capacity(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        let wrong = |field: &str, why: &str| Err(invalid(&format!("messages[{index}].{field}"), why));
        let v1::Message { role, content, tool_calls, tool_call_id } = message;
        if !tool_calls.is_empty() && role != "assistant" {
            return wrong("tool_calls", "are an assistant's");
        }
        if let Some(odd) = tool_calls.iter().position(|call| !is_object(&call.arguments)) {
            return wrong(&format!("tool_calls[{odd}].arguments"), "must be a JSON object");
        }
        let mut calls = turns.iter().flat_map(|turn| &turn.tool_calls);
        if !tool_call_id.is_empty() {
            match role.as_str() {
                "tool" if calls.any(|call| call.id == tool_call_id) => {}
                "tool" => return wrong("tool_call_id", "is of no call before"),
                _ => return wrong("tool_call_id", "is a tool's"),
            }
        }
        let call = |call: v1::ToolCall| ToolCall { id: call.id, name: call.name, arguments: call.arguments };
        let tool_calls = tool_calls.into_iter().map(call).collect();
        turns.push(ChatMessage { role, content, tool_calls, tool_call_id });
    }
    Ok(turns)
}

fn is_object(json: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(json).is_ok()
}

/// A request whose answer may call tools.
pub(crate) struct Callable {
    request_id: String,
    tools: Vec<String>,
}

impl Callable {
    /// None, where nothing can be called.
    pub(crate) fn of(request_id: &str, constraint: Option<&Pattern>) -> Option<Self> {
        let Some(Pattern::Calls(calls)) = constraint else { return None };
        let tools = calls.tools.iter().map(|tool| tool.name.clone()).collect();
        Some(Self { request_id: request_id.to_owned(), tools })
    }
}

/// Adds the calls that the text asks for. A call that was cut off is none, and an answer that was given up asks for
/// nothing.
pub(crate) fn conclude(asked: &Callable, end: &mut v1::Finished) {
    let is_over = ["stop", "constraint"].contains(&end.finish_reason.as_str());
    if !is_over && end.finish_reason != "length" {
        return;
    }
    let (_, calls) = CallReader::of_tools(asked.tools.iter().cloned()).read(&end.text);
    let whole = calls.into_iter().enumerate().filter(|(_, (_, arguments))| is_object(arguments));
    end.tool_calls = whole
        .map(|(index, (name, arguments))| v1::ToolCall {
            id: call_id(&asked.request_id, index),
            name,
            arguments,
        })
        .collect();
    if is_over && !end.tool_calls.is_empty() {
        end.finish_reason = CALLED.to_owned();
    }
}

/// Why an answer ended that asks for calls.
const CALLED: &str = "tool_calls";

/// The id of a request's call, by its place among the calls of the answer, from 0: whoever reads a stream knows it
/// before the end.
pub fn call_id(request_id: &str, index: usize) -> String {
    let digest = Sha256::digest(format!("{request_id}\n{index}"));
    let letters: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("call_{letters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, parameters: &str) -> v1::Tool {
        v1::Tool { name: name.into(), description: "d".into(), parameters: parameters.into() }
    }

    fn request(tools: &[v1::Tool], choice: v1::ToolChoice) -> v1::GenerateRequest {
        v1::GenerateRequest { tools: tools.to_vec(), tool_choice: choice.into(), ..Default::default() }
    }

    type Change = fn(&mut v1::GenerateRequest);

    #[test]
    fn choices_say_what_is_told_and_what_is_allowed() {
        let two = [tool("find", ""), tool("send", r#"{"type": "object"}"#)];
        let same: Change = |_| {};
        let single: Change = |r| r.single_tool_call = true;
        let named: Change = |r| r.tool = "send".into();
        for (choice, change, told, allowed) in [
            (v1::ToolChoice::Unspecified, same, "find send", Some((true, true))),
            (v1::ToolChoice::Auto, single, "find send", Some((true, false))),
            (v1::ToolChoice::None, same, "", None),
            (v1::ToolChoice::Required, same, "find send", Some((false, true))),
            (v1::ToolChoice::Required, named, "send", Some((false, false))),
        ] {
            let mut request = request(&two, choice);
            change(&mut request);
            let tools = Tools::of(&request).unwrap();
            let names: Vec<_> = tools.told.iter().map(|tool| tool.name.as_str()).collect();
            assert_eq!(names.join(" "), told, "{choice:?}");
            let Some((text, many)) = allowed else {
                assert_eq!(tools.constraint, None);
                continue;
            };
            let Some(Pattern::Calls(spec)) = tools.constraint else { panic!("{choice:?} is free") };
            assert_eq!((spec.text, spec.many), (text, many), "{choice:?}");
            assert!(spec.tools.iter().map(|tool| &tool.name).eq(&names), "{choice:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = || vec![tool("find", "")];
        let required = v1::ToolChoice::Required;
        let same: Change = |_| {};
        let cases: [(&str, Vec<v1::Tool>, v1::ToolChoice, Change); 9] = [
            ("tool_choice", vec![], required, same),
            ("tool_choice", good(), required, |r| r.tool_choice = 77),
            ("tool", good(), v1::ToolChoice::Auto, |r| r.tool = "find".into()),
            ("tool", good(), required, |r| r.tool = "fin".into()),
            ("tools", vec![tool("a b", "")], required, same),
            ("tools", vec![tool("a", ""), tool("a", "")], v1::ToolChoice::None, same),
            ("tools", vec![tool("a", ""); 129], required, same),
            ("tools[1].parameters", vec![tool("a", ""), tool("b", "[]")], required, same),
            ("tools", good(), required, |r| r.constraint = Some(v1::Constraint::default())),
        ];
        for (field, tools, choice, change) in cases {
            let mut request = request(&tools, choice);
            change(&mut request);
            assert_eq!(Tools::of(&request).unwrap_err().fields[0].0, field, "{request:?}");
        }
    }

    #[test]
    fn results_belong_to_calls() {
        let call = |arguments: &str| v1::ToolCall {
            id: "c1".into(),
            name: "find".into(),
            arguments: arguments.into(),
        };
        let called = |role: &str, arguments: &str| v1::Message {
            role: role.into(),
            tool_calls: vec![call(arguments)],
            ..Default::default()
        };
        let result = |role: &str, id: &str| v1::Message {
            role: role.into(),
            content: "3".into(),
            tool_call_id: id.into(),
            ..Default::default()
        };
        let taken = turns(vec![called("assistant", r#"{"q": 1}"#), result("tool", "c1"), result("tool", "")]);
        assert_eq!(taken.unwrap()[0].tool_calls[0].arguments, r#"{"q": 1}"#);
        for (messages, field) in [
            (vec![called("user", "{}")], "messages[0].tool_calls"),
            (vec![called("assistant", "3")], "messages[0].tool_calls[0].arguments"),
            (vec![result("tool", "c1"), called("assistant", "{}")], "messages[0].tool_call_id"),
            (vec![called("assistant", "{}"), result("user", "c1")], "messages[1].tool_call_id"),
        ] {
            assert_eq!(turns(messages).unwrap_err().fields[0].0, field);
        }
    }

    #[test]
    fn calls_are_read_from_the_end_and_their_ids_are_stable() {
        let call =
            |json: &str| format!("<tool_call>\n{{\"name\": \"find\", \"arguments\": {json}}}\n</tool_call>");
        let whole = call(r#"{"q": 1}"#);
        let cut = format!("{whole}\n<tool_call>\n{{\"name\": \"find\", \"arguments\": {{\"q\": ");
        let bare = "```json\n{\"name\": \"find\", \"arguments\": {\"q\": 1}}\n```";
        let asked = Callable { request_id: "r1".into(), tools: vec!["find".into()] };
        for (text, reason, count, told) in [
            (whole.as_str(), "constraint", 1, "tool_calls"),
            (bare, "stop", 1, "tool_calls"),
            (&bare.replace("find", "seek"), "stop", 0, "stop"),
            (&format!("I look.\n{whole}\n{whole}"), "stop", 2, "tool_calls"),
            (&cut, "length", 1, "length"),
            (&cut, "cancelled", 0, "cancelled"),
            ("no call", "stop", 0, "stop"),
        ] {
            let mut end =
                v1::Finished { text: text.into(), finish_reason: reason.into(), ..Default::default() };
            conclude(&asked, &mut end);
            assert_eq!((end.tool_calls.len(), end.finish_reason.as_str()), (count, told), "{text}");
            for (index, call) in end.tool_calls.iter().enumerate() {
                assert_eq!((call.arguments.as_str(), &call.id), (r#"{"q": 1}"#, &call_id("r1", index)));
            }
        }
        assert_eq!(call_id("r1", 0).len(), "call_".len() + 24);
        assert!(call_id("r1", 0) != call_id("r1", 1) && call_id("r1", 0) != call_id("r2", 0));
    }
}
