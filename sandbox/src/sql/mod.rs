//! One SELECT on a SQLite file, of unknown origin.
//!
//! The file is opened read-only; an authorizer allows reading tables and calling functions and nothing else (no ATTACH,
//! PRAGMA, temporary table or extension); time, rows, values and memory are limited.
//!
//! | module | what it holds |
//! |---|---|
//! | [`table`] | [`Table`]: columns and rows in one spelling, and their digest |
//! | [`text`] | the statement of an answer, whether it is ordered, the clock stopped |

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

pub mod table;
pub mod text;

pub use table::Table;

/// How long a statement may run unless told otherwise.
const TIME: Duration = Duration::from_secs(5);
/// Most rows of a result.
const ROWS: usize = 10_000;
/// Longest text or blob in bytes, also of intermediate results.
const VALUE_BYTES: i32 = 1 << 20;
/// Most bytes of a result as text.
const RESULT_BYTES: usize = 16 << 20;
/// Of all databases of this process together. A sort of more than this fails.
const HEAP_BYTES: u32 = 256 << 20;
/// Virtual machine steps between two looks at the clock.
const STEPS: i32 = 1000;

/// A SQLite file that statements of unknown origin may read.
#[derive(Debug, Clone)]
pub struct Database {
    path: PathBuf,
    time: Duration,
    today: Option<String>,
}

/// Why there is no result. All but [`Failure::Database`] are the statement's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The file cannot be used.
    #[error("the database: {0}")]
    Database(String),
    /// An answer without a statement.
    #[error("no SELECT in the answer")]
    Missing,
    /// It is no SQL.
    #[error("{0}")]
    Syntax(String),
    /// A table, column or function that is not there, or is ambiguous.
    #[error("{0}")]
    UnknownName(String),
    /// It would do more than read.
    #[error("{0}")]
    Denied(String),
    /// It ran out of time.
    #[error("ran longer than {0:?}")]
    TooLong(Duration),
    /// Rows, a value or its memory are over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// It fails while it runs.
    #[error("{0}")]
    Fails(String),
}

impl Database {
    /// A file. It is opened anew for every statement.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), time: TIME, today: None }
    }

    /// Statements end after this time; 5 s otherwise.
    pub fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// `now` and `CURRENT_DATE` mean this day (`YYYY-MM-DD`).
    pub fn on(self, today: Option<String>) -> Self {
        Self { today, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs the statement of an answer: see [`text::extract`].
    ///
    /// # Errors
    /// [`Failure`].
    pub fn answer(&self, answer: &str) -> Result<Table, Failure> {
        self.run(text::extract(answer).ok_or(Failure::Missing)?)
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self, sql: &str) -> Result<Table, Failure> {
        let frozen = self.today.as_ref().map(|today| text::freeze_now(sql, today));
        let sql = frozen.as_deref().unwrap_or(sql);
        let connection = self.open().map_err(|error| Failure::Database(error.to_string()))?;
        query(&connection, sql).map_err(|stopped| match stopped {
            Stopped::Limit(what) => Failure::TooLarge(what),
            Stopped::Sqlite(error) => self.failure(&error),
        })
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        // Sorting in memory meets the heap limit; in files it would fill the disk.
        connection.pragma_update(None, "temp_store", "memory")?;
        connection.pragma_update_and_check(None, "hard_heap_limit", HEAP_BYTES, |_| Ok(()))?;
        // References and models quote texts with double quotes, as MySQL does.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)?;
        connection.authorizer(Some(only_reading))?;
        let until = Instant::now() + self.time;
        connection.progress_handler(STEPS, Some(move || Instant::now() >= until))?;
        Ok(connection)
    }

    /// SQLite has one code for most errors of a statement; the message tells them apart.
    fn failure(&self, error: &rusqlite::Error) -> Failure {
        let said = error.to_string();
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Failure::TooLong(self.time),
            Some(ErrorCode::AuthorizationForStatementDenied) => Failure::Denied(said),
            Some(ErrorCode::TooBig | ErrorCode::OutOfMemory) => Failure::TooLarge(said),
            Some(ErrorCode::CannotOpen | ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Failure::Database(said)
            }
            _ if has(&["not authorized", "prohibited"]) => Failure::Denied(said),
            _ if has(&["no such ", "ambiguous "]) => Failure::UnknownName(said),
            _ if has(&["syntax error", "incomplete input", "unrecognized token", "Multiple statements"]) => {
                Failure::Syntax(said)
            }
            _ => Failure::Fails(said),
        }
    }
}

fn only_reading(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

enum Stopped {
    Sqlite(rusqlite::Error),
    Limit(String),
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn query(connection: &Connection, sql: &str) -> Result<Table, Stopped> {
    let mut statement = connection.prepare(sql)?;
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut found = statement.query([])?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        if rows.len() == ROWS {
            return Err(Stopped::Limit(format!("more than {ROWS} rows")));
        }
        let cells = (0..columns.len()).map(|column| Ok(table::cell(row.get_ref(column)?)));
        let cells = cells.collect::<rusqlite::Result<Vec<_>>>()?;
        bytes += cells.iter().map(String::len).sum::<usize>();
        if bytes > RESULT_BYTES {
            return Err(Stopped::Limit(format!("more than {} MiB of rows", RESULT_BYTES >> 20)));
        }
        rows.push(cells);
    }
    Ok(Table { columns, rows, is_ordered: text::is_ordered(sql) })
}

#[cfg(test)]
mod tests;
