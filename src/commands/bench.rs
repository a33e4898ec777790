//! `understudy bench`: how fast, beside what this machine can do at most.

mod grammar;
mod policy;
mod router;
mod serve;
mod start;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::{Value, json};
use understudy_engine::measure::{Plan, Speed, measure};
use understudy_gateway::{GgufEngines, NodeConfig};
use understudy_hub::{ModelSpec, Puller, Resolved};

use crate::cli::{BenchCommand, BenchEngine};
use crate::error::Error;
use crate::render::{line, table};
use start::Start;

pub async fn run(command: BenchCommand) -> Result<(), Error> {
    match command {
        BenchCommand::Engine(args) => {
            // Computes for seconds: off the async threads.
            let task = tokio::task::spawn_blocking(move || engine(&args));
            task.await.map_err(|error| Error::internal(error.to_string()))?
        }
        BenchCommand::Grammar(args) => {
            let task = tokio::task::spawn_blocking(move || grammar::run(&args));
            task.await.map_err(|error| Error::internal(error.to_string()))?
        }
        BenchCommand::Policy(args) => policy::run(args).await,
        BenchCommand::Router(args) => router::run(args).await,
        BenchCommand::Serve(args) => serve::run(args).await,
    }
}

/// The file of a model by name or path; one of the catalogue is got first.
fn model_file(model: &str) -> Result<PathBuf, Error> {
    let puller = Puller::from_env()?;
    Ok(match puller.catalogue().resolve(&ModelSpec::from(model))? {
        Resolved::File(path) => path,
        Resolved::Catalogued(model) => puller.pull(&model.name, &mut |_| {}, &AtomicBool::new(false))?.path,
    })
}

fn engine(args: &BenchEngine) -> Result<(), Error> {
    let mut config = NodeConfig::default();
    config.engine.threads = args.threads;
    config.engine.device = args.device;
    config.engine.activations = args.activations;
    config.engine.require_fast = args.require_fast;
    let path = model_file(&args.model)?;
    let engines = GgufEngines::new(&config)?;
    if args.start {
        return start::once(&engines, &path, &args.model);
    }
    let started = Instant::now();
    let model = engines.open(&path, &args.model)?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    let start = start::measure(args)?;
    let plan = Plan {
        prompt_tokens: args.prompt_tokens,
        gen_tokens: args.gen_tokens,
        depth: args.depth,
        streams: args.streams.clone(),
        masks: args.mask.clone(),
        repeat: args.repeat,
    };
    let speed = measure(&model, engines.pool(), &plan).map_err(|error| Error::invalid(error.to_string()))?;
    match args.json {
        true => line(&as_json(args, &speed, &start, &engines, load_ms)?.to_string()),
        false => print(args, &speed, &start, &engines, load_ms),
    }
}

fn as_json(
    args: &BenchEngine,
    speed: &Speed,
    start: &Start,
    engines: &GgufEngines,
    load_ms: f64,
) -> Result<Value, Error> {
    let mut object = json!({
        "model": args.model,
        "device": engines.device(),
        "threads": engines.pool().threads(),
        "prompt_tokens": args.prompt_tokens,
        "gen_tokens": args.gen_tokens,
        "depth": args.depth,
        "load_ms": load_ms,
        "start": start,
    });
    let measured = serde_json::to_value(speed).map_err(|error| Error::internal(error.to_string()))?;
    if let (Value::Object(object), Value::Object(measured)) = (&mut object, measured) {
        object.extend(measured);
    }
    Ok(object)
}

fn print(
    args: &BenchEngine,
    speed: &Speed,
    start: &Start,
    engines: &GgufEngines,
    load_ms: f64,
) -> Result<(), Error> {
    line(&format!(
        "{} on {} threads ({}), activations {}, loaded in {load_ms:.0} ms",
        args.model,
        engines.pool().threads(),
        engines.device(),
        speed.path
    ))?;
    let memory = start.peak_rss_bytes.map(|bytes| format!(", {} MB of memory", bytes / 1_000_000));
    line(&format!(
        "a process to its first token   {:.0} ms{}",
        start.first_token_ms,
        memory.unwrap_or_default()
    ))?;
    let row = |what: String, rate: f64, bound: Option<f64>| {
        let of = |show: &dyn Fn(f64) -> String| bound.map_or_else(|| "?".to_owned(), show);
        let reached = |bound| format!("{:.0} %", 100.0 * rate / bound);
        vec![what, format!("{rate:.1}"), of(&|bound| format!("{bound:.0}")), of(&reached)]
    };
    let (prefill, decode) =
        speed.ceiling.map(|ceiling| (ceiling.prefill_tok_s, ceiling.decode_tok_s)).unzip();
    let rates = [
        row(format!("prefill {}", args.prompt_tokens), speed.prefill_tok_s, prefill),
        row(format!("decode {} at depth {}", args.gen_tokens, args.depth), speed.decode_tok_s, decode),
    ];
    line(&table(&["", "TOK/S", "CEILING", "REACHED"], rates))?;
    let rows = speed.rows_ms.iter().map(|(rows, ms)| format!("{rows}: {ms:.1}")).collect::<Vec<_>>();
    line(&format!("ms for one pass of so many rows   {}", rows.join("   ")))?;
    if let Some(none) = speed.mask_ms.get("none") {
        let masked =
            args.mask.iter().filter_map(|count| Some((count, speed.mask_ms.get(&count.to_string())?)));
        let masked = masked.map(|(count, ms)| format!("{count}: {ms:.1}")).collect::<Vec<_>>();
        line(&format!(
            "ms for a step under a mask of so many tokens   none: {none:.1}   {}",
            masked.join("   ")
        ))?;
    }
    for batch in &speed.batch {
        line(&format!("{} streams together   {:.1} tok/s", batch.streams, batch.decode_tok_s))?;
    }
    Ok(())
}
