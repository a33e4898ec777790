//! A node under several answers at once: how fast they come in sum, how evenly, what a long
//! prompt does to the others, and whether prompts that begin alike are computed twice.
//!
//! Everything is measured where a client stands: between requests sent and events read.

mod prompts;
mod trace;

use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use understudy_proto::v1::GenerateRequest;

use crate::{Client, ClientError};
use prompts::Prompts;
use trace::{Arrival, Trace, follow, quantile};

/// Tokens that every stream has sent before a long prompt comes in between.
const BEFORE: usize = 48;
/// Most tokens of a stream that a long prompt comes in between of; it is cut off after that.
const RUNNING_TOKENS: u32 = 4096;
/// Arrivals on their way to the measurement; it reads them at once.
const ARRIVALS: usize = 1024;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A model of the node.
    pub model: String,
    /// One stream each; they should ask for long answers.
    pub prompts: Vec<String>,
    /// Tokens of each answer.
    pub gen_tokens: u32,
    /// Words, about as many tokens, of the prompt that comes in between; 0 leaves it out.
    pub long_words: usize,
    /// Words of the beginning that as many prompts as there are streams share; 0 leaves them out.
    pub shared_words: usize,
    /// For each request.
    pub timeout: Duration,
}

/// Prompts for so many streams, each asking for a long answer.
pub fn story_prompts(streams: usize) -> Vec<String> {
    (0..streams).map(prompts::story).collect()
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    /// The model that answered.
    pub model: String,
    /// Streams at once.
    pub streams: usize,
    /// Tokens of all streams per second, from the first request sent to the last event.
    pub tok_s: f64,
    /// The same while all of them were decoding; none when the first ended before the last began.
    pub steady_tok_s: Option<f64>,
    /// Milliseconds to the first text of a stream.
    pub first_ms: Spread,
    /// Milliseconds between two pieces of text of a stream.
    pub itl_ms: Spread,
    /// A long prompt in between.
    pub long: Option<LongPrompt>,
    /// Prompts with the same beginning.
    pub shared: Option<SharedBeginning>,
}

/// Half of the values are at most `p50`, 99 of 100 at most `p99`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// A long prompt while streams run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LongPrompt {
    /// Its tokens.
    pub prompt_tokens: u32,
    /// Milliseconds to its first text while nothing else ran.
    pub alone_ms: f64,
    /// The same beside the streams.
    pub beside_ms: f64,
    /// Milliseconds between two pieces of text of a stream before it came.
    pub itl_before_ms: Spread,
    /// The same until its first text.
    pub itl_during_ms: Spread,
}

/// Prompts with the same beginning, sent at once.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SharedBeginning {
    /// Tokens of all prompts.
    pub prompt_tokens: u64,
    /// Of these, computed.
    pub computed_tokens: u64,
}

/// Measures a node. Its model is loaded first, if need be.
///
/// # Errors
/// The node's refusal of any of the requests.
pub async fn measure(client: &Client, plan: &Plan) -> Result<Load, ClientError> {
    let mut prompts = Prompts::new();
    answer(client, plan, prompts.words(8), 1).await?;
    let together = together(client, plan, plan.prompts.clone(), plan.gen_tokens).await?;
    let begun = together.iter().map(|trace| trace.sent).min().unwrap_or_else(Instant::now);
    let ended = together.iter().map(|trace| trace.ended).max().unwrap_or(begun);
    let tokens: u32 = together.iter().map(Trace::tokens).sum();
    let long = match plan.long_words {
        0 => None,
        words => Some(long(client, plan, [prompts.words(words), prompts.words(words)]).await?),
    };
    let shared = match plan.shared_words {
        0 => None,
        words => Some(shared(client, plan, &prompts.words(words)).await?),
    };
    Ok(Load {
        model: plan.model.clone(),
        streams: together.len(),
        tok_s: f64::from(tokens) / (ended - begun).as_secs_f64(),
        steady_tok_s: steady_rate(&together),
        first_ms: spread(together.iter().map(Trace::first_ms).collect()),
        itl_ms: spread(together.iter().flat_map(|trace| gaps_ms(&trace.arrivals)).collect()),
        long,
        shared,
    })
}

fn request(plan: &Plan, prompt: String, max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt,
        model: plan.model.clone(),
        max_tokens: Some(max_tokens),
        ..GenerateRequest::default()
    }
}

async fn answer(client: &Client, plan: &Plan, prompt: String, max_tokens: u32) -> Result<Trace, ClientError> {
    let request = request(plan, prompt, max_tokens);
    // Nobody else looks at these arrivals; the trace keeps them.
    let (arrivals, _) = mpsc::channel(1);
    follow(client.clone(), request, plan.timeout, 0, arrivals).await
}

/// All answers, asked for at once.
async fn together(
    client: &Client,
    plan: &Plan,
    prompts: Vec<String>,
    max_tokens: u32,
) -> Result<Vec<Trace>, ClientError> {
    let mut streams = JoinSet::new();
    for prompt in prompts {
        let (client, plan) = (client.clone(), plan.clone());
        streams.spawn(async move { answer(&client, &plan, prompt, max_tokens).await });
    }
    streams.join_all().await.into_iter().collect()
}

/// A long prompt alone, and another beside running streams.
async fn long(client: &Client, plan: &Plan, texts: [String; 2]) -> Result<LongPrompt, ClientError> {
    let [first, second] = texts;
    let alone = answer(client, plan, first, 1).await?;

    let (sender, mut arrivals) = mpsc::channel(ARRIVALS);
    let mut streams = JoinSet::new();
    for (index, prompt) in plan.prompts.iter().enumerate() {
        let request = request(plan, prompt.clone(), RUNNING_TOKENS);
        streams.spawn(follow(client.clone(), request, plan.timeout, index, sender.clone()));
    }
    drop(sender);
    let mut seen: Vec<Vec<Instant>> = vec![Vec::new(); plan.prompts.len()];
    while seen.iter().any(|times| times.len() < BEFORE) {
        let Some(Arrival { stream, at }) = arrivals.recv().await else { break };
        seen[stream].push(at);
    }
    // The first pieces came while other streams were still at their prompts.
    let all_run = seen.iter().filter_map(|times| times.first()).max().copied();
    let before = seen.iter().flat_map(|times| gaps_ms(times.iter().filter(|&at| Some(*at) > all_run)));
    let before = spread(before.collect());

    let beside = answer(client, plan, second, 1);
    tokio::pin!(beside);
    let beside = loop {
        tokio::select! {
            biased;
            Some(Arrival { stream, at }) = arrivals.recv() => seen[stream].push(at),
            beside = &mut beside => break beside?,
        }
    };
    streams.abort_all();
    let during = seen.iter().flat_map(|times| {
        let ends = times.windows(2).filter(|pair| pair[1] > beside.sent && pair[1] <= beside.first());
        ends.map(|pair| millis(pair[1] - pair[0]))
    });
    Ok(LongPrompt {
        prompt_tokens: beside.prompt_tokens(),
        alone_ms: alone.first_ms(),
        beside_ms: beside.first_ms(),
        itl_before_ms: before,
        itl_during_ms: spread(during.collect()),
    })
}

/// Prompts that begin alike, all at once, and what of them was computed.
async fn shared(client: &Client, plan: &Plan, beginning: &str) -> Result<SharedBeginning, ClientError> {
    let asked = (0..plan.prompts.len()).map(|index| format!("{beginning}\n{}", prompts::story(index)));
    let traces = together(client, plan, asked.collect(), 1).await?;
    let rows = |trace: &Trace| {
        let rungs = trace.finished.ledger.iter().flat_map(|ledger| &ledger.rungs);
        rungs.map(|rung| rung.row_steps).sum::<u64>()
    };
    Ok(SharedBeginning {
        prompt_tokens: traces.iter().map(|trace| u64::from(trace.prompt_tokens())).sum(),
        computed_tokens: traces.iter().map(rows).sum(),
    })
}

/// Tokens per second between the last stream's first text and the first stream's end.
fn steady_rate(traces: &[Trace]) -> Option<f64> {
    let from = *traces.iter().filter_map(|trace| trace.arrivals.first()).max()?;
    let to = *traces.iter().filter_map(|trace| trace.arrivals.last()).min()?;
    let time = to.checked_duration_since(from).filter(|time| !time.is_zero())?;
    let pieces = |trace: &Trace| trace.arrivals.iter().filter(|&&at| at > from && at <= to).count();
    // A piece of text is one token, or a few where a character took several.
    let tokens_a_piece = |trace: &Trace| f64::from(trace.tokens()) / trace.arrivals.len().max(1) as f64;
    let tokens: f64 = traces.iter().map(|trace| pieces(trace) as f64 * tokens_a_piece(trace)).sum();
    Some(tokens / time.as_secs_f64())
}

fn gaps_ms<'a>(times: impl IntoIterator<Item = &'a Instant>) -> Vec<f64> {
    let times: Vec<_> = times.into_iter().collect();
    times.windows(2).map(|pair| millis(*pair[1] - *pair[0])).collect()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    Spread { p50: quantile(&values, 0.5), p99: quantile(&values, 0.99) }
}
