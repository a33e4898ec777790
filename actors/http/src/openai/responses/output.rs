//! An answer as items, and the events that tell of them.

use serde_json::{Value, json};
use understudy_proto::v1::{Finished, Message, ToolCall};

use super::object::Frame;
use crate::{ids, telling::Said};

/// An event of a stream: its type and the rest.
pub(super) type Told = (&'static str, Value);

/// What there is of an answer.
pub(super) struct Output {
    /// Tells the calls of this response from those of others.
    unique: String,
    done: Vec<Value>,
    open: Option<Open>,
    calls: Vec<ToolCall>,
    text: String,
    finished: Finished,
}

/// The item that is being written.
enum Open {
    Message { id: String, text: String },
    Call { id: String, call: ToolCall },
}

impl Output {
    pub(super) fn new(frame: &Frame) -> Self {
        Self {
            unique: frame.id.trim_start_matches("resp_").to_owned(),
            done: Vec::new(),
            open: None,
            calls: Vec::new(),
            text: String::new(),
            finished: Finished::default(),
        }
    }

    /// Takes in what was said; the events that tell of it.
    pub(super) fn hear(&mut self, said: Said) -> Vec<Told> {
        match said {
            Said::Event(_) => Vec::new(),
            Said::Text(piece) => self.write(&piece.text),
            Said::Call { index, name } => self.call(index, name),
            Said::Arguments { json, .. } => self.argue(&json),
            Said::End(finished) => {
                self.finished = *finished;
                let mut told = Vec::new();
                // An answer without a word is an empty message.
                if self.done.is_empty() && self.open.is_none() {
                    told.extend(self.begin_message());
                }
                told.extend(self.close());
                told
            }
        }
    }

    /// The response at its end, and the answer as a turn.
    pub(super) fn completed(self, frame: &Frame) -> (Value, Message) {
        let turn = Message {
            role: "assistant".into(),
            content: self.text,
            tool_calls: self.calls,
            ..Message::default()
        };
        (frame.ended(&self.finished, &self.done), turn)
    }

    /// The items that are complete.
    pub(super) fn items(&self) -> &[Value] {
        &self.done
    }

    fn write(&mut self, more: &str) -> Vec<Told> {
        if more.is_empty() {
            return Vec::new();
        }
        let mut told = Vec::new();
        if !matches!(self.open, Some(Open::Message { .. })) {
            told.extend(self.close());
            told.extend(self.begin_message());
        }
        self.text.push_str(more);
        if let Some(Open::Message { id, text }) = &mut self.open {
            text.push_str(more);
            let delta = json!({
                "item_id": id, "output_index": self.done.len(), "content_index": 0, "delta": more, "logprobs": [],
            });
            told.push(("response.output_text.delta", delta));
        }
        told
    }

    fn begin_message(&mut self) -> [Told; 2] {
        let (id, at) = (ids::new("msg"), self.done.len());
        let item = message(&id, "in_progress", Vec::new());
        let part = json!({
            "item_id": id, "output_index": at, "content_index": 0, "part": output_text(""),
        });
        self.open = Some(Open::Message { id, text: String::new() });
        [
            ("response.output_item.added", json!({"output_index": at, "item": item})),
            ("response.content_part.added", part),
        ]
    }

    fn call(&mut self, index: usize, name: String) -> Vec<Told> {
        let mut told = self.close();
        let call = ToolCall { id: format!("call_{}_{index}", self.unique), name, arguments: String::new() };
        let id = ids::new("fc");
        let item = function_call(&id, "in_progress", &call);
        self.open = Some(Open::Call { id, call });
        told.push(("response.output_item.added", json!({"output_index": self.done.len(), "item": item})));
        told
    }

    fn argue(&mut self, more: &str) -> Vec<Told> {
        let Some(Open::Call { id, call }) = &mut self.open else { return Vec::new() };
        call.arguments.push_str(more);
        let delta = json!({"item_id": id, "output_index": self.done.len(), "delta": more});
        vec![("response.function_call_arguments.delta", delta)]
    }

    /// The open item is complete.
    fn close(&mut self) -> Vec<Told> {
        let at = self.done.len();
        let (item, mut told) = match self.open.take() {
            None => return Vec::new(),
            Some(Open::Message { id, text }) => {
                let part = output_text(&text);
                let place = |rest: Value| {
                    let mut event = json!({"item_id": id, "output_index": at, "content_index": 0});
                    if let (Some(event), Value::Object(rest)) = (event.as_object_mut(), rest) {
                        event.extend(rest);
                    }
                    event
                };
                let told = vec![
                    ("response.output_text.done", place(json!({"text": text, "logprobs": []}))),
                    ("response.content_part.done", place(json!({"part": part}))),
                ];
                (message(&id, "completed", vec![part]), told)
            }
            Some(Open::Call { id, call }) => {
                let event = json!({
                    "item_id": id, "output_index": at, "name": call.name, "arguments": call.arguments,
                });
                let item = function_call(&id, "completed", &call);
                self.calls.push(call);
                (item, vec![("response.function_call_arguments.done", event)])
            }
        };
        told.push(("response.output_item.done", json!({"output_index": at, "item": item})));
        self.done.push(item);
        told
    }
}

fn message(id: &str, status: &str, content: Vec<Value>) -> Value {
    json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
}

fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn function_call(id: &str, status: &str, call: &ToolCall) -> Value {
    json!({
        "id": id, "type": "function_call", "status": status, "call_id": call.id, "name": call.name,
        "arguments": call.arguments,
    })
}
