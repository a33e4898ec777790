//! The words between an engine and whoever drives it: verbs in, events out.
//!
//! Everything here is plain data. A policy never touches tensors and an engine
//! never knows a policy; these types are all that crosses between them.

use std::sync::Arc;

use crate::gate::TokenGate;

/// A token id in the model's vocabulary.
pub type TokenId = u32;

/// A sequence that lives in an engine: a slot and the generation of that slot.
///
/// The generation makes a handle to a closed sequence fail with
/// [`EngineError::StaleSeq`](crate::EngineError::StaleSeq) instead of reaching its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeqKey {
    /// Index of the slot.
    pub slot: u32,
    /// How often the slot was reused.
    pub generation: u32,
}

/// Names one submitted verb until its [`JobEvent::Done`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// How the next token is chosen, and what is told of it. `temperature == 0` is greedy.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerSpec {
    /// Softmax temperature; 0 picks the most likely token.
    pub temperature: f32,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set whose probability reaches this; 1.0 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the most likely; 0.0 keeps all.
    pub min_p: f32,
    /// Divide (positive) or multiply (negative) logits of seen tokens; 1.0 is off.
    pub repetition_penalty: f32,
    /// Subtract this times the number of occurrences; 0.0 is off.
    pub frequency_penalty: f32,
    /// Subtract this once when the token occurred; 0.0 is off.
    pub presence_penalty: f32,
    /// How many of the last tokens the penalties look at.
    pub penalty_window: usize,
    /// The request's seed; with lane, position and purpose it keys every random number.
    pub seed: u64,
    /// Distinguishes parallel samples of one request.
    pub lane: u32,
    /// Added to the logits of tokens before anything else is done with them, log-probabilities and signals
    /// included; ids ascend. See [`check_bias`](crate::sampling::check_bias).
    pub logit_bias: Arc<[(TokenId, f32)]>,
    /// Of so many of the likeliest tokens [`StepResult::alternatives`] tells; 0 is none and costs nothing.
    pub alternatives: u8,
}

impl Default for SamplerSpec {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: 64,
            seed: 0,
            lane: 0,
            logit_bias: Arc::default(),
            alternatives: 0,
        }
    }
}

/// Which uncertainty signals accompany each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignalMode {
    /// None: the cheapest.
    #[default]
    None,
    /// Over the rows that the gate allows.
    Masked,
    /// Over the whole vocabulary.
    Full,
}

/// Uncertainty of the distribution a token was drawn from, before temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// Shannon entropy in nats.
    pub entropy: f32,
    /// Probability of the most likely token minus that of the second.
    pub margin: f32,
}

/// One generated token.
#[derive(Debug, Clone, PartialEq)]
pub struct StepResult {
    /// The token.
    pub token: TokenId,
    /// Natural log of its probability under the model (temperature 1, penalties off, bias included,
    /// over the rows that the gate allows).
    pub logprob: f32,
    /// Present as the run's [`SignalMode`] asked.
    pub signals: Option<Signals>,
    /// The gate left no other choice; excluded from confidence.
    pub forced: bool,
    /// The likeliest tokens at its place with their log-probabilities, best first, as many as
    /// [`SamplerSpec::alternatives`] asks for. Behind a pointer, since hardly anybody asks; none where
    /// there was no choice.
    pub alternatives: Option<Arc<[(TokenId, f32)]>>,
}

impl StepResult {
    /// A token that has no alternative: certain, and chosen without arithmetic.
    pub fn forced(token: TokenId) -> Self {
        Self { token, logprob: 0.0, signals: None, forced: true, alternatives: None }
    }
}

/// When a run ends before its token budget. End-of-generation tokens always end it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StopWhen {
    /// Stop *before* emitting a token drawn at an entropy above this (nats).
    pub entropy_above: Option<f32>,
    /// Stop *before* emitting a token drawn at a margin below this.
    pub margin_below: Option<f32>,
}

/// What `run` should do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunSpec {
    /// At most this many tokens; 0 only computes the prompt (pre-warming).
    pub max_tokens: u32,
    /// Early stops.
    pub stop_when: StopWhen,
    /// Signals per token.
    pub signals: SignalMode,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The model emitted an end-of-generation token (it is not part of the text).
    End,
    /// The token budget is spent.
    Length,
    /// The model's context or the engine's KV memory is full.
    ContextFull,
    /// The gate accepts nothing more: the constrained text is complete.
    Constraint,
    /// An entropy or margin threshold was crossed.
    Signal,
    /// The job was cancelled.
    Cancelled,
}

/// A drafted continuation, with the distributions that it was drawn from.
///
/// `q` is empty where every token is a point mass: copied, looked up, or a drafter's best guess.
/// Otherwise `q[i]` is sparse: `(token, probability)` pairs that sum to 1 and include `ids[i]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// Proposed tokens.
    pub ids: Vec<TokenId>,
    /// One sparse distribution per proposed token, or none at all.
    pub q: Vec<Vec<(TokenId, f32)>>,
}

impl Draft {
    /// Tokens that were not drawn.
    pub fn certain(ids: Vec<TokenId>) -> Self {
        Self { ids, q: Vec::new() }
    }

    /// Whether every token is a point mass.
    pub fn is_certain(&self) -> bool {
        self.q.iter().all(|q| q.len() == 1)
    }
}

/// Which drafted tokens stand.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Acceptance {
    /// Those that leave the target's distribution as it is. A draft of point masses changes no token
    /// at any temperature: what comes out is what [`Verb::Run`] says.
    #[default]
    Exact,
    /// Those that the target finds nearly as likely as its favourite: `p(v) >= (1 - alpha) max p`, the
    /// token-specific rule of Narasimhan et al. 2024, "Faster cascades via speculative decoding". `p` is
    /// what the target draws from (at temperature 1 where it is greedy). A token that falls gives way
    /// to the target's own draw.
    Lenient {
        /// From 0, where only a likeliest token stands, to 1, where any possible one does.
        alpha: f32,
    },
}

/// What `verify` should do.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifySpec {
    /// The draft; empty to take what the sequence's gate foresees.
    pub draft: Draft,
    /// Which of its tokens stand.
    pub acceptance: Acceptance,
    /// At most this many tokens are added to the sequence, at least 1. A longer draft is cut.
    pub most: u32,
    /// Signals per token.
    pub signals: SignalMode,
}

/// What the target made of a draft.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verified {
    /// Every token that was added to the sequence, in order: what the gate forced, drafted tokens that
    /// stand, the target's own, and what the gate forces after it.
    pub steps: Vec<StepResult>,
    /// How many tokens of the draft were checked: those that the gate forced in any case are not, nor
    /// any of a draft that the gate forbids from its start on.
    pub drafted: usize,
    /// How many of them stand.
    pub accepted: usize,
    /// How many tokens the gate foresees now: a verification without a draft checks as many.
    pub foreseen: usize,
    /// Set when generation is over. A spent `most` does not end it.
    pub stop: Option<StopReason>,
}

/// What `open` needs.
#[derive(Default)]
pub struct OpenSpec {
    /// Prompt ids, at least one.
    pub prompt: Vec<TokenId>,
    /// How tokens of this sequence are sampled.
    pub sampler: SamplerSpec,
    /// Which tokens are allowed.
    pub gate: Option<Box<dyn TokenGate>>,
    /// Whose it is: prefixes are shared within a partition only, so that no tenant learns from the time of
    /// an answer what another one has asked.
    pub partition: Arc<str>,
}

/// A verb, as submitted. Every verb that changes a sequence names the length it
/// expects (`at`), so that a retry after an unknown outcome is safe.
pub enum Verb {
    /// Make a sequence; answers [`Outcome::Opened`] before any forward pass.
    Open(OpenSpec),
    /// Append tokens that someone else chose.
    Extend {
        /// Sequence.
        seq: SeqKey,
        /// Its expected length in tokens.
        at: usize,
        /// Tokens to append.
        ids: Vec<TokenId>,
    },
    /// Decode; emits [`JobEvent::Step`] per token, then [`Outcome::Ran`].
    Run {
        /// Sequence.
        seq: SeqKey,
        /// Its expected length.
        at: usize,
        /// How far.
        spec: RunSpec,
    },
    /// Draft k tokens without keeping them in the sequence. Their keys and values are kept while
    /// nothing else is computed in their place: where they are appended next, they cost no rows.
    Propose {
        /// Sequence.
        seq: SeqKey,
        /// Its expected length.
        at: usize,
        /// How many tokens to draft.
        k: usize,
    },
    /// Check a draft against this model in one forward pass, and go on by at least one token.
    Verify {
        /// Sequence.
        seq: SeqKey,
        /// Its expected length.
        at: usize,
        /// What to check, and how.
        spec: VerifySpec,
    },
    /// Drop everything after `len` tokens.
    Truncate {
        /// Sequence.
        seq: SeqKey,
        /// New length, at least 1 and at most the present one.
        len: usize,
    },
    /// Copy a sequence in O(1); the copy samples on its own lane.
    Fork {
        /// Sequence.
        seq: SeqKey,
        /// Lane of the copy.
        lane: u32,
    },
    /// Sum of token log-probabilities of each candidate continuation.
    Score {
        /// Sequence; unchanged afterwards.
        seq: SeqKey,
        /// Candidates, each at least one token.
        candidates: Vec<Vec<TokenId>>,
    },
    /// Mean-pooled, L2-normalised final hidden state of a text.
    Embed {
        /// Token ids, at least one.
        ids: Vec<TokenId>,
    },
    /// Give the sequence back. Closing a stale sequence is not an error.
    Close {
        /// Sequence.
        seq: SeqKey,
    },
}

/// A verb's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The sequence, and how many prompt tokens came from the prefix cache.
    Opened {
        /// Handle for later verbs.
        seq: SeqKey,
        /// Prompt tokens whose KV was already there.
        cached: usize,
    },
    /// `extend` and `truncate`: the new length.
    Length(usize),
    /// `run` ended.
    Ran {
        /// Why.
        stop: StopReason,
        /// Length of the sequence now.
        len: usize,
    },
    /// `propose`.
    Proposed(Draft),
    /// `verify`.
    Verified(Verified),
    /// `fork`: the copy.
    Forked(SeqKey),
    /// `score`: natural-log sums, one per candidate.
    Scores(Vec<f32>),
    /// `embed`.
    Embedding(Vec<f32>),
    /// `close`.
    Closed,
}

/// Work that a verb cost, for the ledger. Sums over requests equal the engine's counters.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Rows computed for prompt or appended tokens.
    pub prefill_rows: u64,
    /// Rows that another verb with the same beginning computed while this one waited for them.
    pub adopted_rows: u64,
    /// Rows computed to generate or verify.
    pub decode_rows: u64,
    /// Forward passes that had at least one row of this verb.
    pub forward_passes: u64,
    /// Weight bytes read, a batched pass split over its rows, plus KV bytes read.
    pub bytes_read: u64,
    /// Wall time of those passes, split over their rows, in microseconds.
    pub compute_us: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.prefill_rows += other.prefill_rows;
        self.adopted_rows += other.adopted_rows;
        self.decode_rows += other.decode_rows;
        self.forward_passes += other.forward_passes;
        self.bytes_read += other.bytes_read;
        self.compute_us += other.compute_us;
    }
}

/// What an engine says about a job.
#[derive(Debug)]
pub enum JobEvent {
    /// One token of a run.
    Step(StepResult),
    /// The job is over; nothing follows.
    Done {
        /// Its answer.
        result: Result<Outcome, crate::EngineError>,
        /// What it cost.
        cost: Cost,
    },
}
