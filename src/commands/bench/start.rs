//! What a user waits for: a whole process, from its start to the first token of a short prompt.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use understudy_actors::source::EngineFactory;
use understudy_engine::measure::{first_token, peak_rss_bytes};
use understudy_engine::tick::Pulse;
use understudy_gateway::GgufEngines;

use crate::cli::BenchEngine;
use crate::error::Error;
use crate::render::line;

/// Tokens of the prompt.
const PROMPT: usize = 16;
/// Starts of which the median is reported, after one that leaves everything as later ones find it.
const STARTS: usize = 5;

/// Medians over several processes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Start {
    /// From before the process exists to the first token of a prompt of 16.
    #[serde(default)]
    pub first_token_ms: f64,
    /// Of it, reading model and tokenizer.
    pub load_ms: f64,
    /// The most memory that the process has held, where the system says.
    pub peak_rss_bytes: Option<u64>,
}

/// Starts this program several times.
pub fn measure(args: &BenchEngine) -> Result<Start, Error> {
    one(args)?;
    let starts = (0..STARTS).map(|_| one(args)).collect::<Result<Vec<_>, _>>()?;
    let middle = |figure: fn(&Start) -> f64| {
        let mut figures: Vec<f64> = starts.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[STARTS / 2]
    };
    Ok(Start {
        first_token_ms: middle(|start| start.first_token_ms),
        load_ms: middle(|start| start.load_ms),
        peak_rss_bytes: starts.iter().filter_map(|start| start.peak_rss_bytes).max(),
    })
}

/// A process of its own that runs [`once`].
fn one(args: &BenchEngine) -> Result<Start, Error> {
    let failed = |why: String| Error::internal(format!("starting this program to measure it: {why}"));
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command.args(["bench", "engine", "--start", "--model", &args.model]);
    command.args(["--threads", &args.threads.to_string()]);
    command.args(["--device", &args.device.to_string()]);
    command.args(args.activations.iter().flat_map(|path| ["--activations", path.name()]));
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| failed(error.to_string()))?;
    let mut said = String::new();
    let read = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut said));
    let first_token_ms = begun.elapsed().as_secs_f64() * 1e3;
    let ended = child.wait().map_err(|error| failed(error.to_string()))?;
    let start: Start = match read {
        Some(Ok(_)) if ended.success() => {
            serde_json::from_str(&said).map_err(|error| failed(error.to_string()))?
        }
        _ => return Err(failed(format!("it ended with {ended}"))),
    };
    Ok(Start { first_token_ms, ..start })
}

/// Loads the model as a node does, computes one token, and says so at once.
pub fn once(engines: &GgufEngines, path: &Path, model: &str) -> Result<(), Error> {
    let begun = Instant::now();
    let loaded = engines.load(path, model).map_err(|error| Error::invalid(error.to_string()))?;
    let load_ms = begun.elapsed().as_secs_f64() * 1e3;
    let prompt = loaded.codec.encode_prompt(&"The sea and the sky are blue. ".repeat(PROMPT));
    let mut prompt = prompt.map_err(|error| Error::internal(error.to_string()))?;
    prompt.truncate(PROMPT);
    let mut engine =
        (loaded.make_engine)(Pulse::default()).map_err(|error| Error::invalid(error.to_string()))?;
    first_token(engine.as_mut(), prompt).map_err(|error| Error::invalid(error.to_string()))?;
    let start = Start { first_token_ms: 0.0, load_ms, peak_rss_bytes: peak_rss_bytes() };
    line(&serde_json::to_string(&start).map_err(|error| Error::internal(error.to_string()))?)
}
