//! `bench`: what is measured, and how.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use understudy_engine::{device::DeviceChoice, model::Activations};

use super::at_least_one;

/// `bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Prefill, decoding, small batches and several streams of one model.
    Engine(BenchEngine),
    /// Constraints: what masks cost, and whether they keep their promises.
    Grammar(BenchGrammar),
    /// Policies against the model that they speed up: tokens per second, and whether the text is the same.
    #[command(
        after_help = "Examples:\n  understudy bench policy --limit 10\n  understudy bench policy --policy speculate:with=lookup --pairs 3 --json\n  understudy bench policy --ladder smollm2-135m,qwen2.5-coder-0.5b --policy speculate"
    )]
    Policy(BenchPolicy),
    /// What the router itself takes for a decision, and the embedder for a question's vector.
    #[command(
        after_help = "Examples:\n  understudy bench router\n  understudy bench router --embedder all-minilm-l6-v2 --json"
    )]
    Router(BenchRouter),
    /// Several answers at once over the public API: their sum, how evenly they come, and what a long prompt does to them.
    #[command(
        after_help = "Examples:\n  understudy bench serve\n  understudy bench serve --streams 1,4,16,64 --gen-tokens 32\n  understudy bench serve --overload --times 10 --seconds 60 --json\n  understudy bench serve --overload --real --model smollm2-135m --sequences 16\n  understudy bench serve --overhead"
    )]
    Serve(BenchServe),
}

/// `bench router`.
#[derive(Debug, Args)]
pub struct BenchRouter {
    /// Requests of each kind.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_one)]
    pub requests: usize,
    /// Time this model's vectors of questions too.
    #[arg(long, value_name = "MODEL")]
    pub embedder: Option<String>,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `bench policy`.
#[derive(Debug, Args)]
pub struct BenchPolicy {
    /// A folder of prompts as JSON lines; tests/speculation/README.md has their fields.
    #[arg(long, value_name = "DIR", default_value = "tests/speculation")]
    pub suite: PathBuf,
    /// A policy to measure; may be repeated. [default: speculate:with=lookup, speculate,
    /// speculate:draft=smollm2-135m]
    #[arg(long, value_name = "NAME[:param=value,...]")]
    pub policy: Vec<String>,
    /// Who answers: the ladder ends with this model. [default: the ladder's last]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Models, cheapest first. [default: qwen2.5-coder-0.5b,qwen2.5-coder-1.5b]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub ladder: Vec<String>,
    /// At most this many prompts of each class, spread over all of them.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Pairs of answers, alone and with the policy, for each prompt and policy.
    #[arg(long, value_name = "K", default_value = "1", value_parser = at_least_one)]
    pub pairs: usize,
    /// What computes: cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `bench serve`.
#[derive(Debug, Args)]
pub struct BenchServe {
    /// A model of the node.
    #[arg(long, value_name = "MODEL", default_value = "smollm2-135m")]
    pub model: String,
    /// Answers at once. Several numbers, such as 1,4,16,64, are measured one after another, over the model and over an
    /// engine that computes nothing, without long prompts and shared beginnings.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "8", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub streams: Vec<u32>,
    /// A file with a prompt on each line, in place of made-up ones; as many streams.
    #[arg(long, value_name = "FILE", conflicts_with = "streams")]
    pub prompts: Option<PathBuf>,
    /// Tokens of each answer.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub gen_tokens: u32,
    /// Length of the prompt that comes in between, in words of about a token; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub long_prompt: u32,
    /// Length of the beginning that prompts share, in words of about a token; 0 leaves them out.
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub shared_prefix: u32,
    /// Address of a node; by default the one that runs here, else one in this process.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["overload", "overhead"])]
    pub server: Option<String>,
    /// What the gateway adds to an engine of this process: to the first token, and per token.
    #[arg(long, conflicts_with_all = ["overload", "prompts"])]
    pub overhead: bool,
    /// Many more requests than can be answered.
    #[command(flatten)]
    pub overload: Overload,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `bench serve --overload`.
#[derive(Debug, Args)]
pub struct Overload {
    /// Many times what a node can do, over an engine that computes nothing: what it goes on doing, how fast it refuses the rest,
    /// how long a person waits, and whether its memory grows.
    #[arg(long, conflicts_with = "prompts")]
    pub overload: bool,
    /// The load, in multiples of the capacity that was measured before.
    #[arg(long, value_name = "X", default_value_t = 10.0, value_parser = times, requires = "overload")]
    pub times: f64,
    /// How long, after a second to warm up.
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = seconds, requires = "overload")]
    pub seconds: f64,
    /// What a step of the engine takes.
    #[arg(long, value_name = "MS", default_value_t = 10.0, value_parser = seconds, requires = "overload")]
    pub step_ms: f64,
    /// Over the model of --model in place of an engine that computes nothing; the load takes its share of the machine.
    #[arg(long, requires = "overload", conflicts_with = "step_ms")]
    pub real: bool,
    /// Sequences that it decodes in a step.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = sequences, requires = "overload")]
    pub sequences: usize,
    /// Mean tokens of an answer.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=10_000), requires = "overload")]
    pub tokens: u32,
    /// What random gaps and lengths follow.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "overload")]
    pub seed: u64,
}

/// `bench grammar`.
#[derive(Debug, Args)]
pub struct BenchGrammar {
    /// A folder of evaluation data with `grammar/jsonschemabench` and its like.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The model whose vocabulary is meant.
    #[arg(long, value_name = "MODEL", default_value = "qwen2.5-coder-0.5b")]
    pub model: String,
    /// Random texts to complete: a schema, a cut and a budget each.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = count)]
    pub triples: usize,
    /// Pairs of a state and a token to try byte by byte.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = count)]
    pub pairs: usize,
    /// What random choices follow.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Decode with the model too: free, constrained, and with tokens that are foreseen.
    #[arg(long)]
    pub speed: bool,
    /// Let the model write texts of each language at temperature 1 with random budgets, for others to judge: a
    /// JSON object on each line of this file.
    #[arg(long, value_name = "FILE")]
    pub texts: Option<PathBuf>,
    /// How many of each language.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count, requires = "texts")]
    pub samples: usize,
    /// Name the cases that were refused or judged wrong, in the JSON.
    #[arg(long)]
    pub verdicts: bool,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `bench engine`.
#[derive(Debug, Args)]
pub struct BenchEngine {
    /// A catalogue name or the path of a GGUF file.
    #[arg(long, value_name = "MODEL", default_value = "smollm2-135m")]
    pub model: String,
    /// Tokens of the prompt whose prefill is timed.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub prompt_tokens: u32,
    /// Tokens to decode.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub gen_tokens: u32,
    /// Tokens in the sequence before decoding is timed.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub depth: u32,
    /// Compute threads; 0 takes one per processor.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Numbers of streams to decode together, such as 1,4,8.
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=64))]
    pub streams: Vec<u32>,
    /// Decode under masks that allow so many tokens, such as 1,100,10000, beside none.
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub mask: Vec<u32>,
    /// Times to measure; the median is reported.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub repeat: usize,
    /// What computes: cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,
    /// How activations meet quantized weights, in place of the default: f32, int16, mixed or int8.
    #[arg(long, value_name = "PATH", value_parser = activations)]
    pub activations: Option<Activations>,
    /// One start up to the first token, for the process that measures starts.
    #[arg(long, hide = true)]
    pub start: bool,
    /// Fail where a fast kernel may not be used on this machine.
    #[arg(long)]
    pub require_fast: bool,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

fn activations(name: &str) -> Result<Activations, String> {
    Activations::named(name).ok_or_else(|| "it is f32, int16, mixed or int8".to_owned())
}

fn times(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(times) if (1.0..=100.0).contains(&times) => Ok(times),
        _ => Err("a number from 1 to 100".into()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(time) if (0.1..=3600.0).contains(&time) => Ok(time),
        _ => Err("a number from 0.1 to 3600".into()),
    }
}

fn sequences(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=1024).contains(&count) => Ok(count),
        _ => Err("a number from 1 to 1024".into()),
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count <= 10_000_000 => Ok(count),
        _ => Err("a number up to 10000000".into()),
    }
}
