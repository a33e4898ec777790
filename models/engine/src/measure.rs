//! Speed of one model on this machine, beside what the machine can do at most.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_kernels::{Ceiling, ComputePool};

use crate::EngineError;
use crate::device::PlacedModel;
use crate::engine::{Engine, EngineOptions};
use crate::gate::TokenGate;
use crate::kv::{PAGE_LEN, PageId};
use crate::model::{Head, Model, Row, Want};
use crate::sampling::{Purpose, uniform};
use crate::tick::{Pulse, TickEngine};
use crate::verbs::*;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Tokens of the prompt whose prefill is timed.
    pub prompt_tokens: u32,
    /// Tokens to decode.
    pub gen_tokens: u32,
    /// Tokens that a sequence holds before decoding is timed.
    pub depth: u32,
    /// Numbers of streams to decode at once.
    pub streams: Vec<u32>,
    /// Numbers of tokens that a mask allows, for steps beside those without a mask.
    pub masks: Vec<u32>,
    /// Times to measure each figure; the median is reported.
    pub repeat: usize,
}

/// Medians, with the ceilings of the path and machine they were measured on.
#[derive(Debug, Clone, Serialize)]
pub struct Speed {
    /// Prompt tokens per second.
    pub prefill_tok_s: f64,
    /// Decoded tokens per second of one stream.
    pub decode_tok_s: f64,
    /// Milliseconds from a prompt to its first token.
    pub ttft_ms: f64,
    /// How activations meet weights: `f32`, `int16`, `mixed` or `int8`.
    pub path: &'static str,
    /// What the same path could reach at most; of a device it is not known.
    pub ceiling: Option<Bound>,
    /// Milliseconds of one pass over so many rows.
    pub rows_ms: BTreeMap<u32, f64>,
    /// Several streams at once.
    pub batch: Vec<Batch>,
    /// The most memory that the process has held before the ceilings were measured, which takes a
    /// quarter of a gigabyte; where the system says.
    pub peak_rss_bytes: Option<u64>,
    /// Milliseconds of a decode step under masks that allow so many tokens, and of one under `none`.
    /// Empty when no mask was asked for.
    pub mask_ms: BTreeMap<String, f64>,
}

/// Rates if nothing but arithmetic (prefill) or reading weights and KV (decode) took time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Bound {
    /// Prompt tokens per second.
    pub prefill_tok_s: f64,
    /// Decoded tokens per second of one stream.
    pub decode_tok_s: f64,
}

/// So many streams, decoded together.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Batch {
    /// Streams.
    pub streams: u32,
    /// Tokens per second of all.
    pub decode_tok_s: f64,
}

/// Measures a model. Takes a few seconds per figure and repetition on a small model.
///
/// # Errors
/// [`EngineError`] when the plan's tokens do not fit the model's context, or a device fails.
pub fn measure(model: &PlacedModel, pool: &ComputePool, plan: &Plan) -> Result<Speed, EngineError> {
    let mut bench = Bench::new(model, plan)?;
    bench.time(16, 1, 1, None)?; // every page of the weights, once
    let mut prefills = Vec::new();
    let mut decodes = Vec::new();
    for _ in 0..plan.repeat.max(1) {
        prefills.push(bench.time(plan.prompt_tokens, 1, 1, None)?.0);
        decodes.push(bench.decode(plan, 1, None)?);
    }
    let mut batch = Vec::new();
    for &streams in &plan.streams {
        let rates = (0..plan.repeat.max(1)).map(|_| bench.decode(plan, streams, None));
        batch.push(Batch { streams, decode_tok_s: median(rates.collect::<Result<_, _>>()?) });
    }
    let rows_ms = rows_ms(model, plan.repeat)?;
    let peak_rss_bytes = peak_rss_bytes();
    let prefill = median(prefills.iter().map(Duration::as_secs_f64).collect());
    Ok(Speed {
        prefill_tok_s: f64::from(plan.prompt_tokens) / prefill,
        decode_tok_s: median(decodes),
        ttft_ms: prefill * 1e3,
        path: model.path(),
        ceiling: model.on_processor().map(|model| bound(model, &Ceiling::measure(pool), plan)),
        rows_ms,
        batch,
        peak_rss_bytes,
        mask_ms: bench.mask_ms(plan)?,
    })
}

/// The most memory that this process has held, where the system says.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Runs an engine to the first token of a prompt.
///
/// # Errors
/// [`EngineError`] when the prompt does not fit.
pub fn first_token(engine: &mut dyn TickEngine, prompt: Vec<TokenId>) -> Result<(), EngineError> {
    let (mut events, at) = (Vec::new(), prompt.len());
    let open = OpenSpec { prompt, ..OpenSpec::default() };
    engine.submit(JobId(1), Verb::Open(open));
    engine.tick(&mut events);
    let mut seq = None;
    for (_, event) in events.drain(..) {
        if let JobEvent::Done { result, .. } = event
            && let Outcome::Opened { seq: opened, .. } = result?
        {
            seq = Some(opened);
        }
    }
    let Some(seq) = seq else { return Ok(()) };
    let spec = RunSpec { max_tokens: 1, stop_when: StopWhen::default(), signals: SignalMode::None };
    engine.submit(JobId(2), Verb::Run { seq, at, spec });
    loop {
        engine.tick(&mut events);
        for (_, event) in events.drain(..) {
            if let JobEvent::Done { result, .. } = event {
                return result.map(|_| ());
            }
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Prefill at the path's arithmetic, decoding at the memory's bandwidth.
fn bound(model: &Model, ceiling: &Ceiling, plan: &Plan) -> Bound {
    let (block, head) = model.pass_bytes();
    let config = model.config();
    let kv = 2 * 4 * config.layers * config.kv_width() * (plan.depth + plan.gen_tokens / 2) as usize;
    Bound {
        prefill_tok_s: 1.0 / model.pass_seconds(ceiling),
        decode_tok_s: ceiling.read_bytes / (block + head + kv as u64) as f64,
    }
}

/// One pass over 1 to 16 rows of one sequence, all with logits.
fn rows_ms(model: &PlacedModel, repeat: usize) -> Result<BTreeMap<u32, f64>, EngineError> {
    const MOST: usize = 16;
    let pages: Vec<PageId> = (0..MOST.div_ceil(PAGE_LEN) as PageId).collect();
    let mut decoder = model.decoder(pages.len())?;
    let pulse = Pulse::default();
    let mut time = |count: usize| -> Result<f64, EngineError> {
        let rows: Vec<Row<'_>> = (0..count)
            .map(|pos| Row { token: 100 + pos as u32, pos, pages: &pages, want: Want::Logits })
            .collect();
        let mut heads = vec![Head::default(); count];
        let mut times = Vec::new();
        for _ in 0..8 * repeat.max(1) {
            let start = Instant::now();
            decoder.forward(&rows, &pulse)?;
            decoder.head(&mut heads)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(times))
    };
    [1, 2, 4, 8, 16].into_iter().map(|count| Ok((count as u32, time(count)?))).collect()
}

/// An engine and a number that makes every prompt differ, so that none meets its prefix again.
struct Bench {
    engine: Engine,
    vocab: u32,
    prompts: u32,
}

impl Bench {
    fn new(model: &PlacedModel, plan: &Plan) -> Result<Self, EngineError> {
        let streams = plan.streams.iter().copied().max().unwrap_or(1).max(1) as usize;
        let tokens = (plan.prompt_tokens.max(plan.depth) + plan.gen_tokens + 2) as usize;
        let options = EngineOptions {
            max_sequences: streams,
            kv_tokens: streams * tokens.next_multiple_of(PAGE_LEN) + PAGE_LEN,
            context: tokens,
            ..EngineOptions::default()
        };
        let decoder = model.decoder(options.pages(model.config()))?;
        let engine = Engine::over(decoder, Vec::new(), &options, Pulse::default());
        Ok(Self { engine, vocab: model.config().vocab as u32, prompts: 0 })
    }

    /// Decoded tokens per second of so many streams, after their first token.
    fn decode(&mut self, plan: &Plan, streams: u32, allowed: Option<u32>) -> Result<f64, EngineError> {
        let (first, all) = self.time(plan.depth.max(1), plan.gen_tokens + 1, streams, allowed)?;
        Ok(f64::from(plan.gen_tokens * streams) / (all - first).as_secs_f64())
    }

    /// Steps of one stream without a mask and under each of the plan's, by turns.
    fn mask_ms(&mut self, plan: &Plan) -> Result<BTreeMap<String, f64>, EngineError> {
        if plan.masks.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for _ in 0..plan.repeat.max(1) {
            for allowed in [None].into_iter().chain(plan.masks.iter().copied().map(Some)) {
                let name = allowed.map_or_else(|| "none".into(), |count| count.to_string());
                times.entry(name).or_default().push(1e3 / self.decode(plan, 1, allowed)?);
            }
        }
        Ok(times.into_iter().map(|(name, times)| (name, median(times))).collect())
    }

    /// Runs streams to their end: the time until every one had its first token, and in all.
    fn time(
        &mut self,
        prompt: u32,
        gen_tokens: u32,
        streams: u32,
        allowed: Option<u32>,
    ) -> Result<(Duration, Duration), EngineError> {
        let mut events = Vec::new();
        for stream in 0..streams {
            self.prompts += 1;
            let id = |index: u32| (self.prompts * 7919 + index * 37) % self.vocab;
            let prompt = (0..prompt).map(id).collect();
            let gate = allowed.map(|count| SomeTokens::boxed(count, self.vocab));
            let open = OpenSpec { prompt, gate, ..OpenSpec::default() };
            self.engine.submit(JobId(u64::from(stream)), Verb::Open(open));
        }
        self.engine.tick(&mut events);
        let mut opened = Vec::new();
        for (_, event) in events.drain(..) {
            if let JobEvent::Done { result, .. } = event
                && let Outcome::Opened { seq, .. } = result?
            {
                opened.push(seq);
            }
        }
        let started = Instant::now();
        for (stream, &seq) in opened.iter().enumerate() {
            let spec =
                RunSpec { max_tokens: gen_tokens, stop_when: StopWhen::default(), signals: SignalMode::None };
            self.engine.submit(JobId(stream as u64), Verb::Run { seq, at: prompt as usize, spec });
        }
        let mut first = vec![None; opened.len()];
        let mut done = 0;
        while done < opened.len() {
            self.engine.tick(&mut events);
            for (job, event) in events.drain(..) {
                match event {
                    JobEvent::Step(_) => {
                        first[job.0 as usize].get_or_insert(started.elapsed());
                    }
                    JobEvent::Done { result, .. } => {
                        result?;
                        done += 1;
                    }
                }
            }
        }
        let all = started.elapsed();
        for seq in opened {
            self.engine.submit(JobId(u64::MAX), Verb::Close { seq });
        }
        self.engine.tick(&mut events);
        Ok((first.into_iter().flatten().max().unwrap_or(all), all))
    }
}

/// A gate that always allows the same tokens: many, and far apart.
#[derive(Clone)]
struct SomeTokens(Arc<[u32]>);

impl SomeTokens {
    /// So many different ids all over the vocabulary, the same at each call.
    fn boxed(count: u32, vocab: u32) -> Box<dyn TokenGate> {
        let mut mask = vec![0_u32; vocab.div_ceil(32) as usize];
        let mut left = count.min(vocab);
        for place in 0_u64.. {
            if left == 0 {
                break;
            }
            let random = uniform(0, 0, place, Purpose::Sample);
            let id = (random * f64::from(vocab)) as usize;
            if let Some(word) = mask.get_mut(id / 32)
                && *word & (1 << (id % 32)) == 0
            {
                *word |= 1 << (id % 32);
                left -= 1;
            }
        }
        Box::new(Self(mask.into()))
    }
}

impl TokenGate for SomeTokens {
    fn mask(&mut self, allowed: &mut [u32]) {
        allowed.copy_from_slice(&self.0);
    }

    fn accept(&mut self, _: TokenId) -> bool {
        true
    }

    fn rollback(&mut self, _: usize) {}

    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(self.clone())
    }

    fn forced(&mut self) -> Vec<TokenId> {
        Vec::new()
    }

    fn is_complete(&mut self) -> bool {
        false
    }
}
