//! What a caller asks of the router.

use understudy_engine::{
    codec::{ChatMessage, Tool},
    verbs::SamplerSpec,
};
use understudy_grammars::Pattern;

pub use crate::policy_spec::PolicySpec;
pub use crate::validators::ValidatorSpec;

/// One request.
#[derive(Debug, Clone)]
pub struct AnswerRequest {
    /// The conversation; the last message is the user's.
    pub messages: Vec<ChatMessage>,
    /// What the prompt says can be called. Whether calls are held to it is the constraint's business.
    pub tools: Vec<Tool>,
    /// How.
    pub policy: PolicySpec,
    /// Rungs, cheapest first; empty takes the configured ladder.
    pub ladder: Vec<String>,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Sampling of every rung. Its lane, at most [`MOST_LANE`](crate::MOST_LANE), tells parallel answers to one
    /// question apart.
    pub sampler: SamplerSpec,
    /// Tell the log-probability of each token, and of so many alternatives, at most 20.
    pub top_logprobs: Option<u8>,
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

/// What a prompt is made of.
pub(crate) type Conversation = (Vec<ChatMessage>, Vec<Tool>);

impl AnswerRequest {
    pub(crate) fn conversation(&self) -> Conversation {
        (self.messages.clone(), self.tools.clone())
    }

    /// One question with every other field at its default (512 tokens, greedy).
    pub fn ask(question: impl Into<String>, policy: PolicySpec) -> Self {
        Self {
            messages: vec![ChatMessage::new("user", question)],
            tools: Vec::new(),
            policy,
            ladder: Vec::new(),
            max_tokens: 512,
            sampler: SamplerSpec::default(),
            top_logprobs: None,
            stop: Vec::new(),
            constraint: None,
            task: String::new(),
            validators: Vec::new(),
            collect_evidence: false,
        }
    }
}
