//! The response itself.

use serde_json::{Map, Value, json};
use understudy_proto::v1::{Finished, Message};

use crate::{native, openai::usage};

/// What was asked for, as far as the response repeats it.
pub(super) struct Frame {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) tenant: String,
    pub(super) stores: bool,
    pub(super) in_background: bool,
    pub(super) explains: bool,
    /// All turns before the answer, without instructions.
    pub(super) conversation: Vec<Message>,
    pub(super) model: String,
    pub(super) instructions: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) format: Option<Value>,
    pub(super) tools: Vec<Value>,
    pub(super) tool_choice: Option<Value>,
    pub(super) parallel_tool_calls: bool,
    pub(super) metadata: Map<String, Value>,
}

impl Frame {
    /// The response while `output` is what there is of it.
    pub(super) fn object(&self, status: &str, output: &[Value]) -> Value {
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": self.in_background,
            "error": null,
            "incomplete_details": null,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "model": self.model,
            "output": output,
            "parallel_tool_calls": self.parallel_tool_calls,
            "previous_response_id": self.previous,
            "store": self.stores,
            "temperature": self.temperature.unwrap_or_default(),
            "text": {"format": self.format.clone().unwrap_or_else(|| json!({"type": "text"}))},
            "tool_choice": self.tool_choice.clone().unwrap_or_else(|| "auto".into()),
            "tools": self.tools,
            "top_p": self.top_p.unwrap_or(1.0),
            "truncation": "disabled",
            "usage": null,
            "metadata": self.metadata,
        })
    }

    /// The response at its end.
    pub(super) fn ended(&self, finished: &Finished, output: &[Value]) -> Value {
        let is_whole = usage::finish_reason(finished) != "length";
        let mut object = self.object(if is_whole { "completed" } else { "incomplete" }, output);
        if !is_whole {
            object["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        object["usage"] = usage::flat_json(finished.usage.unwrap_or_default());
        object["understudy"] = native::answer(finished, self.explains);
        object
    }
}
