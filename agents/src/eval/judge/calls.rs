//! Function calls, judged by the rules of the Berkeley Function Calling Leaderboard ("AST
//! match"; Patil et al., "The Berkeley Function Calling Leaderboard", 2025, section on single
//! turn): the right function, every required parameter, no unknown one, each value one of the
//! allowed ones; a parameter may be left out when `""` is allowed. Texts are compared without
//! white space, case and punctuation. Several calls may come in any order.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::eval::judge::{Verdict, json};

/// Judges the calls of an answer.
#[derive(Debug, Clone)]
pub struct CallJudge {
    /// What may be called, by name.
    pub functions: BTreeMap<String, Function>,
    /// The right calls: function and, by parameter, the allowed values. None of them: the
    /// right answer calls nothing.
    pub expected: Vec<(String, Map<String, Value>)>,
}

/// What a function takes.
#[derive(Debug, Clone, Default)]
pub struct Function {
    /// Parameters that a call must have.
    pub required: Vec<String>,
    /// Type of each parameter, in the words of the suite.
    pub types: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq)]
struct Call {
    name: String,
    arguments: Map<String, Value>,
}

impl CallJudge {
    /// Judges.
    pub fn verdict(&self, answer: &str) -> Verdict {
        let mut calls = self.calls(answer);
        if calls.len() != self.expected.len() {
            return Verdict::Wrong(format!("{} calls, not {}", calls.len(), self.expected.len()));
        }
        for (name, allowed) in &self.expected {
            let mismatches: Vec<Option<String>> =
                calls.iter().map(|call| self.mismatch(call, name, allowed)).collect();
            match mismatches.iter().position(Option::is_none) {
                Some(fitting) => calls.remove(fitting),
                None => {
                    let why = mismatches.into_iter().flatten().next();
                    return Verdict::Wrong(why.unwrap_or_else(|| format!("no call of {name}")));
                }
            };
        }
        Verdict::Right
    }

    /// Every call in the JSON of an answer, whatever stands around it.
    fn calls(&self, answer: &str) -> Vec<Call> {
        let mut calls = Vec::new();
        json::values(answer).for_each(|value| self.collect(value, &mut calls));
        calls
    }

    fn collect(&self, value: Value, calls: &mut Vec<Call>) {
        let mut object = match value {
            Value::Array(values) => return values.into_iter().for_each(|value| self.collect(value, calls)),
            Value::Object(object) => object,
            _ => return,
        };
        if let Some(inner) = object
            .remove("tool_calls")
            .or_else(|| object.remove("function"))
            .filter(|inner| !inner.is_string())
        {
            return self.collect(inner, calls);
        }
        let arguments = object.remove("arguments").or_else(|| object.remove("parameters"));
        if let Some(Value::String(name)) = object.remove("name") {
            let arguments = match arguments {
                Some(Value::Object(arguments)) => arguments,
                Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
                _ => Map::new(),
            };
            return calls.push(Call { name, arguments });
        }
        // `{"function": {"parameter": value}}`
        for (name, arguments) in object {
            if let (true, Value::Object(arguments)) = (self.functions.contains_key(&name), arguments) {
                calls.push(Call { name, arguments });
            }
        }
    }

    /// What is wrong with a call; `None` when nothing is.
    fn mismatch(&self, call: &Call, name: &str, allowed: &Map<String, Value>) -> Option<String> {
        if call.name != name {
            return Some(format!("calls {}, not {name}", call.name));
        }
        let function = self.functions.get(name).cloned().unwrap_or_default();
        if let Some(missing) =
            function.required.iter().find(|required| !call.arguments.contains_key(*required))
        {
            return Some(format!("{name} lacks {missing}"));
        }
        for (parameter, value) in &call.arguments {
            let Some(choices) = allowed.get(parameter).map(choices) else {
                return Some(format!("{name} has no use for {parameter}"));
            };
            let kind = function.types.get(parameter).map_or("any", String::as_str);
            if !has_kind(value, kind) && !choices.iter().any(|choice| same_kind(choice, value)) {
                return Some(format!("{name}: {parameter} is no {kind}"));
            }
            if !choices.iter().any(|choice| fits(value, choice)) {
                return Some(format!("{name}: {parameter} is {value}"));
            }
        }
        let left_out = |(parameter, value): &(&String, &Value)| {
            !call.arguments.contains_key(*parameter) && !may_be_left_out(value)
        };
        allowed.iter().find(left_out).map(|(parameter, _)| format!("{name} lacks {parameter}"))
    }
}

/// Allowed values of a parameter; a lone value stands for itself.
fn choices(allowed: &Value) -> &[Value] {
    match allowed {
        Value::Array(choices) => choices,
        one => std::slice::from_ref(one),
    }
}

fn may_be_left_out(allowed: &Value) -> bool {
    choices(allowed).iter().any(|choice| choice.as_str() == Some(""))
}

/// Whether a value has a type of the suite, in the words of Python, Java or JavaScript.
fn has_kind(value: &Value, kind: &str) -> bool {
    match kind.to_ascii_lowercase().as_str() {
        "integer" | "int" | "long" | "short" | "byte" | "bigint" => value.is_i64() || value.is_u64(),
        "float" | "double" | "number" => value.is_number(),
        "string" | "char" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" | "tuple" | "arraylist" | "list" | "set" => value.is_array(),
        "dict" | "hashmap" | "object" => value.is_object(),
        _ => true,
    }
}

fn same_kind(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.is_f64() == b.is_f64(),
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// Whether a value is an allowed one. Inside of an object each key has its own choices.
fn fits(value: &Value, choice: &Value) -> bool {
    match (value, choice) {
        (Value::String(value), Value::String(choice)) => plain(value) == plain(choice),
        (Value::Number(value), Value::Number(choice)) => value.as_f64() == choice.as_f64(),
        (Value::Array(values), Value::Array(choices)) => {
            values.len() == choices.len()
                && values.iter().zip(choices).all(|(value, choice)| fits(value, choice))
        }
        (Value::Object(value), Value::Object(choice)) => {
            let fitting = |(key, value): (&String, &Value)| {
                choice.get(key).is_some_and(|allowed| {
                    fits(value, allowed) || choices(allowed).iter().any(|choice| fits(value, choice))
                })
            };
            value.iter().all(fitting)
                && choice.iter().all(|(key, allowed)| value.contains_key(key) || may_be_left_out(allowed))
        }
        _ => value == choice,
    }
}

/// Without case, blanks and the punctuation that the leaderboard ignores.
fn plain(text: &str) -> String {
    let kept = text.chars().filter(|c| !matches!(c, ' ' | ',' | '.' | '/' | '-' | '_' | '*' | '^'));
    kept.collect::<String>().to_lowercase().replace('\'', "\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(expected: &Value) -> CallJudge {
        let types = [
            ("x", "integer"),
            ("f", "float"),
            ("city", "string"),
            ("list", "array"),
            ("opt", "dict"),
            ("on", "boolean"),
        ];
        let function = Function {
            required: vec!["x".into()],
            types: types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into(),
        };
        let functions = [("f.g".to_owned(), function), ("h".to_owned(), Function::default())].into();
        let expected = expected
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|call| call.as_object().unwrap())
            .map(|(name, allowed)| (name.clone(), allowed.as_object().unwrap().clone()));
        CallJudge { functions, expected: expected.collect() }
    }

    #[track_caller]
    fn check(expected: &Value, cases: &[(&str, bool)]) {
        for (answer, right) in cases {
            let verdict = judge(expected).verdict(answer);
            assert_eq!(verdict == Verdict::Right, *right, "{expected} / {answer}: {verdict:?}");
        }
    }

    #[test]
    fn calls_are_found_in_any_wrapping() {
        check(
            &json!([{"f.g": {"x": [4]}}]),
            &[
                (r#"[{"name": "f.g", "arguments": {"x": 4}}]"#, true),
                (r#"{"name": "f.g", "parameters": {"x": 4}}"#, true),
                (r#"{"name": "f.g", "arguments": "{\"x\": 4}"}"#, true),
                (r#"{"f.g": {"x": 4}}"#, true),
                ("Sure [1]:\n```json\n[{\"name\": \"f.g\", \"arguments\": {\"x\": 4}}]\n```", true),
                (r#"<tool_call>{"name": "f.g", "arguments": {"x": 4}}</tool_call>"#, true),
                (
                    r#"{"tool_calls": [{"type": "function", "function": {"name": "f.g", "arguments": {"x": 4}}}]}"#,
                    true,
                ),
                (r#"[{"name": "f_g", "arguments": {"x": 4}}]"#, false),
                (r#"[{"name": "h", "arguments": {"x": 4}}]"#, false),
                (r#"[{"name": "f.g", "arguments": {"x": 4}}, {"name": "h"}]"#, false),
                (r#"[{"name": "f.g", "arguments": {"x": 4"#, false),
                (r#"{"other": {"x": 4}}"#, false),
                ("f.g(x=4)", false),
                ("", false),
            ],
        );
    }

    #[test]
    fn values_follow_the_leaderboard() {
        let call = |arguments: &str| format!(r#"{{"name": "f.g", "arguments": {arguments}}}"#);
        let expected = json!([{"f.g": {
            "x": [4, 5], "f": ["", 1.0], "city": ["", "Tel Aviv, Israel"], "list": ["", ["A", "b-c"]],
            "opt": ["", {"k": [1, 2], "o": ["", "p"]}], "on": ["", true]
        }}]);
        let cases = [
            (r#"{"x": 4}"#, true),
            (r#"{"x": 5, "f": 1}"#, true),
            (r#"{"x": 5, "f": 1.5}"#, false),
            (r#"{"x": 4.0}"#, false),
            (r#"{"x": "4"}"#, false),
            (r#"{"f": 1.0}"#, false),
            (r#"{"x": 4, "y": 1}"#, false),
            (r#"{"x": 4, "city": "tel-aviv israel"}"#, true),
            (r#"{"x": 4, "city": "Tel Aviv"}"#, false),
            (r#"{"x": 4, "list": ["a", "B C"]}"#, true),
            (r#"{"x": 4, "list": ["b-c", "A"]}"#, false),
            (r#"{"x": 4, "opt": {"k": 2}}"#, true),
            (r#"{"x": 4, "opt": {"k": 2, "o": "P"}}"#, true),
            (r#"{"x": 4, "opt": {"o": "p"}}"#, false),
            (r#"{"x": 4, "opt": {"k": 1, "z": 1}}"#, false),
            (r#"{"x": 4, "on": 1}"#, false),
            (r#"{"x": 4, "on": true}"#, true),
            (r#"{"x": null}"#, false),
        ];
        for (arguments, right) in cases {
            check(&expected, &[(&call(arguments), right)]);
        }
        // Not required, but the reference has it.
        check(&json!([{"f.g": {"x": [4], "f": [1.0]}}]), &[(&call(r#"{"x": 4}"#), false)]);
    }

    #[test]
    fn several_calls_in_any_order_and_none() {
        let two = json!([{"f.g": {"x": [1]}}, {"f.g": {"x": [2]}}]);
        let call = |x: u32| format!(r#"{{"name": "f.g", "arguments": {{"x": {x}}}}}"#);
        check(
            &two,
            &[
                (&format!("[{}, {}]", call(2), call(1)), true),
                (&format!("{}\n{}", call(1), call(2)), true),
                (&format!("[{}, {}]", call(1), call(1)), false),
                (&call(1), false),
            ],
        );
        check(&json!([]), &[("[]", true), ("None of these helps.", true), (&call(1), false)]);
    }

    #[test]
    fn hostile_answers_end() {
        for answer in
            ["[".repeat(200_000), "{\"a\":".repeat(100_000), "[1,".repeat(100_000), "é[{é".repeat(50_000)]
        {
            assert_ne!(judge(&json!([{"h": {}}])).verdict(&answer), Verdict::Right);
        }
    }
}
