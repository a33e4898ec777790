//! One file per command, and `constraint`, which several share.

mod ask;
mod bench;
mod calibrate;
mod chat;
mod cluster;
mod constraint;
mod doctor;
mod eval;
mod keys;
mod ledger;
mod models;
mod ps;
mod pull;
mod report;
mod serve;

use clap::CommandFactory;

use crate::cli::{Cli, Command};
use crate::error::Error;

/// Runs the chosen command.
pub async fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Pull(args) => pull::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Ask(args) => ask::run(*args).await,
        Command::Chat(args) => chat::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Ps(args) => ps::run(&args).await,
        Command::Eval(args) => eval::run(*args).await,
        Command::Calibrate(args) => calibrate::run(args),
        Command::Report(args) => report::run(&args),
        Command::Bench { what } => bench::run(what).await,
        Command::Ledger { what } => ledger::run(&what),
        Command::Keys { what } => keys::run(&what),
        Command::Cluster { what } => cluster::run(&what).await,
        Command::Doctor(args) => doctor::run(&args).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "understudy", &mut std::io::stdout());
            Ok(())
        }
    }
}
