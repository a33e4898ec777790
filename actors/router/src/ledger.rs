//! Who wrote what, at which cost, and why.

use understudy_engine::verbs::Cost;

/// A stretch of the answer by one author. Spans cover the text exactly once, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Model that wrote it.
    pub author: String,
    /// First byte in the text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// Tokens it took.
    pub tokens: u32,
    /// Reason, for people.
    pub why: String,
}

/// One model's part in a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RungCost {
    /// Model.
    pub model: String,
    /// Tokens of the prompt as this model counts them.
    pub prompt_tokens: u32,
    /// Of these, found in the prefix cache.
    pub cached_prompt_tokens: u32,
    /// Tokens in the final text.
    pub tokens_kept: u32,
    /// Tokens generated and thrown away.
    pub tokens_wasted: u32,
    /// Engine work.
    pub cost: Cost,
    /// Wall time from asking the rung to its last token.
    pub wall_ms: f64,
}

/// What a policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionKind {
    /// A model was chosen before generation.
    Route,
    /// The answer stays with its rung.
    Stay,
    /// The next rung answers instead.
    Escalate,
    /// Text already streamed is withdrawn.
    Retract,
    /// The request was refused.
    Refuse,
}

impl DecisionKind {
    /// The word in JSON and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Stay => "stay",
            Self::Escalate => "escalate",
            Self::Retract => "retract",
            Self::Refuse => "refuse",
        }
    }
}

/// One decision with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What.
    pub kind: DecisionKind,
    /// Model it was about.
    pub from: String,
    /// Model that takes over, where one does.
    pub to: Option<String>,
    /// Why, for people: names the evidence.
    pub reason: String,
    /// Calibrated confidence in 0..=1, where one was computed.
    pub confidence: Option<f32>,
    /// What it was compared with.
    pub threshold: Option<f32>,
}

/// The whole account of a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ledger {
    /// Authors of the text.
    pub spans: Vec<Span>,
    /// Cost per model, in ladder order.
    pub rungs: Vec<RungCost>,
    /// Tokens drafted for verification.
    pub drafted: u32,
    /// Of these, accepted.
    pub accepted: u32,
    /// Tokens that a constraint left no choice about.
    pub forced: u32,
    /// In order.
    pub decisions: Vec<Decision>,
}
