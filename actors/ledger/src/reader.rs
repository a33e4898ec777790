//! Entries of a file that a node may be writing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, params};

use crate::store::version;
use crate::{Entry, Feedback, LedgerError};

/// Entries that are read at a time: no reading transaction stays open between, so the writer's log can be emptied.
const PAGE: u32 = 256;
const PATIENCE: Duration = Duration::from_secs(5);

/// A ledger's file, open for reading.
pub struct Reader {
    path: PathBuf,
    connection: Connection,
}

/// Which entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Not older than this: milliseconds since 1970, UTC.
    pub since_ms: Option<i64>,
    /// Of this task.
    pub task: Option<String>,
}

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// [`LedgerError::Missing`], [`Unusable`](LedgerError::Unusable), [`Damaged`](LedgerError::Damaged),
    /// [`Newer`](LedgerError::Newer).
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::Missing { path: path.into() });
        }
        let failed = |error| LedgerError::of(path, error);
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        match version(path, &connection)? {
            0 => Err(LedgerError::Missing { path: path.into() }),
            _ => Ok(Self { path: path.into(), connection }),
        }
    }

    /// Entries in the order in which they were written, read as they are asked for.
    pub fn entries(&self, filter: Filter) -> impl Iterator<Item = Result<Entry, LedgerError>> + '_ {
        let (mut last, mut page) = (0, Vec::new().into_iter());
        std::iter::from_fn(move || {
            if page.len() == 0 {
                match self.page(last, &filter) {
                    Ok(next) => page = next.into_iter(),
                    // The next page would fail likewise.
                    Err(error) => {
                        let failed = last < i64::MAX;
                        last = i64::MAX;
                        return failed.then_some(Err(error));
                    }
                }
            }
            let (id, json) = page.next()?;
            last = id;
            Some(self.entry(id, &json))
        })
    }

    fn page(&self, after: i64, filter: &Filter) -> Result<Vec<(i64, String)>, LedgerError> {
        let read = || -> rusqlite::Result<Vec<_>> {
            let mut rows = self.connection.prepare_cached(
                "SELECT id, entry FROM requests
                 WHERE id > ?1 AND time_ms >= ?2 AND (?3 IS NULL OR task = ?3) ORDER BY id LIMIT ?4",
            )?;
            let since = filter.since_ms.unwrap_or(i64::MIN);
            let rows = rows
                .query_map(params![after, since, filter.task, PAGE], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        read().map_err(|error| self.failed(error))
    }

    fn entry(&self, id: i64, json: &str) -> Result<Entry, LedgerError> {
        let mut entry: Entry = serde_json::from_str(json)
            .map_err(|error| LedgerError::BadEntry { at: id.unsigned_abs(), why: error.to_string() })?;
        entry.feedback = self.feedback(id).map_err(|error| self.failed(error))?;
        Ok(entry)
    }

    fn feedback(&self, id: i64) -> rusqlite::Result<Vec<Feedback>> {
        let told =
            |row: &Row<'_>| Ok(Feedback { ok: row.get(0)?, source: row.get(1)?, time_ms: row.get(2)? });
        let sql = "SELECT ok, source, time_ms FROM feedback WHERE request = ?1 ORDER BY time_ms, source";
        self.connection.prepare_cached(sql)?.query_map([id], told)?.collect()
    }

    /// Entries that a node had to drop.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`], [`Damaged`](LedgerError::Damaged).
    pub fn dropped(&self) -> Result<u64, LedgerError> {
        self.number("SELECT value FROM facts WHERE name = 'dropped'")
    }

    /// Entries in the file.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`], [`Damaged`](LedgerError::Damaged).
    pub fn count(&self) -> Result<u64, LedgerError> {
        self.number("SELECT count(*) FROM requests")
    }

    /// Reads every page. Takes about a second for the largest file.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] where something is wrong with the file.
    pub fn check(&self) -> Result<(), LedgerError> {
        let found: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| self.failed(error))?;
        match found.as_str() {
            "ok" => Ok(()),
            _ => Err(LedgerError::Damaged { path: self.path.clone(), why: found }),
        }
    }

    fn number(&self, sql: &str) -> Result<u64, LedgerError> {
        let number = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        number.map(i64::unsigned_abs).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> LedgerError {
        LedgerError::of(&self.path, error)
    }
}
