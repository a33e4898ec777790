//! Who owns which sequence, and until when.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use understudy_engine::verbs::SeqKey;

use super::inbox::Interest;

struct Owned {
    interest: Interest,
    lease_until: Duration,
    /// Jobs on it that are not done; at most one is useful, the engine refuses the others.
    jobs: usize,
    stage: Stage,
    /// Freed when the engine has given the sequence back.
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// To be closed when its jobs are done.
    Leaving,
    /// The engine was told.
    Closing,
}

/// Open sequences of one engine.
pub(super) struct Sequences {
    open: HashMap<SeqKey, Owned>,
    lease: Duration,
}

impl Sequences {
    pub(super) fn new(lease: Duration) -> Self {
        Self { open: HashMap::new(), lease }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn opened(
        &mut self,
        seq: SeqKey,
        interest: Interest,
        permit: Option<OwnedSemaphorePermit>,
        now: Duration,
    ) {
        let lease_until = now + self.lease;
        self.open.insert(seq, Owned { interest, lease_until, jobs: 0, stage: Stage::Open, _permit: permit });
    }

    pub(super) fn closed(&mut self, seq: SeqKey) {
        self.open.remove(&seq);
    }

    /// `false` when the sequence is unknown or on its way out.
    pub(super) fn job_begins(&mut self, seq: SeqKey, now: Duration) -> bool {
        match self.open.get_mut(&seq) {
            Some(owned) if owned.stage == Stage::Open => {
                owned.jobs += 1;
                owned.lease_until = now + self.lease;
                true
            }
            _ => false,
        }
    }

    pub(super) fn job_ends(&mut self, seq: SeqKey, now: Duration) {
        if let Some(owned) = self.open.get_mut(&seq) {
            owned.jobs = owned.jobs.saturating_sub(1);
            owned.lease_until = now + self.lease;
        }
    }

    pub(super) fn leave(&mut self, seq: SeqKey) {
        if let Some(owned) = self.open.get_mut(&seq)
            && owned.stage == Stage::Open
        {
            owned.stage = Stage::Leaving;
        }
    }

    pub(super) fn leave_all(&mut self) {
        let all: Vec<SeqKey> = self.open.keys().copied().collect();
        all.into_iter().for_each(|seq| self.leave(seq));
    }

    pub(super) fn is_leaving(&self, seq: SeqKey) -> bool {
        self.open.get(&seq).is_none_or(|owned| owned.stage != Stage::Open)
    }

    /// Sequences whose request is over or whose lease ran out leave.
    pub(super) fn expire(&mut self, now: Duration) {
        for owned in self.open.values_mut().filter(|owned| owned.stage == Stage::Open) {
            let over =
                owned.interest.cancel.is_cancelled() || owned.interest.deadline.is_some_and(|at| now >= at);
            let unused = owned.jobs == 0 && now >= owned.lease_until;
            if over || unused {
                owned.stage = Stage::Leaving;
            }
        }
    }

    /// Sequences that the engine should close now, each once.
    pub(super) fn take_closable(&mut self) -> Vec<SeqKey> {
        let ready =
            self.open.iter_mut().filter(|(_, owned)| owned.stage == Stage::Leaving && owned.jobs == 0);
        ready
            .map(|(seq, owned)| {
                owned.stage = Stage::Closing;
                *seq
            })
            .collect()
    }
}
