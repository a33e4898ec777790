//! What a caller asks of the router.

use understudy_engine::{codec::ChatMessage, verbs::SamplerSpec};
use understudy_grammars::Pattern;

/// How models work together on an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicySpec {
    /// One model.
    Direct {
        /// Which; `None` takes the ladder's first rung.
        model: Option<String>,
    },
    /// Ask the cheapest rung first, escalate while its confidence is too low.
    Cascade {
        /// Overrides the configured threshold of every rung.
        threshold: Option<f32>,
    },
}

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
        }
    }
}
