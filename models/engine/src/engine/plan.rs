//! Which rows share the next forward pass.

use std::cmp::Reverse;

use crate::engine::job::Job;
use crate::engine::pacer::Pacer;
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
    /// Rows from `want_from` to here come together.
    end: usize,
    pub hidden: bool,
}

impl Share {
    pub fn rows(&self) -> usize {
        self.to - self.from
    }

    /// Rows with wanted logits.
    pub fn wanted(&self) -> usize {
        self.to.saturating_sub(self.want_from.max(self.from))
    }

    /// Prompt rows that it has not been given.
    fn left(&self) -> usize {
        self.want_from.saturating_sub(self.to)
    }

    /// Adds prompt rows; with the last of them come the rows whose logits are wanted.
    fn grow(&mut self, prompt_rows: usize) {
        self.to += prompt_rows;
        if self.left() == 0 {
            self.to = self.to.max(self.end);
        }
    }
}

/// Rows of streams that decode or verify, and rows of prompts.
pub(super) fn rows_by_kind(shares: &[Share]) -> (usize, usize) {
    let prompt = shares.iter().filter(|share| share.from < share.want_from).map(Share::rows).sum();
    (shares.iter().map(Share::rows).sum::<usize>() - prompt, prompt)
}

/// Every job that is ready to settle gets its rows. Prompts share what [`Pacer`] allows.
pub(super) fn plan(
    jobs: &[Job],
    sequences: &SequenceTable,
    pacer: &Pacer,
    most: PrefillRows,
    shares: &mut Vec<Share>,
) {
    shares.clear();
    for (index, job) in jobs.iter().enumerate().filter(|(_, job)| !job.paused) {
        let Ok(sequence) = sequences.get(job.seq) else { continue };
        let (from, need) = (sequence.computed, job.work.need(sequence.tokens.len()));
        let (want_from, end, hidden) = (need.want_from, need.end, need.hidden);
        let mut share = Share { job: index, from, to: from, want_from, end, hidden };
        share.grow(0);
        shares.push(share);
    }
    if shares.iter().any(|share| share.left() > 0) {
        leave_out_who_waits(jobs, sequences, shares);
        let (decoding, _) = rows_by_kind(shares);
        share_out(shares, pacer.prompt_rows(decoding, most));
    }
    shares.retain(|share| share.rows() > 0);
}

/// A prompt whose next page another one is about to compute waits for that page.
fn leave_out_who_waits(jobs: &[Job], sequences: &SequenceTable, shares: &mut Vec<Share>) {
    let waits_for = |one: &Share, other: &Share| {
        // At the same place the shortest goes first: whoever it keeps waiting is spared its rows.
        let order = |share: &Share| (Reverse(share.from), share.left(), share.job);
        let is_ahead = order(other) < order(one);
        let [one_seq, other_seq] = [one, other].map(|share| sequences.get(jobs[share.job].seq));
        let (Ok(one_seq), Ok(other_seq), true) = (one_seq, other_seq, is_ahead && other.left() > 0) else {
            return false;
        };
        if one_seq.partition != other_seq.partition {
            return false;
        }
        let page = one_seq.next_page(one.want_from).filter(|page| !one.hidden && other.from < page.end);
        page.is_some_and(|page| other_seq.tokens.get(..page.end) == Some(&one_seq.tokens[..page.end]))
    };
    // Whoever is left out was waiting for one that stays, so the order does not matter.
    let mut index = 0;
    while index < shares.len() {
        let one = shares[index];
        match shares.iter().any(|other| waits_for(&one, other)) {
            true => drop(shares.remove(index)),
            false => index += 1,
        }
    }
}

/// One half goes to the prompt that waits longest, the other to the one that has least to go: a
/// short prompt passes a long one, and neither starves the other. What they leave is for the
/// rest, in order of arrival.
fn share_out(shares: &mut [Share], rows: usize) {
    let mut rest = rows;
    let mut give = |share: &mut Share, most: usize| {
        let given = share.left().min(most).min(rest);
        rest -= given;
        share.grow(given);
    };
    if let Some(oldest) = shares.iter_mut().find(|share| share.left() > 0) {
        give(oldest, rows.div_ceil(2));
    }
    if let Some(shortest) =
        shares.iter_mut().filter(|share| share.left() > 0).min_by_key(|share| share.left())
    {
        give(shortest, rows);
    }
    shares.iter_mut().for_each(|share| give(share, rows));
}
