//! Speed of one model on this machine, beside what the machine can do at most.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_kernels::{Ceiling, ComputePool};

use crate::EngineError;
use crate::device::PlacedModel;
use crate::engine::{Engine, EngineOptions};
use crate::kv::{PAGE_LEN, PageId};
use crate::model::{Model, Row, Want};
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
    /// How activations meet weights: `f32`, `int16` or `int8`.
    pub path: &'static str,
    /// What the same path could reach at most; of a device it is not known.
    pub ceiling: Option<Bound>,
    /// Milliseconds of one pass over so many rows.
    pub rows_ms: BTreeMap<u32, f64>,
    /// Several streams at once.
    pub batch: Vec<Batch>,
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
    bench.time(16, 1, 1)?; // every page of the weights, once
    let mut prefills = Vec::new();
    let mut decodes = Vec::new();
    for _ in 0..plan.repeat.max(1) {
        prefills.push(bench.time(plan.prompt_tokens, 1, 1)?.0);
        decodes.push(bench.decode(plan, 1)?);
    }
    let mut batch = Vec::new();
    for &streams in &plan.streams {
        let rates = (0..plan.repeat.max(1)).map(|_| bench.decode(plan, streams));
        batch.push(Batch { streams, decode_tok_s: median(rates.collect::<Result<_, _>>()?) });
    }
    let prefill = median(prefills.iter().map(Duration::as_secs_f64).collect());
    Ok(Speed {
        prefill_tok_s: f64::from(plan.prompt_tokens) / prefill,
        decode_tok_s: median(decodes),
        ttft_ms: prefill * 1e3,
        path: model.path(),
        ceiling: model.on_processor().map(|model| bound(model, &Ceiling::measure(pool), plan)),
        rows_ms: rows_ms(model, plan.repeat)?,
        batch,
    })
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
        prefill_tok_s: ceiling.ops(model.activations().precision()) / (2 * model.pass_products()) as f64,
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
        let mut times = Vec::new();
        for _ in 0..8 * repeat.max(1) {
            let start = Instant::now();
            decoder.forward(&rows, &pulse)?;
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
        };
        let decoder = model.decoder(options.pages(model.config()))?;
        let engine = Engine::over(decoder, Vec::new(), &options, Pulse::default());
        Ok(Self { engine, vocab: model.config().vocab as u32, prompts: 0 })
    }

    /// Decoded tokens per second of so many streams, after their first token.
    fn decode(&mut self, plan: &Plan, streams: u32) -> Result<f64, EngineError> {
        let (first, all) = self.time(plan.depth.max(1), plan.gen_tokens + 1, streams)?;
        Ok(f64::from(plan.gen_tokens * streams) / (all - first).as_secs_f64())
    }

    /// Runs streams to their end: the time until every one had its first token, and in all.
    fn time(
        &mut self,
        prompt: u32,
        gen_tokens: u32,
        streams: u32,
    ) -> Result<(Duration, Duration), EngineError> {
        let mut events = Vec::new();
        for stream in 0..streams {
            self.prompts += 1;
            let id = |index: u32| (self.prompts * 7919 + index * 37) % self.vocab;
            let prompt = (0..prompt).map(id).collect();
            let open = OpenSpec { prompt, sampler: SamplerSpec::default(), gate: None };
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
