//! What the suites of intents and slots share: the prompt, worked examples, the schema.

use serde_json::{Map, Value, json};
use understudy_proto::v1::Message;

use crate::eval::judge::{Judge, frame::FrameJudge};
use crate::eval::suite::{Item, Question, message, schema};

/// Ends each system message.
const ASK: &str = "Answer with one JSON object and nothing else, like \
    {\"intent\":\"NAME\",\"slots\":{\"SLOT\":\"VALUE\"}}, with the slots that the sentence fills and no others.";

/// An intent that may be chosen.
pub(super) struct Intent {
    pub name: String,
    /// For the prompt; may be empty.
    pub description: String,
    /// Names of its slots, with what their values are.
    pub slots: Vec<(String, Kind)>,
}

/// What a slot's value is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
}

/// What all items of a suite share.
pub(super) struct Frames {
    system: String,
    examples: &'static [(&'static str, &'static str)],
    schema: Value,
}

impl Frames {
    /// `head` says what the sentences are, `tail` what else there is to know.
    pub fn new(
        head: &str,
        intents: &[Intent],
        tail: &str,
        examples: &'static [(&'static str, &'static str)],
    ) -> Self {
        let lines: String = intents.iter().map(line).collect();
        Self { system: format!("{head}\n{lines}{tail}{ASK}"), examples, schema: schema_of(intents) }
    }

    /// A sentence with its frame.
    pub fn item(&self, id: String, sentence: &str, frame: FrameJudge) -> Item {
        let mut messages: Vec<Message> = vec![message("system", &self.system)];
        for (sentence, frame) in self.examples {
            messages.push(message("user", *sentence));
            messages.push(message("assistant", *frame));
        }
        messages.push(message("user", sentence));
        let slots: Map<String, Value> =
            frame.slots.iter().map(|(name, right)| (name.clone(), shown(right))).collect();
        let expected = json!({"intent": frame.intent, "slots": slots});
        let work = Question {
            messages,
            judge: Judge::Frame(frame),
            constraint: Some(schema::compact(&self.schema)),
            validators: vec![schema::is_matched(&self.schema)],
        };
        Item { id, work: work.into_work(), expected }
    }
}

fn line(intent: &Intent) -> String {
    let names: Vec<&str> = intent.slots.iter().map(|(name, _)| name.as_str()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    match intent.description.as_str() {
        "" => format!("- {}: slots {names}\n", intent.name),
        description => format!("- {}: {description}; slots {names}\n", intent.name),
    }
}

fn schema_of(intents: &[Intent]) -> Value {
    let value = |kind: &Kind| match kind {
        Kind::Text => json!({"type": "string", "minLength": 1}),
        Kind::Number => json!({"type": "number"}),
    };
    schema::of_frames(intents.iter().map(|intent| {
        let slots = intent.slots.iter().map(|(name, kind)| (name.clone(), value(kind)));
        (intent.name.as_str(), slots.collect())
    }))
}

fn shown(right: &[Value]) -> Value {
    match right {
        [only] => only.clone(),
        several => json!(several),
    }
}
