//! The log of a process: lines on stderr, records to a collector, and a level that can be changed while it runs.
//!
//! Lines about a request carry its id and its trace (`RequestCtx::log_span` of the backend crate). There is one log
//! per process, so this is the one part of telemetry that is not a node's own.

mod records;

use std::sync::{Arc, OnceLock};

use opentelemetry::logs::LoggerProvider as _;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text {
        /// With colours.
        ansi: bool,
    },
    /// One JSON object per line: `timestamp`, `level`, `target`, `message`, fields, and `span` with `request_id`
    /// and `trace_id`.
    Json,
}

/// Why the level was not changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The text is no filter.
    #[error("{0:?} is no filter: write a level, or TARGET=LEVEL, several with commas")]
    BadFilter(String),
    /// The process has a log of its own making.
    #[error("the log of this process is not understudy's")]
    NotOurs,
}

/// The exporter's own complaints are told once per failure, in other words.
const QUIET: &str = "opentelemetry=off";

/// A filter text may have so many bytes.
const LONGEST_FILTER: usize = 4096;

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Sets the process's log up, once: a second call changes nothing.
///
/// # Errors
/// [`LogError::BadFilter`].
pub fn init(format: Format, filter: &str) -> Result<(), LogError> {
    let (filter, handle) = reload::Layer::new(parsed(filter)?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text { ansi } => lines.with_ansi(ansi).boxed(),
        Format::Json => {
            let json = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
            json.boxed()
        }
    };
    let log = tracing_subscriber::registry().with(filter).with(lines).with(records::Records);
    if log.try_init().is_ok() {
        _ = FILTER.set(handle);
    }
    Ok(())
}

/// Changes what is logged from now on, such as `info` or `warn,understudy_router=debug`. Answers the filter as it was
/// understood.
///
/// # Errors
/// [`LogError`]; nothing changed then.
pub fn set_filter(filter: &str) -> Result<String, LogError> {
    let filter = parsed(filter)?;
    let understood = filter.to_string();
    FILTER.get().ok_or(LogError::NotOurs)?.reload(filter).map_err(|_| LogError::NotOurs)?;
    tracing::warn!(filter = understood, "log filter changed");
    Ok(understood)
}

fn parsed(text: &str) -> Result<EnvFilter, LogError> {
    let bad = || LogError::BadFilter(text.chars().take(64).collect());
    if text.trim().is_empty() || text.len() > LONGEST_FILTER {
        return Err(bad());
    }
    let with_quiet = if text.contains("opentelemetry") { text.to_owned() } else { format!("{text},{QUIET}") };
    EnvFilter::try_new(with_quiet).map_err(|_| bad())
}

/// Records go to this provider too from now on.
pub(crate) fn send_to(loggers: &SdkLoggerProvider) {
    let logger: SdkLogger = loggers.logger("understudy");
    records::LOGGER.store(Some(Arc::new(logger)));
}

/// Records go nowhere from now on.
pub(crate) fn send_nowhere() {
    records::LOGGER.store(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_nonsense_is_refused() {
        assert!(parsed("warn,understudy_router=debug").is_ok());
        assert!(parsed("info").unwrap().to_string().contains(QUIET));
        assert!(!parsed("opentelemetry_sdk=debug").unwrap().to_string().contains(QUIET));
        let long = "a".repeat(LONGEST_FILTER + 1);
        for nonsense in ["", "  ", "=", "understudy=loud", long.as_str()] {
            assert!(parsed(nonsense).is_err(), "{nonsense}");
        }
    }
}
