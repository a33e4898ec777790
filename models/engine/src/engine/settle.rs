//! After a pass: every job whose rows are complete takes its next step.

use understudy_kernels::add_assign;

use crate::EngineError;
use crate::engine::job::{Work, signals_of};
use crate::engine::plan::Share;
use crate::engine::sequence::Sequence;
use crate::engine::{Engine, Limits};
use crate::sampling::{Context, Sampler};
use crate::verbs::{
    Draft, JobEvent, JobId, Outcome, RunSpec, SignalMode, StepResult, StopReason, StopWhen, TokenId,
};

type Answer = Result<Outcome, EngineError>;

impl Engine {
    /// Runs under a gate take tokens that have no alternative without any arithmetic, and
    /// runs that need nothing more end.
    pub(super) fn append_forced_runs(&mut self, events: &mut Vec<(JobId, JobEvent)>) {
        for job in &mut self.jobs {
            let Work::Run { spec, produced, foreseen: 0 } = &mut job.work else { continue };
            let Ok(sequence) = self.sequences.get_mut(job.seq) else { continue };
            let forced = match &mut sequence.gate {
                Some(gate) if !job.paused => gate.forced(),
                _ => continue,
            };
            for token in forced {
                let is_full = sequence.tokens.len() >= self.limits.context;
                if *produced >= spec.max_tokens || is_full || !sequence.push(token) {
                    break;
                }
                *produced += 1;
                events.push((job.id, JobEvent::Step(StepResult::forced(token))));
            }
        }
        self.finish_spent(events);
    }

    /// Runs whose prompt is computed get the tokens that their gates foresee, so that one pass tells
    /// what the model makes of them.
    pub(super) fn append_foreseen(&mut self) {
        for job in self.jobs.iter_mut().filter(|job| !job.paused) {
            let Work::Run { spec, produced, foreseen: foreseen @ 0 } = &mut job.work else { continue };
            let Ok(sequence) = self.sequences.get_mut(job.seq) else { continue };
            let len = sequence.tokens.len();
            let left = (spec.max_tokens - *produced) as usize;
            let most = self
                .limits
                .foreseen
                .min(left.saturating_sub(1))
                .min(self.limits.context.saturating_sub(len + 1));
            if most > 0 && sequence.computed + 1 == len {
                let tokens = sequence.foreseen(most);
                *foreseen = sequence.look_ahead(&tokens, &mut self.pages);
            }
        }
    }

    /// Whether any job moved.
    pub(super) fn settle(&mut self, events: &mut Vec<(JobId, JobEvent)>) -> bool {
        let shares = std::mem::take(&mut self.shares);
        let (mut logits_at, mut hidden_at) = (0, 0);
        for share in &shares {
            let wanted = if share.hidden { 0 } else { share.wanted() };
            let hidden = if share.hidden { share.to - share.from } else { 0 };
            self.settle_share(share, logits_at, hidden_at, events);
            logits_at += wanted;
            hidden_at += hidden;
        }
        let before = self.jobs.len();
        self.finish_spent(events);
        self.shares = shares;
        before != self.jobs.len()
    }

    fn settle_share(
        &mut self,
        share: &Share,
        logits_at: usize,
        hidden_at: usize,
        events: &mut Vec<(JobId, JobEvent)>,
    ) {
        let job = &mut self.jobs[share.job];
        let Ok(sequence) = self.sequences.get_mut(job.seq) else { return };
        sequence.advance(share.to, &mut self.pages);
        let (vocab, hidden) = (self.decoder.config().vocab, self.decoder.config().hidden);
        if let Work::Embed { sum } = &mut job.work {
            sum.resize(hidden, 0.0);
            let states = &self.decoder.hidden()[hidden_at * hidden..];
            states.chunks_exact(hidden).take(share.to - share.from).for_each(|state| add_assign(sum, state));
            return;
        }
        if share.wanted() == 0 {
            return;
        }
        let logits = &mut self.decoder.logits()[logits_at * vocab..(logits_at + share.wanted()) * vocab];
        let mut step = Step { sequence, sampler: &mut self.sampler, vocab, limits: &self.limits };
        let answer = match &mut job.work {
            Work::Run { spec, produced, foreseen } => {
                let foreseen = step.sequence.take_ahead(std::mem::take(foreseen));
                let before = step.sequence.tokens.len();
                let mut emit = |token| events.push((job.id, JobEvent::Step(token)));
                let answer = step.run(logits, spec, &foreseen, &mut emit);
                let chosen = &step.sequence.tokens[before..];
                *produced += chosen.len() as u32;
                let right = chosen.iter().zip(&foreseen).take_while(|(a, b)| a == b).count();
                step.sequence.keep_computed(before + right);
                answer
            }
            Work::Propose { base, k, draft } => {
                let answer = step.propose(logits, *base, *k, draft);
                if answer.is_some() {
                    step.sequence.set_aside(*base, &mut self.pages);
                }
                answer
            }
            Work::Verify(verification) => {
                Some(step.verify(logits, verification, &mut self.pages).map(Outcome::Verified))
            }
            Work::Score { base, candidates, scores } => {
                let candidate = &candidates[scores.len()];
                scores.push(score_rows(logits, vocab, candidate));
                step.sequence.cut(*base, &mut self.pages);
                match candidates.get(scores.len()) {
                    Some(next) => {
                        step.sequence.tokens.extend_from_slice(next);
                        step.sequence.computed = step.sequence.computed.min(*base - 1);
                        None
                    }
                    None => Some(Ok(Outcome::Scores(std::mem::take(scores)))),
                }
            }
            Work::Embed { .. } => None,
        };
        job.answer = answer;
    }

    /// Ends every job that has its answer.
    fn finish_spent(&mut self, events: &mut Vec<(JobId, JobEvent)>) {
        let mut index = 0;
        while index < self.jobs.len() {
            match self.answer_of(index) {
                Some(answer) => {
                    self.finish_later(index, answer);
                    events.append(&mut self.outbox);
                }
                None => index += 1,
            }
        }
    }

    fn answer_of(&mut self, index: usize) -> Option<Answer> {
        let job = &mut self.jobs[index];
        if let Some(answer) = job.answer.take() {
            return Some(answer);
        }
        let sequence = self.sequences.get_mut(job.seq).ok()?;
        let len = sequence.tokens.len();
        match &mut job.work {
            Work::Embed { sum } if sequence.computed == len => {
                Some(Ok(Outcome::Embedding(unit_mean(sum, len))))
            }
            Work::Run { spec, .. } if spec.max_tokens == 0 => {
                (sequence.computed + 1 >= len).then_some(Ok(Outcome::Ran { stop: StopReason::Length, len }))
            }
            Work::Run { spec, produced, .. } => {
                let is_complete = sequence.is_complete();
                let stop = match () {
                    () if is_complete => StopReason::Constraint,
                    () if *produced >= spec.max_tokens => StopReason::Length,
                    () if len >= self.limits.context => StopReason::ContextFull,
                    () => return None,
                };
                Some(Ok(Outcome::Ran { stop, len }))
            }
            _ => None,
        }
    }
}

/// One job's step over its logits.
pub(super) struct Step<'a> {
    pub sequence: &'a mut Sequence,
    pub sampler: &'a mut Sampler,
    pub vocab: usize,
    pub limits: &'a Limits,
}

/// How tokens are chosen.
pub(super) struct Rule {
    /// A token ahead stands where the target finds it nearly as likely as its favourite: see
    /// [`Acceptance::Lenient`](crate::verbs::Acceptance::Lenient).
    pub alpha: Option<f32>,
    pub signals: SignalMode,
    pub stop_when: StopWhen,
}

impl Rule {
    /// As the target draws them.
    pub fn plain(signals: SignalMode) -> Self {
        Self { alpha: None, signals, stop_when: StopWhen::default() }
    }
}

impl Step<'_> {
    /// Chooses a token, and one more for as long as each is the one ahead: then the next row is of the
    /// text that there is now. What is chosen is what would be chosen one by one. How many tokens ahead
    /// stand, and why nothing follows.
    pub(super) fn walk(
        &mut self,
        logits: &mut [f32],
        ahead: &[TokenId],
        rule: &Rule,
        emit: &mut impl FnMut(StepResult),
    ) -> Result<(usize, Option<StopReason>), EngineError> {
        let mut standing = 0;
        for (index, row) in logits.chunks_exact_mut(self.vocab).enumerate() {
            let expected = ahead.get(index).copied();
            let step = self.choose(row, index, expected, rule)?;
            if crosses(&rule.stop_when, &step) {
                return Ok((standing, Some(StopReason::Signal)));
            }
            let stands = expected == Some(step.token);
            standing += usize::from(stands);
            if self.limits.end_ids.contains(&step.token) {
                return Ok((standing, Some(StopReason::End)));
            }
            if !self.sequence.push(step.token) {
                return Err(EngineError::DeadEnd);
            }
            emit(step);
            if !stands || self.sequence.is_complete() {
                break;
            }
        }
        Ok((standing, None))
    }

    fn run(
        &mut self,
        logits: &mut [f32],
        spec: &RunSpec,
        foreseen: &[TokenId],
        emit: &mut impl FnMut(StepResult),
    ) -> Option<Answer> {
        let rule = Rule { alpha: None, signals: signals_of(spec), stop_when: spec.stop_when };
        match self.walk(logits, foreseen, &rule, emit) {
            Ok((_, None)) => None,
            Ok((_, Some(stop))) => Some(Ok(Outcome::Ran { stop, len: self.sequence.tokens.len() })),
            Err(error) => Some(Err(error)),
        }
    }

    /// Chooses the token after so many of those ahead; `expected` is the next of these.
    pub(super) fn choose(
        &mut self,
        logits: &mut [f32],
        after: usize,
        expected: Option<TokenId>,
        rule: &Rule,
    ) -> Result<StepResult, EngineError> {
        let Sequence { tokens, sampler: spec, gate, .. } = &mut *self.sequence;
        let mask = gate.as_mut().map(|gate| gate.mask_after(after, self.vocab));
        match (expected, rule.alpha) {
            (Some(drafted), Some(alpha)) => {
                let context = Context { history: tokens, spec, mask, signals: rule.signals };
                self.sampler.choose_leniently(logits, &context, drafted, alpha)
            }
            _ => self.sampler.choose(logits, tokens, spec, mask, tokens.len(), rule.signals),
        }
    }

    fn propose(&mut self, logits: &mut [f32], base: usize, k: usize, draft: &mut Draft) -> Option<Answer> {
        let Sequence { tokens, sampler, gate, .. } = &*self.sequence;
        let mask = gate.as_ref().and_then(|gate| gate.allowed(0));
        let drawn = self.sampler.draft(logits, tokens, sampler, mask, base);
        let (token, q) = match drawn {
            Ok(drawn) => drawn,
            Err(error) => return Some(Err(error)),
        };
        let is_end = self.limits.end_ids.contains(&token);
        if !is_end && !self.sequence.push(token) {
            return Some(Err(EngineError::DeadEnd));
        }
        draft.ids.push(token);
        draft.q.push(q);
        let is_done = is_end || draft.ids.len() >= k || self.sequence.tokens.len() >= self.limits.context;
        is_done.then(|| Ok(Outcome::Proposed(std::mem::take(draft))))
    }
}

fn crosses(stop_when: &StopWhen, step: &StepResult) -> bool {
    let Some(signals) = step.signals else { return false };
    let too_uncertain = stop_when.entropy_above.is_some_and(|most| signals.entropy > most);
    let too_close = stop_when.margin_below.is_some_and(|least| signals.margin < least);
    too_uncertain || too_close
}

/// Sum of log-probabilities of a candidate, row by row.
fn score_rows(logits: &[f32], vocab: usize, candidate: &[TokenId]) -> f32 {
    let rows = logits.chunks_exact(vocab).zip(candidate);
    rows.map(|(row, &token)| {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = row.iter().map(|logit| (logit - max).exp()).sum();
        row[token as usize] - max - sum.ln()
    })
    .sum()
}

/// The mean of summed states, scaled to length 1.
fn unit_mean(sum: &[f32], rows: usize) -> Vec<f32> {
    let mean: Vec<f32> = sum.iter().map(|value| value / rows as f32).collect();
    let norm = mean.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    mean.into_iter().map(|value| value / norm).collect()
}
