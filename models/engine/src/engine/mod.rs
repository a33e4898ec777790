//! The engine: sequences, jobs, and one batched forward pass per tick.
//!
//! | module | its part of a tick |
//! |---|---|
//! | `sequence` | tokens and pages of each sequence |
//! | `gated` | a sequence's gate and the masks of its next tokens |
//! | `masks` | makes them beside the pass |
//! | `job` | verbs in progress and the rows they need |
//! | `plan` | which rows share the next pass |
//! | `pacer` | how many prompt rows a pass may carry, and what passes take |
//! | `submit` | what each verb does on arrival |
//! | `settle` | what each job makes of its logits |
//! | `verify` | how a draft is checked |

mod gated;
mod job;
mod masks;
mod pacer;
mod plan;
mod sequence;
mod settle;
mod submit;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;
use std::time::Instant;

use understudy_kernels::ComputePool;

use crate::EngineError;
use crate::kv::{PAGE_LEN, PageTable};
use crate::model::forward::emptied;
use crate::model::{CpuDecoder, Decoder, Head, Model, ModelConfig, Row, Want};
use crate::pace::Pace;
use crate::sampling::Sampler;
use crate::tick::{EngineStats, Pulse, Tick, TickEngine};
use crate::verbs::{Cost, JobEvent, JobId, Outcome, SignalMode, TokenId, Verb};
use job::{Job, Work};
use masks::{Gates, MaskMaker};
use pacer::Pacer;
use plan::Share;
use sequence::SequenceTable;

/// How much an engine may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Open sequences; one more `open` fails with `OutOfKv`.
    pub max_sequences: usize,
    /// Tokens of KV memory over all sequences, rounded up to pages.
    pub kv_tokens: usize,
    /// Longest sequence; capped by the model's own context.
    pub context: usize,
    /// Most tokens that a gate foresees and a pass computes besides the next one; 0 turns it off. What
    /// is said does not depend on it. Eight rows take a third to four fifths more than one
    /// (docs/performance.md), and what is foreseen is mostly right.
    pub foreseen: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { max_sequences: 16, kv_tokens: 16_384, context: 8_192, foreseen: 7 }
    }
}

impl EngineOptions {
    /// Pages of KV memory that an engine with these limits needs of its decoder.
    pub fn pages(&self, config: &ModelConfig) -> usize {
        self.kv_tokens.max(self.context.min(config.context)).div_ceil(PAGE_LEN)
    }
}

/// A model, its KV memory and the verbs in progress. Single owner; see [`TickEngine`].
pub struct Engine {
    decoder: Box<dyn Decoder>,
    limits: Limits,
    pulse: Pulse,
    pages: PageTable,
    sequences: SequenceTable,
    /// In order of arrival.
    jobs: Vec<Job>,
    /// Events that arose outside a pass. Bounded by the submissions between two ticks.
    outbox: Vec<(JobId, JobEvent)>,
    sampler: Sampler,
    masks: MaskMaker,
    pacer: Pacer,
    shares: Vec<Share>,
    pass: PassMemory,
    passes: u64,
    total: Cost,
}

/// What bounds a generation.
struct Limits {
    /// Longest sequence.
    context: usize,
    /// Most tokens that a gate foresees.
    foreseen: usize,
    /// Tokens that end it.
    end_ids: Vec<TokenId>,
}

/// Memory of a pass, kept so that decoding allocates nothing. Empty between passes.
#[derive(Default)]
struct PassMemory {
    rows: Vec<Row<'static>>,
    heads: Vec<Head<'static>>,
    /// Gates away from their sequences, while these lend their pages to the pass.
    gates: Gates,
    /// Bytes of the head read for each row that wanted logits.
    head_bytes: Vec<u64>,
}

impl Engine {
    /// An engine over a model on this processor. `end_ids` are the tokens that end a generation.
    pub fn new(
        model: Arc<Model>,
        end_ids: Vec<TokenId>,
        pool: Arc<ComputePool>,
        options: &EngineOptions,
        pulse: Pulse,
    ) -> Self {
        let pages = options.pages(model.config());
        Self::over(Box::new(CpuDecoder::new(model, pool, pages)), end_ids, options, pulse)
    }

    /// An engine over any decoder, which brings its KV memory along (see [`EngineOptions::pages`]).
    pub fn over(
        decoder: Box<dyn Decoder>,
        end_ids: Vec<TokenId>,
        options: &EngineOptions,
        pulse: Pulse,
    ) -> Self {
        let context = options.context.min(decoder.config().context);
        let foreseen = options.foreseen.min(plan::MAX_WANTED_ROWS - 1);
        Self {
            limits: Limits { context, foreseen, end_ids },
            pages: PageTable::new(decoder.pages()),
            sequences: SequenceTable::new(options.max_sequences),
            sampler: Sampler::new(),
            masks: MaskMaker::new(decoder.config().vocab),
            jobs: Vec::new(),
            outbox: Vec::new(),
            pacer: Pacer::new(),
            shares: Vec::new(),
            pass: PassMemory::default(),
            passes: 0,
            total: Cost::default(),
            decoder,
            pulse,
        }
    }

    /// Longest sequence it accepts.
    pub fn context(&self) -> usize {
        self.limits.context
    }

    /// Sequences take up what they computed for a draft, and prompts take over what others with the same
    /// beginning have computed since the last pass.
    fn adopt_pages(&mut self) {
        for job in &mut self.jobs {
            let Ok(sequence) = self.sequences.get_mut(job.seq) else { continue };
            let need = job.work.need(sequence.tokens.len());
            if !need.hidden {
                sequence.take_up(need.want_from, &mut self.pages);
                let adopted_rows = sequence.adopt(need.want_from, &mut self.pages) as u64;
                job.cost.adopted_rows += adopted_rows;
                self.total.adopted_rows += adopted_rows;
            }
        }
    }

    /// Gives every planned row a page of its own; jobs that memory is out for end here.
    fn secure_pages(&mut self) {
        let mut lacking = Vec::new();
        for share in &self.shares {
            let job = &self.jobs[share.job];
            let Ok(sequence) = self.sequences.get_mut(job.seq) else { continue };
            let secured = match sequence.reserve(share.to, &mut self.pages) {
                true => sequence.make_writable(share.from, share.to, &mut self.pages, &mut *self.decoder),
                false => Err(EngineError::OutOfKv("every page is in use".into())),
            };
            if let Err(error) = secured {
                lacking.push((share.job, error));
            }
        }
        let is_lacking = !lacking.is_empty();
        for (index, error) in lacking.into_iter().rev() {
            let answer = match error {
                EngineError::OutOfKv(why) => self.end_for_memory(index, why),
                // What it tried is not in the sequence afterwards.
                error => self.abandon(index).and(Err(error)),
            };
            self.finish_later(index, answer);
        }
        if is_lacking {
            // Indices moved: plan again at the next tick rather than patch them up.
            self.shares.clear();
        }
    }

    /// One forward pass over the planned rows, and the masks of those that a gate restricts.
    fn compute(&mut self) {
        let started = Instant::now();
        self.take_gates();
        let passed = self.forward();
        for (seq, gate) in self.pass.gates.drain(..) {
            if let Ok(sequence) = self.sequences.get_mut(seq) {
                sequence.gate = Some(gate);
            }
        }
        if let Err(error) = passed.and_then(|()| self.head()) {
            return self.fail_pass(&error);
        }
        let took = started.elapsed();
        self.passes += 1;
        let (decoding, prompt) = plan::rows_by_kind(&self.shares);
        self.pacer.note(decoding, prompt, took);
        if let ([_], 0) = (&self.shares[..], prompt) {
            self.pacer.note_single(decoding, took);
        }
        self.charge(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Takes the gates of all jobs that choose a token after this pass.
    fn take_gates(&mut self) {
        for share in self.shares.iter().filter(|share| share.wanted() > 0) {
            let Job { seq, work, .. } = &self.jobs[share.job];
            if work.chooses_with().is_some()
                && let Ok(sequence) = self.sequences.get_mut(*seq)
                && let Some(gate) = sequence.gate.take()
            {
                self.pass.gates.push((*seq, gate));
            }
        }
    }

    fn forward(&mut self) -> Result<(), EngineError> {
        let mut rows = emptied(std::mem::take(&mut self.pass.rows));
        for share in &self.shares {
            let Ok(sequence) = self.sequences.get(self.jobs[share.job].seq) else { continue };
            rows.extend((share.from..share.to).map(|pos| Row {
                token: sequence.tokens[pos],
                pos,
                pages: &sequence.pages,
                want: match () {
                    () if share.hidden => Want::Hidden,
                    () if pos >= share.want_from => Want::Logits,
                    () => Want::Nothing,
                },
            }));
        }
        let gates = std::mem::take(&mut self.pass.gates);
        let (gates, passed) = self.masks.beside(gates, || self.decoder.forward(&rows, &self.pulse));
        self.pass.gates = gates;
        self.pass.rows = emptied(rows);
        passed
    }

    /// Logits, of the tokens that somebody will read.
    fn head(&mut self) -> Result<(), EngineError> {
        let mut heads = emptied(std::mem::take(&mut self.pass.heads));
        for share in &self.shares {
            let Job { seq, work, .. } = &self.jobs[share.job];
            let gate = self.sequences.get(*seq).ok().and_then(|sequence| sequence.gate.as_ref());
            let gate = match work.chooses_with() {
                None | Some(SignalMode::Full) => None,
                Some(SignalMode::None | SignalMode::Masked) => gate,
            };
            heads.extend(
                (0..share.wanted())
                    .map(|row| Head { allowed: gate.and_then(|gate| gate.read(row)), bytes_read: 0 }),
            );
        }
        let done = self.decoder.head(&mut heads);
        self.pulse.beat();
        self.pass.head_bytes.clear();
        self.pass.head_bytes.extend(heads.iter().map(|head| head.bytes_read));
        self.pass.heads = emptied(heads);
        done
    }

    /// Ends every job of a pass that did not take place; their sequences are as before their verbs.
    fn fail_pass(&mut self, error: &EngineError) {
        tracing::error!(%error, jobs = self.shares.len(), "a forward pass failed");
        for share in std::mem::take(&mut self.shares).into_iter().rev() {
            let _ = self.abandon(share.job); // its answer is the error
            self.finish_later(share.job, Err(error.clone()));
        }
    }

    /// Splits the pass's time and bytes over its rows, so that the sums over jobs equal
    /// the engine's counters exactly.
    fn charge(&mut self, micros: u64) {
        let rows: u64 = self.shares.iter().map(|share| share.rows() as u64).sum();
        let (block_bytes, _) = self.decoder.pass_bytes();
        let per_token = self.decoder.kv_bytes_per_token();
        // A telescoping integer split: the parts always add up to the amount.
        let split = |amount: u64, parts: u64, done: u64, of: u64| {
            let upto = |count: u64| (amount * count).checked_div(of).unwrap_or(0);
            upto(done + parts) - upto(done)
        };
        let mut done = 0;
        let mut head_bytes = self.pass.head_bytes.iter();
        for share in &self.shares {
            let count = share.rows() as u64;
            let wanted = share.wanted() as u64;
            let kv_read: u64 = (share.from..share.to).map(|pos| (pos as u64 + 1) * per_token).sum();
            let cost = Cost {
                prefill_rows: count - wanted,
                adopted_rows: 0,
                decode_rows: wanted,
                forward_passes: 1,
                bytes_read: split(block_bytes, count, done, rows)
                    + head_bytes.by_ref().take(share.wanted()).sum::<u64>()
                    + kv_read,
                compute_us: split(micros, count, done, rows),
            };
            done += count;
            self.jobs[share.job].cost += cost;
            self.total += cost;
        }
    }

    /// Ends a job outside a pass; its event comes with the next tick.
    fn finish_later(&mut self, index: usize, result: Result<Outcome, EngineError>) {
        let job = self.jobs.remove(index);
        if let Ok(sequence) = self.sequences.get_mut(job.seq) {
            sequence.busy = None;
        }
        if let Work::Embed { .. } = job.work {
            self.close(job.seq);
        }
        self.outbox.push((job.id, JobEvent::Done { result, cost: job.cost }));
    }
}

impl TickEngine for Engine {
    fn submit(&mut self, job: JobId, verb: Verb) {
        self.accept(job, verb);
    }

    fn cancel(&mut self, job: JobId) {
        if let Some(index) = self.jobs.iter().position(|candidate| candidate.id == job) {
            let answer = self.abandon(index);
            self.finish_later(index, answer);
        }
    }

    fn set_paused(&mut self, job: JobId, paused: bool) {
        if let Some(job) = self.jobs.iter_mut().find(|candidate| candidate.id == job) {
            job.paused = paused;
        }
    }

    fn tick(&mut self, events: &mut Vec<(JobId, JobEvent)>) -> Tick {
        self.pulse.beat();
        events.append(&mut self.outbox);
        self.append_forced_runs(events);
        self.append_foreseen();
        self.adopt_pages();
        let most = self.decoder.prefill_rows();
        plan::plan(&self.jobs, &self.sequences, &self.pacer, most, &mut self.shares);
        self.secure_pages();
        if !self.shares.is_empty() {
            self.compute();
        }
        let settled = self.settle(events);
        match self.shares.is_empty() && !settled && self.outbox.is_empty() {
            true => Tick::Idle,
            false => Tick::Worked,
        }
    }

    fn stats(&self) -> EngineStats {
        EngineStats {
            sequences: self.sequences.open_count(),
            jobs: self.jobs.len(),
            kv_pages_used: self.pages.held(),
            kv_pages_total: self.pages.total(),
            kv_page_bytes: self.decoder.kv_bytes_per_token() * PAGE_LEN as u64,
            passes: self.passes,
            total: self.total,
            masks: self.masks.stats(),
        }
    }

    fn pace(&self) -> Pace {
        self.pacer.pace()
    }
}
