//! How a draft is checked.
//!
//! On arrival the gate's forced tokens are appended, then what is to be checked, *ahead* of the text: the
//! gate has not seen it. One pass computes a row after the text and one after each token ahead. Then the
//! tokens that stand stay, the target adds its own, and the gate what it forces after that.
//!
//! **Invariant.** Where tokens are point masses they stand when they are what [`Sampler::choose`] draws at
//! their position, with the random numbers of a run: the text is that of a run, token by token, at any
//! temperature, whatever is drafted and however often it is verified.
//!
//! [`Sampler::choose`]: crate::sampling::Sampler::choose

use crate::EngineError;
use crate::engine::Limits;
use crate::engine::sequence::Sequence;
use crate::engine::settle::{Rule, Step};
use crate::kv::PageTable;
use crate::sampling::{Block, Context};
use crate::verbs::{Acceptance, SignalMode, StepResult, StopReason, TokenId, Verified, VerifySpec};

/// A verification in progress.
pub(super) struct Verification {
    /// Length of the sequence before.
    pub base: usize,
    pub signals: SignalMode,
    /// Tokens at the end of the sequence that its gate has not seen.
    pub ahead: usize,
    acceptance: Acceptance,
    /// Tokens that may be added.
    most: usize,
    /// What is checked: the tokens ahead, and perhaps one more that would end the generation.
    checked: Vec<TokenId>,
    /// What they were drawn from, where that matters: not for point masses, nor where acceptance is lenient.
    q: Vec<Vec<(TokenId, f32)>>,
    verified: Verified,
}

impl Verification {
    pub fn new(base: usize, spec: VerifySpec) -> Self {
        let VerifySpec { draft, acceptance, most, signals } = spec;
        let is_drawn = acceptance == Acceptance::Exact && !draft.is_certain();
        Self {
            base,
            signals,
            ahead: 0,
            acceptance,
            most: most as usize,
            checked: draft.ids,
            q: if is_drawn { draft.q } else { Vec::new() },
            verified: Verified::default(),
        }
    }

    /// Appends what is forced and what is to be checked; the answer, where that needs no arithmetic.
    pub fn begin(
        &mut self,
        sequence: &mut Sequence,
        limits: &Limits,
        pages: &mut PageTable,
    ) -> Option<Verified> {
        self.push_forced(sequence, limits);
        let stop = stop_of(sequence, limits);
        if stop.is_some() || self.left() == 0 {
            return Some(self.conclude(stop, sequence, limits));
        }
        self.drop_forced();
        let room = self.left().min(limits.context - sequence.tokens.len()) - 1;
        let is_drafted = !self.checked.is_empty();
        if !is_drafted {
            self.checked = sequence.foreseen(room.min(limits.foreseen));
        }
        let last = self.checked.iter().position(|token| limits.end_ids.contains(token));
        self.checked.truncate(last.map_or(room, |last| room.min(last + 1)));
        // Nothing follows a token that ends the generation.
        let ahead = self.checked.len().min(last.unwrap_or(room));
        self.ahead = sequence.look_ahead(&self.checked[..ahead], pages);
        if self.ahead < ahead {
            self.checked.clear();
        }
        self.verified.drafted = if is_drafted { self.checked.len() } else { 0 };
        None
    }

    /// Ends it for a reason from outside, with what there is.
    pub fn end(&mut self, stop: StopReason) -> Verified {
        self.verified.stop = Some(stop);
        std::mem::take(&mut self.verified)
    }

    /// Tokens that may still be added.
    fn left(&self) -> usize {
        self.most - self.verified.steps.len()
    }

    fn push_forced(&mut self, sequence: &mut Sequence, limits: &Limits) {
        let forced = sequence.gate.as_mut().map(|gate| gate.forced()).unwrap_or_default();
        for token in forced {
            if self.left() == 0 || sequence.tokens.len() >= limits.context || !sequence.push(token) {
                return;
            }
            self.verified.steps.push(StepResult::forced(token));
        }
    }

    /// A draft goes on where the forced tokens end, or is void.
    fn drop_forced(&mut self) {
        let forced = self.verified.steps.len();
        let same = self.checked.iter().zip(&self.verified.steps).take_while(|(a, b)| **a == b.token).count();
        let dropped = if same == forced { forced } else { self.checked.len() };
        self.checked.drain(..dropped);
        self.q.drain(..dropped.min(self.q.len()));
    }

    fn conclude(&mut self, stop: Option<StopReason>, sequence: &mut Sequence, limits: &Limits) -> Verified {
        let mut verified = std::mem::take(&mut self.verified);
        verified.stop = stop;
        if stop.is_none() {
            let room = limits.context - sequence.tokens.len() - 1;
            verified.foreseen = sequence.foreseen(room.min(limits.foreseen)).len();
        }
        verified
    }
}

impl Step<'_> {
    /// Takes what stands of the tokens ahead, the target's own, and what is forced after it. After an
    /// error the sequence is as before.
    pub(super) fn verify(
        &mut self,
        logits: &mut [f32],
        job: &mut Verification,
        pages: &mut PageTable,
    ) -> Result<Verified, EngineError> {
        let ahead = self.sequence.take_ahead(std::mem::take(&mut job.ahead));
        let before = self.sequence.tokens.len();
        let walked = match job.q.is_empty() || self.sequence.sampler.temperature == 0.0 {
            true => self.verify_points(logits, job),
            false => self.verify_block(logits, job, pages),
        };
        let (accepted, ended) = walked.inspect_err(|_| self.sequence.truncate(job.base, pages))?;
        let right = self.sequence.tokens[before..].iter().zip(&ahead).take_while(|(a, b)| a == b).count();
        self.sequence.keep_computed(before + right);
        job.verified.accepted = accepted.min(job.verified.drafted);
        if ended.is_none() {
            job.push_forced(self.sequence, self.limits);
        }
        let stop = ended.or_else(|| stop_of(self.sequence, self.limits));
        Ok(job.conclude(stop, self.sequence, self.limits))
    }

    /// By what the target draws; how many tokens stand, and why nothing follows.
    fn verify_points(
        &mut self,
        logits: &mut [f32],
        job: &mut Verification,
    ) -> Result<(usize, Option<StopReason>), EngineError> {
        let alpha = match job.acceptance {
            Acceptance::Exact => None,
            Acceptance::Lenient { alpha } => Some(alpha),
        };
        let rule = Rule { alpha, ..Rule::plain(job.signals) };
        let steps = &mut job.verified.steps;
        self.walk(logits, &job.checked, &rule, &mut |step| steps.push(step))
    }

    /// By block verification.
    fn verify_block(
        &mut self,
        logits: &mut [f32],
        job: &mut Verification,
        pages: &mut PageTable,
    ) -> Result<(usize, Option<StopReason>), EngineError> {
        let base = self.sequence.tokens.len();
        let mut block = Block::new(base);
        let mut rows = logits.chunks_exact_mut(self.vocab);
        let mut end = None;
        for (index, (&token, q)) in job.checked.iter().zip(&job.q).enumerate() {
            let Some(row) = rows.next() else { break };
            let Sequence { tokens, sampler, gate, .. } = &mut *self.sequence;
            let mask = gate.as_mut().map(|gate| gate.mask_after(index, self.vocab));
            let context = Context { history: tokens, spec: sampler, mask, signals: job.signals };
            if !block.judge(self.sampler, row, &context, token, q)? {
                break;
            }
            if self.limits.end_ids.contains(&token) {
                end = Some(StopReason::End);
                break;
            }
            if !self.sequence.push(token) {
                return Err(EngineError::DeadEnd);
            }
            if self.sequence.is_complete() {
                end = Some(StopReason::Constraint);
                break;
            }
        }
        let (mut standing, instead) = block.finish(&self.sequence.sampler);
        let accepted = standing.len();
        self.sequence.truncate(self.sequence.tokens.len().min(base + accepted), pages);
        // A token that ends the generation stands without being in the sequence.
        standing.truncate(self.sequence.tokens.len() - base);
        job.verified.steps.append(&mut standing);
        let next = match (instead, end) {
            (Some(instead), _) => instead,
            (None, Some(stop)) => return Ok((accepted, Some(stop))),
            (None, None) => {
                let Some(row) = rows.next() else { return Ok((accepted, None)) };
                self.choose(row, accepted, None, &Rule::plain(job.signals))?
            }
        };
        if self.limits.end_ids.contains(&next.token) {
            return Ok((accepted, Some(StopReason::End)));
        }
        if !self.sequence.push(next.token) {
            return Err(EngineError::DeadEnd);
        }
        job.verified.steps.push(next);
        Ok((accepted, None))
    }
}

/// Why nothing can follow.
fn stop_of(sequence: &mut Sequence, limits: &Limits) -> Option<StopReason> {
    match () {
        () if sequence.is_complete() => Some(StopReason::Constraint),
        () if sequence.tokens.len() >= limits.context => Some(StopReason::ContextFull),
        () => None,
    }
}
