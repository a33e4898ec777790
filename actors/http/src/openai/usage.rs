//! Token counts and reasons as OpenAI has them.

use serde_json::{Value, json};
use understudy_proto::v1::{Finished, Usage};

/// Of several answers to one prompt: the prompt counts once.
pub(crate) fn of<'a>(answers: impl IntoIterator<Item = &'a Finished>) -> Usage {
    let mut all: Option<Usage> = None;
    for answer in answers {
        let one = answer.usage.unwrap_or_default();
        match &mut all {
            None => all = Some(one),
            Some(all) => all.completion_tokens += one.completion_tokens,
        }
    }
    all.unwrap_or_default()
}

/// As chat and completions tell it.
pub(crate) fn json(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_prompt_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

/// As responses tell it.
pub(crate) fn flat_json(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_prompt_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    })
}

/// Why an answer ended, in OpenAI's words. An answer that a deadline or a lost engine cut is `length`: it is not
/// complete. The exact word stands in `understudy.finish_reason`.
pub(crate) fn finish_reason(finished: &Finished) -> &'static str {
    match finished.finish_reason.as_str() {
        "stop" | "constraint" => "stop",
        "tool_calls" => "tool_calls",
        _ => "length",
    }
}
