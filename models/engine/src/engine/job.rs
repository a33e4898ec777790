//! Verbs that need forward passes, and how far each has come.

use crate::engine::verify::Verification;
use crate::verbs::{Cost, Draft, JobId, RunSpec, SeqKey, SignalMode, StopWhen, TokenId};

/// A verb in progress.
pub(super) struct Job {
    pub id: JobId,
    pub seq: SeqKey,
    pub work: Work,
    pub cost: Cost,
    pub paused: bool,
    /// Set when the job has its answer; it ends at the end of the tick.
    pub answer: Option<Result<crate::verbs::Outcome, crate::EngineError>>,
}

/// What is left to do.
pub(super) enum Work {
    Run {
        spec: RunSpec,
        produced: u32,
        /// Tokens that are foreseen, appended to the sequence; its gate has not seen them.
        foreseen: usize,
    },
    Propose {
        base: usize,
        k: usize,
        draft: Draft,
    },
    Verify(Verification),
    /// The candidate under test is appended from `base` on.
    Score {
        base: usize,
        candidates: Vec<Vec<TokenId>>,
        scores: Vec<f32>,
    },
    /// Its sequence is private to the job.
    Embed {
        sum: Vec<f32>,
    },
}

/// Rows a job needs before it can settle.
pub(super) struct Need {
    /// Rows from here to `end` come together in one pass; their logits are wanted.
    pub want_from: usize,
    /// One past the last row.
    pub end: usize,
    /// Every row's hidden state is wanted as it is computed.
    pub hidden: bool,
}

impl Work {
    /// For a verb that chooses tokens after a pass: the signals to take with them.
    pub fn chooses_with(&self) -> Option<SignalMode> {
        match self {
            Self::Run { spec, .. } => Some(signals_of(spec)),
            Self::Propose { .. } => Some(SignalMode::None),
            Self::Verify(verification) => Some(verification.signals),
            Self::Score { .. } | Self::Embed { .. } => None,
        }
    }

    /// What the next settlement of this job takes, for a sequence of `len` tokens.
    pub fn need(&self, len: usize) -> Need {
        match self {
            Self::Run { spec, .. } if spec.max_tokens == 0 => {
                Need { want_from: len - 1, end: len - 1, hidden: false }
            }
            Self::Run { foreseen, .. } => Need { want_from: len - foreseen - 1, end: len, hidden: false },
            Self::Propose { .. } => Need { want_from: len - 1, end: len, hidden: false },
            Self::Verify(Verification { ahead, .. }) => {
                Need { want_from: len - ahead - 1, end: len, hidden: false }
            }
            Self::Score { base, .. } => Need { want_from: base - 1, end: len - 1, hidden: false },
            Self::Embed { .. } => Need { want_from: len, end: len, hidden: true },
        }
    }
}

/// The signals of a run: a threshold needs some.
pub(super) fn signals_of(spec: &RunSpec) -> SignalMode {
    match spec.signals {
        SignalMode::None if spec.stop_when != StopWhen::default() => SignalMode::Masked,
        asked => asked,
    }
}
