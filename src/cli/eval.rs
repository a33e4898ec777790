//! `eval`: a measurement, or two compared.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use understudy_agents::eval::Suite;

use super::{Server, at_least_one};

/// `eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// A measurement, unless two are compared.
    #[command(flatten)]
    pub run: Option<EvalRun>,
    /// Which node to ask for a measurement. Not in `EvalRun`: a group that is optional as a whole must hold no other.
    #[command(flatten)]
    pub server: Server,
    /// Two measurements.
    #[command(subcommand)]
    pub compare: Option<EvalCommand>,
}

/// `eval SUITE`.
#[derive(Debug, Args)]
pub struct EvalRun {
    /// Which suite.
    #[arg(value_parser = Suite::ALL.map(Suite::name))]
    pub suite: String,
    /// The folder with its data; docs/evaluation.md has the files of each suite.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Rows go here, as JSON lines. A file of the same run goes on after its finished items.
    #[arg(long, value_name = "FILE.jsonl")]
    pub out: PathBuf,
    /// How models work together. [default: cascade, or direct when --model is given]
    #[arg(long, value_name = "NAME[:param=value,...]")]
    pub policy: Option<String>,
    /// The model of `direct`: a catalogue name or the path of a GGUF file.
    #[arg(long, value_name = "NAME|PATH")]
    pub model: Option<String>,
    /// Models that work together, cheapest first. [default: the node's]
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub ladder: Vec<String>,
    /// Task of the requests: the node judges by its profile and chooses by its rules. [default: none]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub task: String,
    /// Hold each answer to its item's constraint: the schema of its database, its functions or its intents.
    #[arg(long)]
    pub constrain: bool,
    /// Let the node check answers: does the SQL run, do the calls fit, do the tests that the prompt shows pass.
    #[arg(long)]
    pub validators: bool,
    /// At most this many items, chosen by the seed.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Same seed, same items and same text.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// 0 picks the most likely token.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Most tokens of an answer. [default: the suite's, 128 to 512]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// Items asked at the same time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub concurrency: usize,
    /// For one item; then its text so far is judged.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// What `eval` does besides measuring.
#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// The paired difference of two measurements of one suite, with a 95 % interval.
    Compare {
        /// Rows of the first.
        a: PathBuf,
        /// Rows of the second.
        b: PathBuf,
        /// One JSON object on stdout.
        #[arg(long)]
        json: bool,
    },
}
