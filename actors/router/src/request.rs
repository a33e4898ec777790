//! What a caller asks of the router.

use understudy_engine::{codec::ChatMessage, verbs::SamplerSpec};
use understudy_grammars::Pattern;

pub use crate::policy_spec::PolicySpec;
pub use crate::validators::ValidatorSpec;

/// One request.
#[derive(Debug, Clone)]
pub struct AnswerRequest {
    /// The conversation; the last message is the user's.
    pub messages: Vec<ChatMessage>,
    /// How.
    pub policy: PolicySpec,
    /// Rungs, cheapest first; empty takes the configured ladder.
    pub ladder: Vec<String>,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Sampling of every rung.
    pub sampler: SamplerSpec,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Constraint on the answer.
    pub constraint: Option<Pattern>,
    /// What the request is for, in the caller's word: says which calibrated profile judges it, if there is
    /// one, and groups requests in the ledger. May be empty.
    pub task: String,
    /// What a complete answer is tried by.
    pub validators: Vec<ValidatorSpec>,
    /// Whether the answer's evidence is wanted in the ledger, even where nobody has to judge.
    pub collect_evidence: bool,
}

impl AnswerRequest {
    /// One question with every other field at its default (512 tokens, greedy).
    pub fn ask(question: impl Into<String>, policy: PolicySpec) -> Self {
        Self {
            messages: vec![ChatMessage { role: "user".into(), content: question.into() }],
            policy,
            ladder: Vec::new(),
            max_tokens: 512,
            sampler: SamplerSpec::default(),
            stop: Vec::new(),
            constraint: None,
            task: String::new(),
            validators: Vec::new(),
            collect_evidence: false,
        }
    }
}
