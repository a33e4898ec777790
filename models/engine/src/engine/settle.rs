//! After a pass: every job whose rows are complete takes its next step.

use understudy_kernels::add_assign;

use crate::EngineError;
use crate::engine::Engine;
use crate::engine::job::{Work, signals_of};
use crate::engine::plan::Share;
use crate::engine::sequence::Sequence;
use crate::sampling::{Sampler, Verdict};
use crate::verbs::{
    Draft, JobEvent, JobId, Outcome, RunSpec, SignalMode, StepResult, StopReason, StopWhen, TokenId, Verified,
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
                let is_full = sequence.tokens.len() >= self.context;
                if *produced >= spec.max_tokens || is_full || !sequence.push(token) {
                    break;
                }
                *produced += 1;
                let step = StepResult { token, logprob: 0.0, signals: None, forced: true };
                events.push((job.id, JobEvent::Step(step)));
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
            let most = self.foreseen.min(left.saturating_sub(1)).min(self.context.saturating_sub(len + 1));
            if most > 0 && sequence.computed + 1 == len {
                *foreseen = sequence.foresee(most, &mut self.pages);
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
        let mut step =
            Step { sequence, sampler: &mut self.sampler, end_ids: &self.end_ids, context: self.context };
        let answer = match &mut job.work {
            Work::Run { spec, produced, foreseen } => {
                let foreseen = step.sequence.take_foreseen(std::mem::take(foreseen));
                let before = step.sequence.tokens.len();
                let mut emit = |token| events.push((job.id, JobEvent::Step(token)));
                let answer = step.run(logits, vocab, spec, &foreseen, &mut emit);
                let chosen = &step.sequence.tokens[before..];
                *produced += chosen.len() as u32;
                let right = chosen.iter().zip(&foreseen).take_while(|(a, b)| a == b).count();
                step.sequence.keep_computed(before + right);
                answer
            }
            Work::Propose { base, k, draft } => {
                let answer = step.propose(logits, *k, draft);
                if answer.is_some() {
                    step.sequence.truncate(*base, &mut self.pages);
                }
                answer
            }
            Work::Verify { base, draft, signals } => {
                let answer = step.verify(logits, vocab, *base, draft, *signals);
                let kept = *base + answer.as_ref().map_or(0, |verified| verified.accepted);
                step.sequence.cut(kept, &mut self.pages);
                Some(answer.and_then(|verified| step.keep_next(verified)).map(Outcome::Verified))
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
                let is_complete = sequence.gate.as_mut().is_some_and(|gate| gate.is_complete());
                let stop = match () {
                    () if is_complete => StopReason::Constraint,
                    () if *produced >= spec.max_tokens => StopReason::Length,
                    () if len >= self.context => StopReason::ContextFull,
                    () => return None,
                };
                Some(Ok(Outcome::Ran { stop, len }))
            }
            _ => None,
        }
    }
}

/// One job's step over its logits.
struct Step<'a> {
    sequence: &'a mut Sequence,
    sampler: &'a mut Sampler,
    end_ids: &'a [TokenId],
    context: usize,
}

impl Step<'_> {
    /// Chooses a token, and one more for as long as each is the one that was foreseen: then the next
    /// row is of the text that there is now. What is chosen is what would be chosen one by one.
    fn run(
        &mut self,
        logits: &mut [f32],
        vocab: usize,
        spec: &RunSpec,
        foreseen: &[TokenId],
        emit: &mut impl FnMut(StepResult),
    ) -> Option<Answer> {
        for (index, row) in logits.chunks_exact_mut(vocab).enumerate() {
            let step = match self.choose(row, index, signals_of(spec)) {
                Ok(step) => step,
                Err(error) => return Some(Err(error)),
            };
            let stopped = |stop, len| Some(Ok(Outcome::Ran { stop, len }));
            if crosses(&spec.stop_when, &step) {
                return stopped(StopReason::Signal, self.sequence.tokens.len());
            }
            if self.end_ids.contains(&step.token) {
                return stopped(StopReason::End, self.sequence.tokens.len());
            }
            if !self.sequence.push(step.token) {
                return Some(Err(EngineError::DeadEnd));
            }
            emit(step);
            if foreseen.get(index) != Some(&step.token) {
                break;
            }
            if self.sequence.gate.as_mut().is_some_and(|gate| gate.is_complete()) {
                break;
            }
        }
        None
    }

    fn propose(&mut self, logits: &mut [f32], k: usize, draft: &mut Draft) -> Option<Answer> {
        let Sequence { tokens, sampler, gate, .. } = &*self.sequence;
        let mask = gate.as_ref().and_then(|gate| gate.allowed(0));
        let drawn = self.sampler.draft(logits, tokens, sampler, mask, tokens.len());
        let (token, q) = match drawn {
            Ok(drawn) => drawn,
            Err(error) => return Some(Err(error)),
        };
        let is_end = self.end_ids.contains(&token);
        if !is_end && !self.sequence.push(token) {
            return Some(Err(EngineError::DeadEnd));
        }
        draft.ids.push(token);
        draft.q.push(q);
        let is_done = is_end || draft.ids.len() >= k || self.sequence.tokens.len() >= self.context;
        is_done.then(|| Ok(Outcome::Proposed(std::mem::take(draft))))
    }

    /// Walks the draft; on return the gate has seen exactly the accepted tokens.
    fn verify(
        &mut self,
        logits: &mut [f32],
        vocab: usize,
        base: usize,
        draft: &Draft,
        signals: SignalMode,
    ) -> Result<Verified, EngineError> {
        let mut verified = Verified { accepted: 0, next: None, steps: Vec::new(), stop: None };
        // The walk judges each position as if the rest of the draft were not there yet.
        let drafted = self.sequence.tokens.split_off(base);
        let outcome = self.walk(logits, vocab, draft, signals, &mut verified);
        if let (Err(_), Some(gate)) = (&outcome, &mut self.sequence.gate) {
            gate.rollback(verified.accepted);
        }
        self.sequence.tokens.truncate(base);
        self.sequence.tokens.extend(drafted);
        outcome.map(|()| verified)
    }

    fn walk(
        &mut self,
        logits: &mut [f32],
        vocab: usize,
        draft: &Draft,
        signals: SignalMode,
        verified: &mut Verified,
    ) -> Result<(), EngineError> {
        for (index, row) in logits.chunks_exact_mut(vocab).enumerate() {
            if let Some(gate) = &mut self.sequence.gate {
                if gate.is_complete() {
                    verified.stop = Some(StopReason::Constraint);
                    return Ok(());
                }
                gate.make_mask(vocab);
            }
            let Some(&token) = draft.ids.get(index) else {
                verified.next = Some(self.choose(row, 0, signals)?);
                return Ok(());
            };
            let Sequence { tokens, sampler, gate, .. } = &*self.sequence;
            let mask = gate.as_ref().and_then(|gate| gate.allowed(0));
            let (position, q) = (tokens.len(), &draft.q[index]);
            let step =
                match self.sampler.accept_draft(row, tokens, sampler, mask, q, token, position, signals)? {
                    Verdict::Accepted(step) => step,
                    Verdict::Replaced(step) => {
                        verified.next = Some(step);
                        return Ok(());
                    }
                };
            if self.end_ids.contains(&token) {
                verified.stop = Some(StopReason::End);
                return Ok(());
            }
            if !self.sequence.push(token) {
                return Err(EngineError::DeadEnd);
            }
            verified.steps.push(step);
            verified.accepted += 1;
        }
        Ok(())
    }

    /// Appends the target's own token, unless it ends the generation.
    fn keep_next(&mut self, mut verified: Verified) -> Result<Verified, EngineError> {
        match verified.next {
            Some(next) if self.end_ids.contains(&next.token) => {
                verified.next = None;
                verified.stop = Some(StopReason::End);
            }
            Some(next) if !self.sequence.push(next.token) => return Err(EngineError::DeadEnd),
            _ => {}
        }
        Ok(verified)
    }

    /// Chooses the next token, after so many that were foreseen. Where there is a gate, its mask has
    /// been made.
    fn choose(
        &mut self,
        logits: &mut [f32],
        foreseen: usize,
        signals: SignalMode,
    ) -> Result<StepResult, EngineError> {
        let Sequence { tokens, sampler, gate, .. } = &*self.sequence;
        let mask = match gate {
            Some(gate) => Some(gate.allowed(foreseen).ok_or(EngineError::DeadEnd)?),
            None => None,
        };
        self.sampler.choose(logits, tokens, sampler, mask, tokens.len(), signals)
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
