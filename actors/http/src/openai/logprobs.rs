//! Log-probabilities of tokens.

use serde_json::{Map, Value, json};
use understudy_proto::v1::TokenLogprob;

/// Most alternatives of a token.
pub(crate) const MOST_ALTERNATIVES: u32 = 20;

/// As chat tells them.
pub(crate) fn content(tokens: &[TokenLogprob]) -> Value {
    let with_top = |token: &TokenLogprob| {
        let mut told = one(token);
        told["top_logprobs"] = token.top.iter().map(one).collect();
        told
    };
    json!({"content": tokens.iter().map(with_top).collect::<Vec<_>>(), "refusal": null})
}

fn one(token: &TokenLogprob) -> Value {
    json!({"token": text(token), "logprob": token.logprob, "bytes": token.token})
}

/// As completions tell them; the first token stands at `offset` in the text.
pub(crate) fn columns(tokens: &[TokenLogprob], offset: usize) -> Value {
    let top = |token: &TokenLogprob| {
        token.top.iter().map(|one| (text(one), one.logprob.into())).collect::<Map<String, Value>>()
    };
    let mut next = offset;
    let offsets = tokens.iter().map(|token| {
        let at = next;
        next += token.token.len();
        at
    });
    json!({
        "tokens": tokens.iter().map(text).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets.collect::<Vec<_>>(),
    })
}

fn text(token: &TokenLogprob) -> String {
    String::from_utf8_lossy(&token.token).into_owned()
}
