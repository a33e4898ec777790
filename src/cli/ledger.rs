//! `ledger`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// What to do with the ledger of this machine's node.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Every request as a JSON object on a line of its own.
    Export(LedgerExport),
    /// What each policy cost, and what it spared.
    Stats(LedgerStats),
    /// Remove requests for good.
    Purge(LedgerPurge),
}

/// `ledger export`.
#[derive(Debug, Args)]
pub struct LedgerExport {
    /// Which requests.
    #[command(flatten)]
    pub which: Selected,
    /// Write there instead of to stdout.
    #[arg(long, value_name = "FILE.jsonl")]
    pub out: Option<PathBuf>,
}

/// `ledger stats`.
#[derive(Debug, Args)]
pub struct LedgerStats {
    /// Which requests.
    #[command(flatten)]
    pub which: Selected,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Which requests.
#[derive(Debug, Args)]
pub struct Selected {
    /// Of this time until now, such as 7d, 12h, 30m or 45s.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub since: Option<Duration>,
    /// That named this task.
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
}

/// `ledger purge`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct LedgerPurge {
    /// Older than this, such as 7d, 12h, 30m or 45s.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub before: Option<Duration>,
    /// All of them.
    #[arg(long)]
    pub all: bool,
}

fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "a whole number and one of d, h, m, s, such as 7d".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_number_and_a_unit() {
        assert_eq!(age("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(age("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "7", "d", "-1d", "1.5h", "7w", "5ü", "99999999999d"] {
            assert!(age(wrong).is_err(), "{wrong:?}");
        }
    }
}
