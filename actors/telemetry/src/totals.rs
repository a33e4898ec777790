//! What a node has done since its start, in the few figures that a console shows.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sums over all answers since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requests that ended, however.
    pub requests: u64,
    /// Tokens of answers.
    pub tokens: u64,
    /// Tokens that teachers wrote, kept or not. The teacher is the last rung of a ladder of two or more.
    pub teacher_tokens: u64,
    /// Tokens made and thrown away.
    pub wasted_tokens: u64,
    /// Bytes of weights and KV read for answers.
    pub bytes_read: u64,
    /// Bytes that the teachers would have read for the same answers alone: an estimate, one pass over the model's
    /// file for the prompt and one for each token. Answers whose teacher's size is unknown count as they were.
    pub bytes_teacher_alone: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Sums {
    requests: AtomicU64,
    tokens: AtomicU64,
    teacher_tokens: AtomicU64,
    wasted_tokens: AtomicU64,
    bytes_read: AtomicU64,
    bytes_teacher_alone: AtomicU64,
}

impl Sums {
    pub(crate) fn add(&self, one: &Totals) {
        for (sum, part) in [
            (&self.requests, one.requests),
            (&self.tokens, one.tokens),
            (&self.teacher_tokens, one.teacher_tokens),
            (&self.wasted_tokens, one.wasted_tokens),
            (&self.bytes_read, one.bytes_read),
            (&self.bytes_teacher_alone, one.bytes_teacher_alone),
        ] {
            sum.fetch_add(part, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Totals {
        let get = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        Totals {
            requests: get(&self.requests),
            tokens: get(&self.tokens),
            teacher_tokens: get(&self.teacher_tokens),
            wasted_tokens: get(&self.wasted_tokens),
            bytes_read: get(&self.bytes_read),
            bytes_teacher_alone: get(&self.bytes_teacher_alone),
        }
    }
}
