//! The `understudy` binary: wires the command line to the library crates.
//!
//! | module | what it holds |
//! |---|---|
//! | `cli` | every command and flag |
//! | `commands` | one file per command |
//! | `source` | answers from a running node or from one in this process, as one stream |
//! | `render` | the terminal: streams, retractions, explanations, progress |
//! | `error` | the one error that ends the process, with its code and exit code |

mod cli;
mod commands;
mod error;
mod render;
mod source;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use understudy_telemetry::logs::{self, Format};

/// Masks of grammars are some thousand small allocations each: with the C library's allocator they take a
/// fifth longer.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    init_logs(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error::Error::internal(format!("the runtime did not start: {error}")).report(),
    };
    let ended = runtime.block_on(commands::run(cli));
    // A blocking pull or a hung engine must not hold the exit back.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// Logs go to stderr: a node's warnings, of other commands only errors; more with `-v`, or
/// what `RUST_LOG` says.
fn init_logs(cli: &cli::Cli) {
    let is_node = matches!(cli.command, cli::Command::Serve(_));
    let default = match cli.verbose {
        0 if is_node => "warn",
        0 => "error",
        1 => "info",
        _ => "debug,h2=info,hyper=info,tower=info",
    };
    let format = match cli.log_format {
        cli::LogFormat::Text => Format::Text { ansi: std::io::stderr().is_terminal() },
        cli::LogFormat::Json => Format::Json,
    };
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    // A variable that is no filter is as good as none.
    if wanted.is_empty() || logs::init(format, &wanted).is_err() {
        logs::init(format, default).expect("the default filters are filters");
    }
}
