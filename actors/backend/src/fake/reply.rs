//! What a fake says to a prompt, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_engine::{
    EngineError,
    verbs::{Signals, TokenId},
};

use super::ByteCodec;

/// What breaks when a run reaches a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The verb fails; the sequence keeps its tokens.
    Error(EngineError),
    /// The engine dies: every sequence of the backend is gone, its runs end with
    /// `EngineLost`, later verbs on old handles with `StaleSeq`. New sequences work.
    Lost(String),
    /// Nothing more happens until the reader gives up.
    Hang,
}

/// A scripted answer: its bytes, how sure the model was of each, and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub(super) text: Vec<u8>,
    pub(super) first_token_delay: Duration,
    pub(super) token_delay: Duration,
    pub(super) faults: Vec<PlannedFault>,
    logprob: f32,
    signals: Signals,
    logprobs_at: BTreeMap<usize, f32>,
    signals_at: BTreeMap<usize, Signals>,
    tolerant_at: BTreeSet<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlannedFault {
    pub(super) at: usize,
    pub(super) fault: Fault,
    /// How often it still happens; `None` is always.
    pub(super) left: Option<u32>,
}

impl Reply {
    /// Says this at once, confidently: log-probability -0.05, entropy 0.1, margin 0.9.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into().into_bytes(),
            first_token_delay: Duration::ZERO,
            token_delay: Duration::ZERO,
            faults: Vec::new(),
            logprob: -0.05,
            signals: Signals { entropy: 0.1, margin: 0.9 },
            logprobs_at: BTreeMap::new(),
            signals_at: BTreeMap::new(),
            tolerant_at: BTreeSet::new(),
        }
    }

    /// Log-probability of every token, the end token included.
    pub fn logprob(mut self, logprob: f32) -> Self {
        self.logprob = logprob;
        self
    }

    /// Log-probability of token `n` (counted in bytes of the reply).
    pub fn logprob_at(mut self, n: usize, logprob: f32) -> Self {
        self.logprobs_at.insert(n, logprob);
        self
    }

    /// Entropy (nats) and margin of every token.
    pub fn signals(mut self, entropy: f32, margin: f32) -> Self {
        self.signals = Signals { entropy, margin };
        self
    }

    /// Entropy (nats) and margin of token `n`.
    pub fn signals_at(mut self, n: usize, entropy: f32, margin: f32) -> Self {
        self.signals_at.insert(n, Signals { entropy, margin });
        self
    }

    /// Any drafted token stands in place of token `n` where acceptance is lenient, at an `alpha` above 0.
    pub fn tolerates(mut self, n: usize) -> Self {
        self.tolerant_at.insert(n);
        self
    }

    /// Time before each token.
    pub fn token_delay(mut self, delay: Duration) -> Self {
        self.token_delay = delay;
        self
    }

    /// Extra time before the first token of every run.
    pub fn first_token_delay(mut self, delay: Duration) -> Self {
        self.first_token_delay = delay;
        self
    }

    /// Breaks whenever a run is about to emit token `n`.
    pub fn fail_at(mut self, n: usize, fault: Fault) -> Self {
        self.faults.push(PlannedFault { at: n, fault, left: None });
        self
    }

    /// Breaks the first time a run is about to emit token `n`.
    pub fn fail_once_at(mut self, n: usize, fault: Fault) -> Self {
        self.faults.push(PlannedFault { at: n, fault, left: Some(1) });
        self
    }

    /// Token `n`: a byte of the text, or the end.
    pub(super) fn token(&self, n: usize) -> TokenId {
        self.text.get(n).map_or(ByteCodec::END, |byte| TokenId::from(*byte))
    }

    pub(super) fn logprob_of(&self, n: usize) -> f32 {
        self.logprobs_at.get(&n).copied().unwrap_or(self.logprob)
    }

    pub(super) fn signals_of(&self, n: usize) -> Signals {
        self.signals_at.get(&n).copied().unwrap_or(self.signals)
    }

    pub(super) fn tolerates_at(&self, n: usize) -> bool {
        self.tolerant_at.contains(&n)
    }

    /// The fault due at token `n`, used up once.
    pub(super) fn take_fault(&mut self, n: usize) -> Option<Fault> {
        let planned = self.faults.iter_mut().find(|f| f.at == n && f.left != Some(0))?;
        if let Some(left) = &mut planned.left {
            *left -= 1;
        }
        Some(planned.fault.clone())
    }
}
