//! What the router streams back.

use understudy_engine::codec::Codec;
use understudy_engine::verbs::{StepResult, TokenId};

use crate::ledger::{Decision, Ledger, ValidatorRecord};

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or a stop text matched.
    Stop,
    /// The token budget or the context is spent.
    Length,
    /// The constraint is complete.
    Constraint,
    /// The deadline passed; the text so far stands.
    Deadline,
    /// An engine was lost and no twin could go on; the text so far stands.
    Interrupted,
    /// The caller cancelled.
    Cancelled,
}

impl FinishReason {
    /// The word in JSON and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Constraint => "constraint",
            Self::Deadline => "deadline",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The end of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The whole text: all deltas after the last retraction.
    pub text: String,
    /// Why it ended.
    pub reason: FinishReason,
    /// Model that wrote the last span.
    pub model: String,
    /// `direct` or `cascade`.
    pub policy: String,
    /// Prompt tokens of the authoring model, and how many were cached.
    pub prompt_tokens: u32,
    /// Tokens of the text.
    pub completion_tokens: u32,
    /// Prompt tokens from the prefix cache.
    pub cached_prompt_tokens: u32,
    /// Milliseconds from the request to the first delta that a reader saw.
    pub ttft_ms: f64,
    /// Milliseconds to the end.
    pub total_ms: f64,
    /// Tokens per second of the authoring model, after its first token.
    pub decode_tok_s: f64,
    /// The authoring model's arithmetic.
    pub numerics: String,
    /// The account.
    pub ledger: Ledger,
}

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// Its author chose it.
    #[default]
    Written,
    /// The constraint left no choice.
    Forced,
    /// A drafter proposed it, and its author let it stand.
    Accepted,
}

impl Origin {
    /// Of a token that nobody drafted.
    pub(crate) fn undrafted(step: &StepResult) -> Self {
        if step.forced { Self::Forced } else { Self::Written }
    }
}

/// What became of drafts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drafts {
    /// The model that drafted, or `lookup`.
    pub drafter: String,
    /// The model that checked.
    pub target: String,
    /// Tokens that were checked.
    pub drafted: u32,
    /// Of these, accepted.
    pub accepted: u32,
}

/// A token and how likely the model found it.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// In its author's vocabulary.
    pub id: TokenId,
    /// May be part of a character; empty for special tokens.
    pub bytes: Vec<u8>,
    /// At temperature 1 and over what the constraint allows; 0 where there was no choice.
    pub logprob: f32,
    /// The likeliest tokens at its place, best first.
    pub top: Vec<TokenLogprob>,
}

impl TokenLogprob {
    /// What is to be told of a token, spelled by its author's codec.
    pub(crate) fn of(step: &StepResult, codec: &dyn Codec) -> Self {
        let told = |id, logprob, top| Self { id, bytes: codec.token_bytes(id).to_vec(), logprob, top };
        let others = step.alternatives.iter().flat_map(|others| others.iter());
        told(step.token, step.logprob, others.map(|(id, logprob)| told(*id, *logprob, Vec::new())).collect())
    }
}

/// One event of an answer. Every answer ends with exactly one `Finished`, or the stream
/// itself ends with an error.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerEvent {
    /// Accepted; which policy and ladder will be used.
    Started {
        /// Request id.
        request_id: String,
        /// Policy word.
        policy: String,
        /// Rungs, cheapest first.
        ladder: Vec<String>,
    },
    /// A model is being fetched or loaded; the answer so far stands meanwhile.
    Loading {
        /// Model.
        model: String,
        /// Source of the file when fetching; empty when loading.
        source: String,
        /// Bytes so far and in all; 0 of 0 when loading.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A stretch of the text begins whose author, or whose reason, is another than before; its first delta
    /// follows. A retraction takes back those that begin in the withdrawn text.
    Segment {
        /// Author.
        author: String,
        /// First byte: the length of the text so far.
        start: usize,
        /// Why this author, for people; empty where one reason, known at the end, is for the whole answer.
        why: String,
    },
    /// More text, of one author and one origin.
    Delta {
        /// Author.
        model: String,
        /// Valid UTF-8, never empty.
        text: String,
        /// Tokens behind it.
        tokens: u32,
        /// Where they come from.
        origin: Origin,
        /// Each token that this text completes, if the request asks for them: text that was held back
        /// comes with the last of its tokens.
        logprobs: Vec<TokenLogprob>,
    },
    /// Drafts were checked; those that stand are in the text before. Of candidates that nobody watched, one for
    /// each pair of models once they are written.
    Drafted(Drafts),
    /// A validator has tried a complete candidate.
    Validated {
        /// The model that led in writing it.
        model: String,
        /// What it found, as in the ledger.
        found: ValidatorRecord,
    },
    /// A decision was taken.
    Decided(Decision),
    /// The last `bytes` bytes of the text shown so far are withdrawn.
    Retracted {
        /// How many bytes.
        bytes: usize,
        /// Of the tokens told in `logprobs`, so many at the end are withdrawn with them.
        tokens: u32,
        /// Author of the withdrawn text.
        model: String,
        /// Why.
        reason: String,
    },
    /// The end.
    Finished(Box<Finished>),
}
