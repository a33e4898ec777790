//! `understudy bench serve`: a node under several answers at once, under too many, and beside its engine.

mod levels;
mod overhead;
mod overload;
mod scripted;
mod spread;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use understudy_agents::load::{Load, Plan, Spread, measure, story_prompts};

use crate::cli::BenchServe;
use crate::error::Error;
use crate::render::{line, table};
use crate::source::Reached;

/// For each request: far more than any takes, so that a stuck node ends the measurement.
const TIMEOUT: Duration = Duration::from_secs(600);

pub async fn run(args: BenchServe) -> Result<(), Error> {
    if args.overload.overload {
        let report = overload::measure(&args.overload, &args.model).await?;
        return shown(args.json, &report, report.lines());
    }
    if args.overhead {
        let report = overhead::measure().await?;
        return shown(args.json, &report, report.lines());
    }
    match (args.streams.as_slice(), &args.prompts) {
        (_, Some(file)) => together(&args, read_prompts(file)?).await,
        ([streams], None) => together(&args, story_prompts(*streams as usize)).await,
        _ => {
            let report = levels::run(&args).await?;
            shown(args.json, &report, report.lines())
        }
    }
}

fn shown(json: bool, report: &impl Serialize, lines: Vec<String>) -> Result<(), Error> {
    match json {
        true => line(&serde_json::to_string(report).map_err(|error| Error::internal(error.to_string()))?),
        false => lines.iter().try_for_each(|text| line(text)),
    }
}

/// One number of streams, with what a long prompt and a shared beginning do.
async fn together(args: &BenchServe, prompts: Vec<String>) -> Result<(), Error> {
    let plan = Plan {
        model: args.model.clone(),
        prompts,
        gen_tokens: args.gen_tokens,
        long_words: args.long_prompt as usize,
        shared_words: args.shared_prefix as usize,
        timeout: TIMEOUT,
    };
    let reached = Reached::find(args.server.as_deref()).await?;
    let load = measure(&reached.client, &plan).await?;
    match args.json {
        true => line(&serde_json::to_string(&load).map_err(|error| Error::internal(error.to_string()))?),
        false => print(&load),
    }
}

fn read_prompts(file: &Path) -> Result<Vec<String>, Error> {
    let content = std::fs::read_to_string(file)
        .map_err(|error| Error::invalid(format!("--prompts {}: {error}", file.display())))?;
    let prompts: Vec<String> =
        content.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    match prompts.is_empty() {
        true => Err(Error::invalid(format!("--prompts {}: it has no line with a prompt", file.display()))),
        false => Ok(prompts),
    }
}

fn print(load: &Load) -> Result<(), Error> {
    let streams = load.streams;
    let steady = load.steady_tok_s.map(|rate| format!(", {rate:.1} while all decode")).unwrap_or_default();
    line(&format!("{}, {streams} streams: {:.1} tok/s in sum{steady}", load.model, load.tok_s))?;
    let row =
        |what: String, Spread { p50, p99 }: Spread| vec![what, format!("{p50:.1}"), format!("{p99:.1}")];
    let mut rows =
        vec![row("first text".into(), load.first_ms), row("between two pieces of text".into(), load.itl_ms)];
    if let Some(long) = load.long {
        rows.push(row("before a long prompt".into(), long.itl_before_ms));
        rows.push(row(format!("during a prompt of {} tokens", long.prompt_tokens), long.itl_during_ms));
    }
    line(&table(&["MS", "P50", "P99"], rows))?;
    if let Some(long) = load.long {
        let (alone, beside) = (long.alone_ms, long.beside_ms);
        line(&format!("the long prompt took {alone:.0} ms alone, {beside:.0} ms beside the streams"))?;
    }
    if let Some(shared) = load.shared {
        line(&format!(
            "{streams} prompts with the same beginning: {} tokens, {} computed",
            shared.prompt_tokens, shared.computed_tokens
        ))?;
    }
    Ok(())
}
