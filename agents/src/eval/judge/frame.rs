//! Intent and slots: the whole frame is right, or the answer is wrong.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::eval::judge::{Verdict, json};

/// Judges by the frame `{"intent": TEXT, "slots": {NAME: VALUE}}`, the first object of the answer that has an intent.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameJudge {
    /// The right intent.
    pub intent: String,
    /// The right slots, all of them: each with the values of which any will do.
    pub slots: BTreeMap<String, Vec<Value>>,
}

impl FrameJudge {
    /// Judges.
    pub fn verdict(&self, answer: &str) -> Verdict {
        let frame = json::values(answer).find_map(|value| match value {
            Value::Object(frame) if frame.contains_key("intent") => Some(frame),
            _ => None,
        });
        match frame {
            None => Verdict::Wrong("no intent in the answer".into()),
            Some(frame) => self.mismatch(&frame).map_or(Verdict::Right, Verdict::Wrong),
        }
    }

    fn mismatch(&self, frame: &Map<String, Value>) -> Option<String> {
        let intent = &frame["intent"];
        if intent.as_str() != Some(&self.intent) {
            return Some(format!("the intent is {intent}, not {}", self.intent));
        }
        let none = Map::new();
        let slots = frame.get("slots").and_then(Value::as_object).unwrap_or(&none);
        if let Some(missing) = self.slots.keys().find(|name| !slots.contains_key(*name)) {
            return Some(format!("lacks {missing}"));
        }
        slots.iter().find_map(|(name, value)| match self.slots.get(name) {
            None => Some(format!("has no use for {name}")),
            Some(right) if right.iter().any(|right| plain(right) == plain(value)) => None,
            Some(_) => Some(format!("{name} is {value}")),
        })
    }
}

/// Texts without case and blanks around and between; numbers by value, and also as text.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.to_lowercase(),
        other => other.to_string(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.parse::<f64>().map_or(text, |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_whole_frame_counts() {
        let slots = [
            ("name".to_owned(), vec![json!("pizza"), json!("Pizza Timer")]),
            ("minutes".to_owned(), vec![json!(5)]),
        ];
        let judge = FrameJudge { intent: "Add".into(), slots: slots.into() };
        let cases = [
            (r#"{"intent": "Add", "slots": {"name": "pizza", "minutes": 5}}"#, true),
            (r#"Sure: {"slots": {"minutes": "5.0", "name": " PIZZA  timer"}, "intent": "Add"}"#, true),
            (r#"[1] {"a": 1} {"intent": "Add", "slots": {"name": "pizza", "minutes": 5}}"#, true),
            (r#"{"intent": "add", "slots": {"name": "pizza", "minutes": 5}}"#, false),
            (r#"{"intent": "Add", "slots": {"name": "pizza"}}"#, false),
            (r#"{"intent": "Add", "slots": {"name": "pizza", "minutes": 6}}"#, false),
            (r#"{"intent": "Add", "slots": {"name": "pizza", "minutes": 5, "area": "x"}}"#, false),
            (r#"{"intent": "Add"}"#, false),
            (r#"{"intent": null, "slots": []}"#, false),
            ("Add pizza", false),
            ("", false),
        ];
        for (answer, right) in cases {
            assert_eq!(
                judge.verdict(answer) == Verdict::Right,
                right,
                "{answer}: {:?}",
                judge.verdict(answer)
            );
        }
        let empty = FrameJudge { intent: "Stop".into(), slots: BTreeMap::new() };
        assert_eq!(empty.verdict(r#"{"intent": "Stop"}"#), Verdict::Right);
    }
}
