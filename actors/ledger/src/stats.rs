//! What the policies of a node cost, and what they spared.

use std::collections::BTreeMap;

use crate::{Entry, RungCost};

/// Totals over entries, by policy. The teacher of a request is the last model of its ladder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stats {
    policies: BTreeMap<String, Totals>,
    /// What each model read for answers that it wrote alone, and their tokens.
    alone: BTreeMap<String, Work>,
}

/// One policy's line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The policy with its parameters.
    pub policy: String,
    /// Requests.
    pub requests: u64,
    /// Share of them that escalated at least once, 0 to 1.
    pub escalated: f64,
    /// Tokens that teachers made, kept or not, for each token of the answers: 1 is what teachers alone would take.
    pub teacher_tokens: f64,
    /// Bytes of weights and KV read.
    pub bytes_read: u64,
    /// Share of the bytes spared, against teachers alone: an estimate from what the same teachers read, for each
    /// token, for answers that they wrote alone. `None` where there is none of them; below 0 where it cost more.
    pub saved: Option<f64>,
    /// Answers that feedback called right.
    pub right: u64,
    /// Answers that feedback called wrong.
    pub wrong: u64,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Totals {
    requests: u64,
    escalated: u64,
    teacher_tokens: u64,
    right: u64,
    wrong: u64,
    /// Of all models, by the teacher that would have done it alone.
    work: BTreeMap<String, Work>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Work {
    bytes: u64,
    tokens: u64,
}

impl Stats {
    /// Adds a request.
    pub fn add(&mut self, entry: &Entry) {
        let answer_tokens = u64::from(entry.usage.completion_tokens);
        for rung in &entry.ledger.rungs {
            let wrote_alone = u64::from(rung.tokens_kept) == answer_tokens && entry.ledger.drafted == 0;
            if wrote_alone && answer_tokens > 0 {
                self.alone.entry(rung.model.clone()).or_default().add(rung.bytes_read, made(rung));
            }
        }
        let teacher = entry.teacher().unwrap_or_default();
        let of_teacher = entry.ledger.rungs.iter().filter(|rung| rung.model == teacher);
        let bytes = entry.ledger.rungs.iter().map(|rung| rung.bytes_read).sum();
        let totals = self.policies.entry(entry.policy.clone()).or_default();
        totals.requests += 1;
        totals.escalated +=
            u64::from(entry.ledger.decisions.iter().any(|decided| decided.kind == "escalate"));
        totals.teacher_tokens += of_teacher.map(made).sum::<u64>();
        totals.right += u64::from(entry.told() == Some(true));
        totals.wrong += u64::from(entry.told() == Some(false));
        totals.work.entry(teacher.to_owned()).or_default().add(bytes, answer_tokens);
    }

    /// A line for each policy, by name.
    pub fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        self.policies.iter().map(|(policy, totals)| {
            let tokens: u64 = totals.work.values().map(|work| work.tokens).sum();
            Line {
                policy: policy.clone(),
                requests: totals.requests,
                escalated: totals.escalated as f64 / totals.requests as f64,
                teacher_tokens: totals.teacher_tokens as f64 / tokens.max(1) as f64,
                bytes_read: totals.work.values().map(|work| work.bytes).sum(),
                saved: self.saved(totals),
                right: totals.right,
                wrong: totals.wrong,
            }
        })
    }

    fn saved(&self, totals: &Totals) -> Option<f64> {
        let (mut bytes, mut alone) = (0.0, 0.0);
        for (teacher, work) in &totals.work {
            if let Some(of_teacher) = self.alone.get(teacher) {
                bytes += work.bytes as f64;
                alone += work.tokens as f64 * of_teacher.bytes as f64 / of_teacher.tokens as f64;
            }
        }
        (alone > 0.0).then(|| 1.0 - bytes / alone)
    }
}

impl<'a> FromIterator<&'a Entry> for Stats {
    fn from_iter<T: IntoIterator<Item = &'a Entry>>(entries: T) -> Self {
        let mut stats = Self::default();
        entries.into_iter().for_each(|entry| stats.add(entry));
        stats
    }
}

impl Work {
    fn add(&mut self, bytes: u64, tokens: u64) {
        self.bytes += bytes;
        self.tokens += tokens;
    }
}

/// Tokens that a model generated.
fn made(rung: &RungCost) -> u64 {
    u64::from(rung.tokens_kept) + u64::from(rung.tokens_wasted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Account, Decision, Feedback, Usage};

    fn rung(model: &str, kept: u32, wasted: u32, bytes_read: u64) -> RungCost {
        RungCost {
            model: model.into(),
            tokens_kept: kept,
            tokens_wasted: wasted,
            bytes_read,
            ..RungCost::default()
        }
    }

    fn entry(policy: &str, rungs: Vec<RungCost>) -> Entry {
        let escalated =
            (rungs.len() > 1).then(|| Decision { kind: "escalate".into(), ..Decision::default() });
        Entry {
            policy: policy.into(),
            ladder: vec!["small".into(), "large".into()],
            usage: Usage { completion_tokens: 10, ..Usage::default() },
            ledger: Account { rungs, decisions: escalated.into_iter().collect(), ..Account::default() },
            ..Entry::default()
        }
    }

    #[test]
    fn a_cascade_is_measured_against_its_teacher_alone() {
        let stayed = entry("cascade", vec![rung("small", 10, 0, 100)]);
        let escalated = entry("cascade", vec![rung("small", 0, 10, 100), rung("large", 10, 0, 1000)]);
        let told = Entry { feedback: vec![Feedback { ok: true, ..Feedback::default() }], ..stayed.clone() };
        let stats: Stats = [&stayed, &told, &stayed, &escalated].into_iter().collect();
        let line = stats.lines().next().unwrap();
        assert_eq!((line.requests, line.escalated, line.teacher_tokens), (4, 0.25, 0.25));
        assert_eq!((line.bytes_read, line.right, line.wrong), (1400, 1, 0));
        // Alone the teacher reads 100 bytes a token: 4000 for the 40 tokens of the answers.
        assert_eq!(line.saved, Some(1.0 - 1400.0 / 4000.0));
    }

    #[test]
    fn nothing_is_said_of_a_teacher_that_never_wrote_alone() {
        let stats: Stats = [&entry("cascade", vec![rung("small", 10, 0, 100)])].into_iter().collect();
        assert_eq!(stats.lines().next().unwrap().saved, None);
    }
}
