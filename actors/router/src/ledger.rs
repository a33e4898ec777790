//! Who wrote what, at which cost, and why.

use std::collections::BTreeMap;

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
    /// Tokens drafted for another model to check; those that it refused are among the wasted.
    pub tokens_drafted: u32,
    /// Engine work.
    pub cost: Cost,
    /// Of the drafted tokens, those that did not stand.
    pub drafts_refused: u32,
    /// When the rung was first asked, in milliseconds after the request.
    pub asked_ms: f64,
    /// When it was last heard, likewise; as `asked_ms` where it never was.
    pub heard_ms: f64,
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
    /// The next segment is written by another model.
    FriendCall,
    /// The pen goes back.
    FriendReturn,
    /// Drafting stops: it would not pay.
    DraftOff,
    /// Evidence on an answer was taken.
    Validate,
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
            Self::FriendCall => "friend_call",
            Self::FriendReturn => "friend_return",
            Self::DraftOff => "draft_off",
            Self::Validate => "validate",
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
    /// What was known before anything was written: shape and vector of the question. Empty where neither the
    /// policy nor the request asked for it.
    pub prompt: BTreeMap<String, f64>,
    /// Answers that were judged, in the order in which they were complete.
    pub candidates: Vec<CandidateRecord>,
}

/// A complete answer that was judged, and on what evidence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CandidateRecord {
    /// Model that led.
    pub model: String,
    /// Whether it became the answer.
    pub chosen: bool,
    /// Probability that it is good, where one was computed.
    pub confidence: Option<f32>,
    /// What the confidence is made of: [`Features::named`](crate::confidence::Features::named), and
    /// what validators found.
    pub evidence: BTreeMap<String, f64>,
    /// What the answer comes to, in a form that is equal for answers that agree.
    pub outcome: Option<String>,
    /// What each validator said.
    pub validators: Vec<ValidatorRecord>,
    /// When it was judged, in milliseconds after the request; the validators had run just before.
    pub judged_ms: f64,
}

/// What a validator said.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatorRecord {
    /// Its name.
    pub name: String,
    /// What it found.
    pub verdict: Verdict,
    /// Details, for people.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// What a validator finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong as far as it can see.
    Pass,
    /// The answer is wrong.
    Fail,
    /// It could not tell.
    Unknown,
}

impl Verdict {
    /// The word in JSON and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}
