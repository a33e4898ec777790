//! What each verb does on arrival. Verbs that need no arithmetic are answered here.

use crate::EngineError;
use crate::engine::Engine;
use crate::engine::job::{Job, Work};
use crate::engine::plan::MAX_WANTED_ROWS;
use crate::engine::sequence::Sequence;
use crate::engine::verify::Verification;
use crate::sampling::{check_bias, check_draft};
use crate::verbs::{
    Acceptance, Cost, Draft, JobEvent, JobId, OpenSpec, Outcome, RunSpec, SeqKey, StopReason, TokenId, Verb,
    VerifySpec,
};

/// The partition of all texts to embed. They take no keys and values from each other, since each computes
/// every row, and give none to a prompt.
const EMBEDDINGS: &str = "\0embeddings";

impl Engine {
    pub(super) fn accept(&mut self, id: JobId, verb: Verb) {
        let answer = match verb {
            Verb::Open(spec) => self.open(spec).map(Some),
            Verb::Extend { seq, at, ids } => self.extend(seq, at, &ids).map(Some),
            Verb::Truncate { seq, len } => self.truncate(seq, len).map(Some),
            Verb::Fork { seq, lane } => self.fork(seq, lane).map(Some),
            Verb::Close { seq } => {
                self.close(seq);
                Ok(Some(Outcome::Closed))
            }
            Verb::Run { seq, at, spec } => self.run(id, seq, at, spec),
            Verb::Propose { seq, at, k } => self.propose(id, seq, at, k),
            Verb::Verify { seq, at, spec } => self.verify(id, seq, at, spec),
            Verb::Score { seq, candidates } => self.score(id, seq, candidates),
            Verb::Embed { ids } => self.embed(id, ids),
        };
        let result = match answer {
            Ok(None) => return,
            Ok(Some(outcome)) => Ok(outcome),
            Err(error) => Err(error),
        };
        self.outbox.push((id, JobEvent::Done { result, cost: Cost::default() }));
    }

    fn open(&mut self, spec: OpenSpec) -> Result<Outcome, EngineError> {
        self.check_ids("the prompt", &spec.prompt)?;
        self.check_fits(spec.prompt.len())?;
        check_bias(&spec.sampler.logit_bias, self.decoder.config().vocab)?;
        if self.sequences.is_full() {
            return Err(EngineError::OutOfKv("every sequence slot is in use".into()));
        }
        let sequence = Sequence::open(spec, &mut self.pages)?;
        let cached = sequence.computed;
        match self.sequences.insert(sequence) {
            Some(seq) => Ok(Outcome::Opened { seq, cached }),
            None => Err(EngineError::OutOfKv("every sequence slot is in use".into())),
        }
    }

    fn extend(&mut self, seq: SeqKey, at: usize, ids: &[TokenId]) -> Result<Outcome, EngineError> {
        self.check_ids("the extension", ids)?;
        self.check_fits(at.saturating_add(ids.len()))?;
        let sequence = self.sequences.expect(seq, Some(at))?;
        if let Some(gate) = &mut sequence.gate {
            for (index, &id) in ids.iter().enumerate() {
                if !gate.accept(id) {
                    gate.rollback(index);
                    return Err(EngineError::InvalidArgument(format!(
                        "the constraint does not allow token {id} of the extension"
                    )));
                }
            }
        }
        sequence.tokens.extend_from_slice(ids);
        Ok(Outcome::Length(sequence.tokens.len()))
    }

    fn truncate(&mut self, seq: SeqKey, len: usize) -> Result<Outcome, EngineError> {
        let sequence = self.sequences.expect(seq, None)?;
        if len == 0 || len > sequence.tokens.len() {
            return Err(EngineError::InvalidArgument(format!(
                "cannot truncate {} tokens to {len}",
                sequence.tokens.len()
            )));
        }
        sequence.truncate(len, &mut self.pages);
        Ok(Outcome::Length(len))
    }

    fn fork(&mut self, seq: SeqKey, lane: u32) -> Result<Outcome, EngineError> {
        if self.sequences.is_full() {
            return Err(EngineError::OutOfKv("every sequence slot is in use".into()));
        }
        let copy = self.sequences.expect(seq, None)?.fork(lane, &mut self.pages);
        match self.sequences.insert(copy) {
            Some(copy) => Ok(Outcome::Forked(copy)),
            None => Err(EngineError::OutOfKv("every sequence slot is in use".into())),
        }
    }

    fn run(
        &mut self,
        id: JobId,
        seq: SeqKey,
        at: usize,
        spec: RunSpec,
    ) -> Result<Option<Outcome>, EngineError> {
        self.start(id, seq, at, Work::Run { spec, produced: 0, foreseen: 0 })?;
        let most = self.limits.context.saturating_sub(at).min(spec.max_tokens as usize);
        self.sequences.get_mut(seq)?.expect_more(most);
        Ok(None)
    }

    fn propose(
        &mut self,
        id: JobId,
        seq: SeqKey,
        at: usize,
        k: usize,
    ) -> Result<Option<Outcome>, EngineError> {
        check_count("a draft", k)?;
        self.check_fits(at.saturating_add(k))?;
        self.start(id, seq, at, Work::Propose { base: at, k, draft: Draft::default() })
    }

    fn verify(
        &mut self,
        id: JobId,
        seq: SeqKey,
        at: usize,
        mut spec: VerifySpec,
    ) -> Result<Option<Outcome>, EngineError> {
        self.check_verify(&mut spec)?;
        let sequence = self.sequences.expect(seq, Some(at))?;
        let mut verification = Verification::new(at, spec);
        if let Some(verified) = verification.begin(sequence, &self.limits, &mut self.pages) {
            return Ok(Some(Outcome::Verified(verified)));
        }
        self.queue(id, seq, Work::Verify(verification))
    }

    fn score(
        &mut self,
        id: JobId,
        seq: SeqKey,
        candidates: Vec<Vec<TokenId>>,
    ) -> Result<Option<Outcome>, EngineError> {
        let base = self.sequences.get(seq)?.tokens.len();
        let Some(first) = candidates.first().cloned() else {
            return Err(EngineError::Empty("the candidate list"));
        };
        for candidate in &candidates {
            self.check_ids("a candidate", candidate)?;
            self.check_fits(base + candidate.len())?;
            check_count("a candidate", candidate.len())?;
        }
        self.start(id, seq, base, Work::Score { base, candidates, scores: Vec::new() })?;
        self.sequences.get_mut(seq)?.tokens.extend(first);
        Ok(None)
    }

    fn embed(&mut self, id: JobId, ids: Vec<TokenId>) -> Result<Option<Outcome>, EngineError> {
        let partition = EMBEDDINGS.into();
        let opened = self.open(OpenSpec { prompt: ids, partition, ..OpenSpec::default() })?;
        let Outcome::Opened { seq, .. } = opened else { return Ok(Some(opened)) };
        let sequence = self.sequences.get_mut(seq)?;
        // Hidden states are not cached, only keys and values: every row is computed.
        sequence.computed = 0;
        let len = sequence.tokens.len();
        self.start(id, seq, len, Work::Embed { sum: Vec::new() })
    }

    /// Queues a job over a sequence.
    fn start(
        &mut self,
        id: JobId,
        seq: SeqKey,
        at: usize,
        work: Work,
    ) -> Result<Option<Outcome>, EngineError> {
        self.sequences.expect(seq, Some(at))?;
        self.queue(id, seq, work)
    }

    fn queue(&mut self, id: JobId, seq: SeqKey, work: Work) -> Result<Option<Outcome>, EngineError> {
        let sequence = self.sequences.get_mut(seq)?;
        sequence.busy = Some(id);
        // The logits of the last token, or of the last before what is ahead, are wanted, so its row is
        // computed (again, if need be).
        let need = work.need(sequence.tokens.len());
        sequence.computed = sequence.computed.min(need.want_from);
        self.jobs.push(Job { id, seq, work, cost: Cost::default(), paused: false, answer: None });
        Ok(None)
    }

    /// Drops a sequence; a job on it is cancelled first.
    pub(super) fn close(&mut self, seq: SeqKey) {
        let Some(sequence) = self.sequences.remove(seq) else { return };
        if let Some(index) = self.jobs.iter().position(|job| Some(job.id) == sequence.busy) {
            let job = self.jobs.remove(index);
            self.outbox
                .push((job.id, JobEvent::Done { result: Err(EngineError::Cancelled), cost: job.cost }));
        }
        sequence.release(&mut self.pages);
    }

    /// What a cancelled job answers, its sequence put back to a clean state.
    pub(super) fn abandon(&mut self, index: usize) -> Result<Outcome, EngineError> {
        let job = &self.jobs[index];
        let sequence = self.sequences.get_mut(job.seq)?;
        match &job.work {
            Work::Run { foreseen, .. } => {
                let len = sequence.tokens.len() - foreseen;
                sequence.cut(len, &mut self.pages);
                Ok(Outcome::Ran { stop: StopReason::Cancelled, len })
            }
            Work::Propose { base, .. } => {
                sequence.truncate(*base, &mut self.pages);
                Err(EngineError::Cancelled)
            }
            Work::Verify(verification) => {
                sequence.take_ahead(verification.ahead);
                sequence.truncate(verification.base, &mut self.pages);
                Err(EngineError::Cancelled)
            }
            Work::Score { base, .. } => {
                sequence.cut(*base, &mut self.pages);
                Err(EngineError::Cancelled)
            }
            Work::Embed { .. } => Err(EngineError::Cancelled),
        }
    }

    /// What a job answers that memory is out for: one that generates ends with what it has.
    pub(super) fn end_for_memory(&mut self, index: usize, why: String) -> Result<Outcome, EngineError> {
        let job = &mut self.jobs[index];
        let sequence = self.sequences.get_mut(job.seq)?;
        if let Work::Verify(verification) = &mut job.work {
            let len = sequence.tokens.len() - verification.ahead;
            sequence.cut(len, &mut self.pages);
            return Ok(Outcome::Verified(verification.end(StopReason::ContextFull)));
        }
        match self.abandon(index) {
            Ok(Outcome::Ran { len, .. }) => Ok(Outcome::Ran { stop: StopReason::ContextFull, len }),
            _ => Err(EngineError::OutOfKv(why)),
        }
    }

    fn check_ids(&self, what: &'static str, ids: &[TokenId]) -> Result<(), EngineError> {
        let vocab = self.decoder.config().vocab;
        if ids.is_empty() {
            return Err(EngineError::Empty(what));
        }
        match ids.iter().find(|&&id| id as usize >= vocab) {
            Some(&id) => Err(EngineError::TokenOutOfRange { id, vocab }),
            None => Ok(()),
        }
    }

    fn check_fits(&self, tokens: usize) -> Result<(), EngineError> {
        if tokens > self.limits.context {
            return Err(EngineError::ContextOverflow { tokens, context: self.limits.context });
        }
        Ok(())
    }

    fn check_verify(&self, spec: &mut VerifySpec) -> Result<(), EngineError> {
        let Draft { ids, .. } = &spec.draft;
        if !ids.is_empty() {
            self.check_ids("the draft", ids)?;
            check_count("a draft", ids.len())?;
        }
        check_draft(&mut spec.draft)?;
        match spec.acceptance {
            Acceptance::Lenient { alpha } if !(0.0..=1.0).contains(&alpha) => {
                Err(EngineError::InvalidArgument(format!("alpha is {alpha}, it must be from 0 to 1")))
            }
            _ if spec.most == 0 => {
                Err(EngineError::InvalidArgument("a verification adds at least one token".into()))
            }
            _ => Ok(()),
        }
    }
}

fn check_count(what: &str, count: usize) -> Result<(), EngineError> {
    match count {
        0 => Err(EngineError::InvalidArgument(format!("{what} needs at least one token"))),
        count if count >= MAX_WANTED_ROWS => Err(EngineError::InvalidArgument(format!(
            "{what} of {count} tokens is longer than the {} that one pass verifies",
            MAX_WANTED_ROWS - 1
        ))),
        _ => Ok(()),
    }
}
