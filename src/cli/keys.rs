//! `keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use understudy_gateway::{caller::Scope, keys::Level};

/// What to do with the keys of this machine's node.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, once: only its digest is kept.
    Create(KeysCreate),
    /// Names, scopes and limits.
    List(KeysList),
    /// Make a key worthless; a running node knows within a second.
    Revoke(KeysRevoke),
}

/// `keys create`.
#[derive(Debug, Args)]
pub struct KeysCreate {
    /// Whose it is: the tenant of its requests, in logs and in the ledger.
    pub name: String,
    /// What it opens: inference, models (load and unload), admin (metrics, log level).
    #[arg(long, value_name = "SCOPE,..", value_delimiter = ',', default_value = "inference")]
    pub scope: Vec<Scope>,
    /// Requests per minute over time, such as 60 or 60/min; no limit by default.
    #[arg(long, value_name = "N/min", value_parser = rate)]
    pub rate: Option<u32>,
    /// Requests that may come at once before the rate counts; those of a minute by default.
    #[arg(long, value_name = "N", requires = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    pub burst: Option<u32>,
    /// Tokens of prompts and answers per minute over time; no limit by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tokens_per_minute: Option<u32>,
    /// Requests in flight; no limit by default.
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    pub concurrency: Option<usize>,
    /// The best priority that its requests may have.
    #[arg(long, value_name = "LEVEL", value_enum, default_value = "interactive")]
    pub priority: LevelName,
    /// Of which node.
    #[command(flatten)]
    pub node: KeysOf,
}

/// `keys list`.
#[derive(Debug, Args)]
pub struct KeysList {
    /// One JSON array on stdout.
    #[arg(long)]
    pub json: bool,
    /// Of which node.
    #[command(flatten)]
    pub node: KeysOf,
}

/// `keys revoke`.
#[derive(Debug, Args)]
pub struct KeysRevoke {
    /// Whose.
    pub name: String,
    /// Of which node.
    #[command(flatten)]
    pub node: KeysOf,
}

/// Whose keys.
#[derive(Debug, Args)]
pub struct KeysOf {
    /// Of the node with these settings; they may name its home folder.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A priority.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LevelName {
    /// A person waits.
    Interactive,
    /// A program waits.
    Agent,
    /// Nobody waits.
    Batch,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Interactive => Self::Interactive,
            LevelName::Agent => Self::Agent,
            LevelName::Batch => Self::Batch,
        }
    }
}

fn rate(text: &str) -> Result<u32, String> {
    match text.strip_suffix("/min").unwrap_or(text).parse() {
        Ok(0) | Err(_) => Err("a whole number of requests per minute, such as 60/min".to_owned()),
        Ok(rate) => Ok(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_minute() {
        assert_eq!((rate("60"), rate("60/min")), (Ok(60), Ok(60)));
        for wrong in ["", "0", "-1", "60/s", "1.5/min", "99999999999"] {
            assert!(rate(wrong).is_err(), "{wrong:?}");
        }
    }
}
