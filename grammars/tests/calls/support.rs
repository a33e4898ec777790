//! A small vocabulary, some tools, and a judge of whole texts.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, OnceLock};

use regex::Regex;
use serde_json::Value;
use understudy_grammars::measure::{Case, Sample};
use understudy_grammars::{
    Budget, CallsSpec, Constraint, Grammar, Matcher, Pattern, TokenId, ToolSpec, Vocabulary,
};

pub const END: TokenId = 256;

/// All bytes, an end, and tokens that cross the borders of text, marks, names and arguments.
pub fn vocabulary() -> Arc<Vocabulary> {
    static VOCABULARY: OnceLock<Arc<Vocabulary>> = OnceLock::new();
    let make = || {
        let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
        tokens.push(Vec::new());
        let longer = [
            "<tool_call>",
            "<tool_call>\n",
            "<tool",
            "tool_call",
            "_call>\n{\"",
            ">\n",
            ">\n{\"name\": \"",
            "<<",
            "x<",
            "é<",
            "a<tool_",
            "no <tool_call>\n{",
            "{\"name",
            "name\": \"",
            "time",
            "time\"",
            "time_zone\", \"arg",
            "\", \"arguments\": ",
            "\", \"arguments\": {}",
            "\": ",
            "\": {\"",
            "{}}",
            "{}}\n</tool_call>",
            "\"}}\n",
            "}}",
            "}\n",
            "</tool_call>",
            "</tool_call>\n<tool_call>\n{\"name",
            "</tool_call>\n\n",
            "\n<",
            "city",
            "Paris",
            "12",
            ", ",
            "  ",
            "hello",
            "é\"",
            "{\"",
            " {",
            "```",
            "```json\n{",
            "\"name\": \"time_",
            "\"time\",",
            "\":",
            ": {",
            "}}\n```",
            "}\n{\"name\"",
            "\n\n",
        ];
        tokens.extend(longer.iter().map(|text| text.as_bytes().to_vec()));
        tokens.push(vec![b'a', 0xC3]);
        tokens.push(vec![0xA9, b'<']);
        Arc::new(Vocabulary::new("bytes and calls", tokens, vec![END]))
    };
    VOCABULARY.get_or_init(make).clone()
}

pub fn tool(name: &str, parameters: &str) -> ToolSpec {
    ToolSpec { name: name.into(), parameters: parameters.into() }
}

/// Tools of which one's name begins with another's.
pub fn tools() -> Vec<ToolSpec> {
    vec![
        tool("time", r#"{"type": "object", "properties": {}}"#),
        tool(
            "time_zone",
            r#"{"type": "object", "properties": {"city": {"type": "string", "maxLength": 5},
                "hours": {"type": "integer", "minimum": -12, "maximum": 14}},
                "required": ["city"], "additionalProperties": false}"#,
        ),
        tool("any", ""),
    ]
}

pub fn pattern(text: bool, many: bool) -> Pattern {
    Pattern::Calls(CallsSpec { tools: tools(), text, many })
}

/// All four kinds of answers.
pub const KINDS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

pub fn compile(pattern: &Pattern) -> Arc<Grammar> {
    Grammar::compile(pattern, &vocabulary(), &Budget::default()).expect("compiles")
}

pub fn allowed(matcher: &mut Matcher) -> BTreeSet<TokenId> {
    let mut words = vec![u32::MAX; vocabulary().len().div_ceil(32)];
    matcher.mask(&mut words);
    (0..vocabulary().len() as TokenId).filter(|id| words[*id as usize / 32] >> (id % 32) & 1 == 1).collect()
}

/// Reads a text byte by byte.
pub fn read(grammar: &Arc<Grammar>, text: &[u8]) -> Option<Matcher> {
    let mut matcher = grammar.matcher();
    text.iter().all(|byte| matcher.try_accept(TokenId::from(*byte))).then_some(matcher)
}

pub fn accepts(grammar: &Arc<Grammar>, text: &str) -> bool {
    read(grammar, text.as_bytes()).is_some_and(|mut matcher| matcher.is_accepting())
}

/// A text under a pattern, cut into bytes.
pub fn case(name: impl Into<String>, pattern: Pattern, texts: &[&str]) -> Case {
    let sample = |text: &&str| Sample { tokens: text.bytes().map(TokenId::from).collect(), valid: true };
    Case { name: name.into(), pattern, samples: texts.iter().map(sample).collect() }
}

/// Names and arguments.
pub type Calls = Vec<(String, String)>;

/// What a text that is complete says by the form alone: the text before the calls, and the calls. Fails with what
/// is wrong.
pub fn judge(spec: &CallsSpec, text: &str) -> Result<(String, Calls), String> {
    if let Some(calls) = judge_unmarked(spec, text) {
        return Ok((String::new(), calls?));
    }
    let begin = text.find("<tool_call>").unwrap_or(text.len());
    let (prose, mut rest) = text.split_at(begin);
    let mut calls = Vec::new();
    while !rest.is_empty() {
        let named = rest.strip_prefix("<tool_call>\n{\"name\": \"").ok_or("no call")?;
        let (name, after) = named.split_once("\", \"arguments\": ").ok_or("no arguments")?;
        let (arguments, after) = judge_arguments(spec, name, after)?;
        calls.push((name.to_owned(), arguments.to_owned()));
        let after = after.strip_prefix("}\n</tool_call>").ok_or("no end of a call")?;
        rest = after.strip_prefix('\n').unwrap_or(after);
        if after == "\n" {
            return Err("a line break at the end".into());
        }
    }
    if !spec.text && (!prose.is_empty() || calls.is_empty()) {
        return Err("no call, or text before it".into());
    }
    if !spec.many && calls.len() > 1 {
        return Err("several calls".into());
    }
    Ok((prose.to_owned(), calls))
}

/// Splits the arguments of a call off, if they are valid for the tool.
fn judge_arguments<'a>(spec: &CallsSpec, name: &str, text: &'a str) -> Result<(&'a str, &'a str), String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next().ok_or("no value")?.map_err(|error| error.to_string())?;
    let tool = spec.tools.iter().find(|tool| tool.name == name).ok_or("an unknown tool")?;
    let schema = if tool.parameters.is_empty() { "{}" } else { &tool.parameters };
    let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    let is_valid = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?.is_valid(&value);
    match is_valid && value.is_object() {
        true => Ok(text.split_at(values.byte_offset())),
        false => Err(format!("{value} is not valid for {name}")),
    }
}

/// The same of an answer that begins as a call without marks; `None` where it does not.
fn judge_unmarked(spec: &CallsSpec, text: &str) -> Option<Result<Calls, String>> {
    let (mut in_fence, name, mut rest) = begun(spec, text).filter(|_| spec.text)?;
    let mut name = name.to_owned();
    let mut calls = Vec::new();
    loop {
        let (arguments, after) = match judge_arguments(spec, &name, rest) {
            Ok(split) => split,
            Err(wrong) => return Some(Err(wrong)),
        };
        calls.push((name, arguments.to_owned()));
        let Some(after) = after.strip_prefix('}') else { return Some(Err("no end of a call".into())) };
        let (was_in_fence, closed) = (in_fence, after.strip_prefix("\n```").filter(|_| in_fence));
        rest = closed.unwrap_or(after);
        in_fence &= closed.is_none();
        if rest.is_empty() {
            return Some(if in_fence { Err("no end of a fence".into()) } else { Ok(calls) });
        }
        let next = begun(spec, rest).filter(|_| spec.many);
        let next = next.filter(|(fenced, ..)| !fenced || was_in_fence && !in_fence);
        let Some((fenced, next, after)) = next else { return Some(Err("something after a call".into())) };
        in_fence |= fenced;
        (name, rest) = (next.to_owned(), after);
    }
}

/// Whether a call without marks of a tool is in a fence, the tool, and the text from its arguments on.
fn begun<'a>(spec: &CallsSpec, text: &'a str) -> Option<(bool, &'a str, &'a str)> {
    static HEAD: LazyLock<Regex> = LazyLock::new(|| {
        let head = r#"^B(```[A-Za-z0-9]{0,16}B)?\{B"name"B:B"([^"]*)"B,B"arguments"B:B\{"#;
        Regex::new(&head.replace('B', r"[ \t\n\r]{0,16}")).expect("an expression")
    });
    let found = HEAD.captures(text)?;
    let name = found.get(2)?.as_str();
    let is_known = spec.tools.iter().any(|tool| tool.name == name);
    is_known.then(|| (found.get(1).is_some(), name, &text[found[0].len() - 1..]))
}
