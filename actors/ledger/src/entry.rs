//! One request. The names are those of `ask --json`, which scripts rely on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One request: what was asked of whom, what came of it, and what was said of it later.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// When it ended: milliseconds since 1970, UTC. Set by the ledger.
    pub time_ms: i64,
    /// The caller's id, or the node's. Need not be unique.
    pub request_id: String,
    /// Whose request it was; empty for the local user.
    pub tenant: String,
    /// The kind of task that it named; may be empty.
    pub task: String,
    /// The policy as it was asked for, with its parameters.
    pub policy: String,
    /// Models that could be asked, cheapest first.
    pub ladder: Vec<String>,
    /// Model that wrote the end.
    pub model: String,
    /// Why the answer ended: `stop`, `length`, ...
    pub finish_reason: String,
    /// The authoring model's arithmetic.
    pub numerics: String,
    /// Tokens.
    pub usage: Usage,
    /// Times.
    pub timing: Timing,
    /// Digest of the conversation: equal in one file for equal conversations.
    pub prompt_digest: String,
    /// Digest of the answer, likewise. Set by the ledger.
    pub answer_digest: String,
    /// Who wrote what, at which cost, and why.
    pub ledger: Account,
    /// The conversation. Kept only with content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// The answer. Kept only with content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What was said of the answer, one for each source; the newest is last.
    pub feedback: Vec<Feedback>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// Tokens, as the authoring model counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Of the text.
    pub completion_tokens: u32,
    /// Of the prompt, from the prefix cache.
    pub cached_prompt_tokens: u32,
}

/// Milliseconds, and tokens per second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// To the first text that a reader saw.
    pub ttft_ms: f64,
    /// To the end.
    pub total_ms: f64,
    /// Of the authoring model, after its first token.
    pub decode_tok_s: f64,
}

/// Who wrote what, at which cost, and why.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Authors of the text.
    pub spans: Vec<Span>,
    /// Cost per model.
    pub rungs: Vec<RungCost>,
    /// Tokens drafted for verification.
    pub drafted: u32,
    /// Of these, accepted.
    pub accepted: u32,
    /// Tokens that a constraint left no choice about.
    pub forced: u32,
    /// In order.
    pub decisions: Vec<Decision>,
    /// Answers that were judged, in the order in which they were complete.
    pub candidates: Vec<Candidate>,
}

/// A stretch of the answer by one author.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Span {
    /// Model.
    pub author: String,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Tokens it took.
    pub tokens: u32,
    /// Why this author, for people. Kept only with content: it may quote.
    pub why: String,
}

/// One model's part.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RungCost {
    /// Model.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens in the final text.
    pub tokens_kept: u32,
    /// Tokens thrown away.
    pub tokens_wasted: u32,
    /// Tokens drafted for another model to check.
    pub tokens_drafted: u32,
    /// Rows computed: prompt and generated.
    pub row_steps: u64,
    /// Passes that had a row of this request.
    pub forward_passes: u64,
    /// Bytes of weights and KV read.
    pub bytes_read: u64,
    /// Wall time.
    pub ms: f64,
}

/// What a policy decided.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// `stay`, `escalate`, ...
    pub kind: String,
    /// Model it was about.
    pub from: String,
    /// Model that takes over.
    pub to: Option<String>,
    /// Why, for people. Kept only with content: it may quote.
    pub reason: String,
    /// Where one was computed.
    pub confidence: Option<f32>,
    /// What it was compared with.
    pub threshold: Option<f32>,
}

/// A complete answer that was judged.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Candidate {
    /// Model.
    pub model: String,
    /// Whether it became the answer.
    pub chosen: bool,
    /// Probability that it is good.
    pub confidence: Option<f32>,
    /// What the confidence is made of.
    pub evidence: BTreeMap<String, f64>,
    /// What the answer comes to: a form that is equal for answers that agree; without content its digest.
    pub outcome: Option<String>,
    /// What was found by trying it.
    pub validators: Vec<Validation>,
}

/// What a validator found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Validation {
    /// Which.
    pub name: String,
    /// `pass`, `fail` or `unknown`.
    pub verdict: String,
    /// For people. Kept only with content: it may quote.
    pub detail: String,
    /// How long it took.
    pub ms: f64,
}

/// What was said of an answer after it was given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Feedback {
    /// Whether it was right.
    pub ok: bool,
    /// Who says so.
    pub source: String,
    /// Milliseconds since 1970, UTC.
    pub time_ms: i64,
}

impl Entry {
    /// The model of the last rung, by which others are measured.
    pub fn teacher(&self) -> Option<&str> {
        self.ladder.last().map(String::as_str)
    }

    /// What is said of the answer: by the newest feedback.
    pub fn told(&self) -> Option<bool> {
        self.feedback.last().map(|feedback| feedback.ok)
    }

    /// Bytes of the text that it holds, about: what it takes while it waits.
    pub(crate) fn weight(&self) -> usize {
        let messages = self.messages.iter().flatten().map(|message| message.content.len());
        let outcomes = self.ledger.candidates.iter().filter_map(|judged| judged.outcome.as_ref());
        let details = self.ledger.candidates.iter().flat_map(|judged| &judged.validators);
        messages.sum::<usize>()
            + self.text.as_ref().map_or(0, String::len)
            + outcomes.map(String::len).sum::<usize>()
            + details.map(|found| found.detail.len()).sum::<usize>()
    }
}
