//! `calibrate` and `report`: what rows of `eval` become.

use std::path::PathBuf;

use clap::Args;

/// `calibrate`.
#[derive(Debug, Args)]
pub struct Calibrate {
    /// Rows of `eval`: two files, one for each model asked alone on one suite.
    #[arg(required_unless_present = "replay", num_args = 1.., value_name = "ROWS.jsonl")]
    pub rows: Vec<PathBuf>,
    /// Learn from the ledger of this machine's node, or from a file of `ledger export`, in place of rows.
    #[arg(long, value_name = "LEDGER.jsonl", num_args = 0..=1, conflicts_with_all = ["rows", "route"])]
    pub replay: Option<Option<PathBuf>>,
    /// Learn what prompts tell before anything is written, for the policy `route`: one file for each model.
    #[arg(long, conflicts_with_all = ["budget", "compute", "latency", "risk"])]
    pub route: bool,
    /// Name of the task; with --replay, of the requests to learn from. [default: the suite, or all requests]
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// What the threshold is for. [default: the best quality]
    #[command(flatten)]
    pub goal: GoalArgs,
    /// The profile goes here, as JSON.
    #[arg(long, value_name = "PROFILE.json")]
    pub out: PathBuf,
    /// Same seed, same folds and intervals.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// One goal at most.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct GoalArgs {
    /// At most this share of requests goes to the bigger model, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    pub budget: Option<f64>,
    /// At most this share of the bytes that the bigger model alone would read.
    #[arg(long, value_name = "SHARE")]
    pub compute: Option<f64>,
    /// At most this mean latency.
    #[arg(long, value_name = "MS")]
    pub latency: Option<f64>,
    /// Certified: at most this share of answers is wrong where the bigger model's would be right.
    #[arg(long, value_name = "ALPHA")]
    pub risk: Option<f64>,
}

/// `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Rows of `eval`, of any policies and models, of one suite.
    #[arg(required = true, value_name = "ROWS.jsonl")]
    pub rows: Vec<PathBuf>,
    /// The report goes here: one file that needs no other.
    #[arg(long, value_name = "FILE.html")]
    pub html: PathBuf,
}
