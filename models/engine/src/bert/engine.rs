//! The encoder behind the engines' interface: one text per tick.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use understudy_kernels::ComputePool;

use super::Bert;
use crate::EngineError;
use crate::tick::{EngineStats, Pulse, Tick, TickEngine};
use crate::verbs::{Cost, JobEvent, JobId, Outcome, TokenId, Verb};

/// An encoder and the texts that wait for it. Single owner; see [`TickEngine`].
pub struct BertEngine {
    model: Arc<Bert>,
    pool: Arc<ComputePool>,
    pulse: Pulse,
    /// In order of arrival; as many as callers have permits.
    waiting: VecDeque<(JobId, Vec<TokenId>)>,
    /// Answers without arithmetic.
    outbox: Vec<(JobId, JobEvent)>,
    total: Cost,
}

impl BertEngine {
    /// An engine over an encoder.
    pub fn new(model: Arc<Bert>, pool: Arc<ComputePool>, pulse: Pulse) -> Self {
        Self { model, pool, pulse, waiting: VecDeque::new(), outbox: Vec::new(), total: Cost::default() }
    }

    fn check(&self, ids: &[TokenId]) -> Result<(), EngineError> {
        let config = self.model.config();
        if ids.is_empty() {
            return Err(EngineError::Empty("the text"));
        }
        if ids.len() > config.context {
            return Err(EngineError::ContextOverflow { tokens: ids.len(), context: config.context });
        }
        match ids.iter().find(|&&id| id as usize >= config.vocab) {
            Some(&id) => Err(EngineError::TokenOutOfRange { id, vocab: config.vocab }),
            None => Ok(()),
        }
    }

    fn answer(&mut self, job: JobId, result: Result<Outcome, EngineError>) {
        self.outbox.push((job, JobEvent::Done { result, cost: Cost::default() }));
    }

    fn compute(&mut self, ids: &[TokenId]) -> (Result<Outcome, EngineError>, Cost) {
        let started = Instant::now();
        let embedding = self.model.embed(&self.pool, ids, &self.pulse);
        let cost = Cost {
            prefill_rows: ids.len() as u64,
            adopted_rows: 0,
            decode_rows: 0,
            forward_passes: 1,
            bytes_read: self.model.pass_bytes(),
            compute_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        self.total += cost;
        let result = match embedding.iter().all(|value| value.is_finite()) {
            true => Ok(Outcome::Embedding(embedding)),
            false => Err(EngineError::NonFiniteLogits),
        };
        (result, cost)
    }
}

impl TickEngine for BertEngine {
    fn submit(&mut self, job: JobId, verb: Verb) {
        match verb {
            Verb::Embed { ids } => match self.check(&ids) {
                Ok(()) => self.waiting.push_back((job, ids)),
                Err(error) => self.answer(job, Err(error)),
            },
            Verb::Close { .. } => self.answer(job, Ok(Outcome::Closed)),
            _ => self.answer(
                job,
                Err(EngineError::InvalidArgument("this model embeds texts; it does not generate".into())),
            ),
        }
    }

    fn cancel(&mut self, job: JobId) {
        if let Some(index) = self.waiting.iter().position(|(waiting, _)| *waiting == job) {
            self.waiting.remove(index);
            self.answer(job, Err(EngineError::Cancelled));
        }
    }

    /// There is no stream that a reader could be slow at.
    fn set_paused(&mut self, _job: JobId, _paused: bool) {}

    fn tick(&mut self, events: &mut Vec<(JobId, JobEvent)>) -> Tick {
        self.pulse.beat();
        events.append(&mut self.outbox);
        let Some((job, ids)) = self.waiting.pop_front() else { return Tick::Idle };
        let (result, cost) = self.compute(&ids);
        events.push((job, JobEvent::Done { result, cost }));
        Tick::Worked
    }

    fn stats(&self) -> EngineStats {
        // A text is a pass.
        let passes = self.total.forward_passes;
        EngineStats { jobs: self.waiting.len(), total: self.total, passes, ..EngineStats::default() }
    }
}
