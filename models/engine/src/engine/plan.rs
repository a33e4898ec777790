//! Which rows share the next forward pass.

use crate::engine::job::Job;
use crate::engine::sequence::SequenceTable;
use crate::model::PrefillRows;

/// Most rows whose logits one verb may want in a pass (a draft and its next token).
pub(super) const MAX_WANTED_ROWS: usize = 64;

/// A job's rows in a pass: positions `from..to` of its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// Index into the job list.
    pub job: usize,
    pub from: usize,
    pub to: usize,
    /// Logits are wanted from this position on.
    pub want_from: usize,
    pub hidden: bool,
}

impl Share {
    /// Rows with wanted logits.
    pub fn wanted(&self) -> usize {
        self.to.saturating_sub(self.want_from.max(self.from))
    }
}

/// Every job that is ready to settle gets its rows; prompts share a budget, first come
/// first served, so the first token of the oldest request comes first.
pub(super) fn plan(jobs: &[Job], sequences: &SequenceTable, most: PrefillRows, shares: &mut Vec<Share>) {
    shares.clear();
    let needs = || {
        jobs.iter().enumerate().filter(|(_, job)| !job.paused).filter_map(|(index, job)| {
            let sequence = sequences.get(job.seq).ok()?;
            Some((index, sequence.computed, job.work.need(sequence.tokens.len())))
        })
    };
    let is_decoding = |computed: usize, want_from: usize| computed >= want_from;
    let decoding = needs().any(|(_, computed, need)| is_decoding(computed, need.want_from));
    let mut budget = if decoding { most.shared } else { most.alone };
    for (job, computed, need) in needs() {
        let prefill = need.want_from.saturating_sub(computed).min(budget);
        budget -= prefill;
        let mut to = computed + prefill;
        if to >= need.want_from {
            to = need.end.max(to);
        }
        if to > computed {
            shares.push(Share { job, from: computed, to, want_from: need.want_from, hidden: need.hidden });
        }
    }
}
