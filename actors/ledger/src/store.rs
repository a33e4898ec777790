//! The file: schema, migrations, what is written, and what is kept for how long.
//!
//! SQLite in WAL mode. A transaction that was committed survives a killed process; a power cut may take the last
//! ones and never damages the file (<https://www.sqlite.org/wal.html>). Several processes may have it open.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::digest::{KEY_BYTES, Sealer};
use crate::{Entry, LedgerError};

/// In the file's header: it is a ledger.
const APPLICATION: u32 = u32::from_be_bytes(*b"UNDS");
/// How long another process may hold the file before a write fails.
const PATIENCE: Duration = Duration::from_secs(5);
/// Entries that one transaction removes: others may write in between.
const REMOVED_AT_ONCE: u32 = 1000;
/// A file that became too large shrinks to this share, so that not every further entry removes another.
const SHRINKS_TO: f64 = 0.9;
/// After a checkpoint the log beside the file keeps at most this many bytes.
const LOG_BYTES: u32 = 4 << 20;

/// What brings a file from each version to the next. Only ever appended to.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE facts (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
    INSERT INTO facts VALUES ('key', randomblob(32)), ('dropped', 0);
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time_ms INTEGER NOT NULL,
        request_id TEXT NOT NULL,
        task TEXT NOT NULL,
        entry TEXT NOT NULL
    ) STRICT;
    CREATE INDEX requests_by_time ON requests (time_ms);
    CREATE INDEX requests_by_request_id ON requests (request_id);
    CREATE TABLE feedback (
        request INTEGER NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
        source TEXT NOT NULL,
        ok INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,
        PRIMARY KEY (request, source)
    ) STRICT, WITHOUT ROWID;
"];

/// The schema's version that this build writes.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// What time it is. Injected, so that tests need not wait for days.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What is kept.
#[derive(Clone)]
pub struct Options {
    /// Prompts, answers and whatever may quote them. Default false: digests of them.
    pub content: bool,
    /// Days that an entry stays. Default 30.
    pub keep_days: u32,
    /// Largest file, in MB of 10^6 bytes; the oldest entries go. Default 256.
    pub max_mb: u32,
    /// The system's clock by default.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self { content: false, keep_days: 30, max_mb: 256, clock: Arc::new(SystemTime::now) }
    }
}

impl Options {
    pub(crate) fn now_ms(&self) -> i64 {
        let since = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A ledger's file, open for writing.
pub struct Store {
    path: PathBuf,
    pub(crate) connection: Connection,
    options: Options,
    sealer: Sealer,
}

impl Store {
    /// Opens the file, or begins it, with its folder; only this user may read it. Brings an older schema up to date.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`], [`Damaged`](LedgerError::Damaged), [`Newer`](LedgerError::Newer).
    pub fn open(path: &Path, options: Options) -> Result<Self, LedgerError> {
        let unusable =
            |error: std::io::Error| LedgerError::Unusable { path: path.into(), why: error.to_string() };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(unusable)?;
        }
        create_private(path).map_err(unusable)?;
        let failed = |error| LedgerError::of(path, error);
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        // Before anything is set: what is none of ours stays as it is.
        version(path, &connection)?;
        prepare(&connection).map_err(failed)?;
        migrate(path, &mut connection)?;
        let key = connection.query_row("SELECT value FROM facts WHERE name = 'key'", [], |row| row.get(0));
        let sealer = Sealer::new(key.map_err(failed)?, options.content);
        Ok(Self { path: path.into(), connection, options, sealer })
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Writes what `work` does as a whole or not at all.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Page<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let written = (|| {
            // Immediate: a transaction that began by reading could not wait for another writer.
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&mut Page { transaction: &transaction, sealer: &self.sealer })?;
            transaction.commit()?;
            Ok(done)
        })();
        written.map_err(|error| LedgerError::of(&self.path, error))
    }

    /// Removes entries that are too old, and the oldest of a file that is too large. Answers how many went.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`], [`Damaged`](LedgerError::Damaged).
    pub fn retain(&mut self) -> Result<usize, LedgerError> {
        let oldest = self.options.now_ms() - i64::from(self.options.keep_days) * 86_400_000;
        let mut removed = self.remove_before(oldest)?;
        let most = u64::from(self.options.max_mb) * 1_000_000;
        if self.bytes()? > most {
            removed += self.remove_down_to(most as f64 * SHRINKS_TO)?;
        }
        if removed > 0 {
            self.shrink()?;
        }
        Ok(removed)
    }

    /// Removes entries of before that moment (milliseconds since 1970, UTC), or all. Answers how many went. What
    /// they held is overwritten, not only unlinked.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`], [`Damaged`](LedgerError::Damaged).
    pub fn purge(&mut self, before_ms: Option<i64>) -> Result<usize, LedgerError> {
        let removed = self.remove_before(before_ms.unwrap_or(i64::MAX))?;
        self.shrink()?;
        Ok(removed)
    }

    /// Removes the oldest entries until the rest takes no more than so many bytes.
    fn remove_down_to(&mut self, target: f64) -> Result<usize, LedgerError> {
        let mut removed = 0;
        loop {
            let in_use = self.bytes_in_use()? as f64;
            let entries = self.number("SELECT count(*) FROM requests")?;
            if in_use <= target || entries == 0 {
                return Ok(removed);
            }
            // As if all were of one size: what is left over is looked at again.
            let surplus = (entries as f64 * (1.0 - target / in_use)).ceil() as u32;
            removed += self.remove_oldest(i64::MAX, surplus.min(REMOVED_AT_ONCE))?;
        }
    }

    fn remove_before(&mut self, time_ms: i64) -> Result<usize, LedgerError> {
        let mut removed = 0;
        loop {
            match self.remove_oldest(time_ms, REMOVED_AT_ONCE)? {
                0 => return Ok(removed),
                some => removed += some,
            }
        }
    }

    /// Removes at most so many entries of before that moment.
    fn remove_oldest(&mut self, time_ms: i64, most: u32) -> Result<usize, LedgerError> {
        self.transaction(|page| {
            page.transaction.execute(
                "DELETE FROM requests WHERE id IN
                   (SELECT id FROM requests WHERE time_ms < ?1 ORDER BY time_ms LIMIT ?2)",
                params![time_ms, most],
            )
        })
    }

    /// Gives free pages back to the system, and empties the log.
    fn shrink(&self) -> Result<(), LedgerError> {
        let shrunk = (|| {
            // Each step frees one page.
            let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
            let mut pages = vacuum.query([])?;
            while pages.next()?.is_some() {}
            // Readers in the way only put the end of it off.
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })();
        shrunk.map_err(|error| LedgerError::of(&self.path, error))
    }

    /// Size of the file; the log beside it is not counted.
    pub(crate) fn bytes(&self) -> Result<u64, LedgerError> {
        Ok(self.pragma("page_count")? * self.pragma("page_size")?)
    }

    fn bytes_in_use(&self) -> Result<u64, LedgerError> {
        Ok(self.bytes()? - self.pragma("freelist_count")? * self.pragma("page_size")?)
    }

    fn pragma(&self, name: &str) -> Result<u64, LedgerError> {
        self.number(&format!("PRAGMA {name}"))
    }

    fn number(&self, sql: &str) -> Result<u64, LedgerError> {
        let value = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        value.map(i64::unsigned_abs).map_err(|error| LedgerError::of(&self.path, error))
    }
}

/// A transaction.
pub(crate) struct Page<'a> {
    transaction: &'a rusqlite::Transaction<'a>,
    sealer: &'a Sealer,
}

impl Page<'_> {
    /// Seals an entry and adds it.
    pub(crate) fn add(&mut self, entry: &mut Entry) -> rusqlite::Result<()> {
        self.sealer.seal(entry);
        let json =
            serde_json::to_string(entry).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        self.transaction
            .prepare_cached(
                "INSERT INTO requests (time_ms, request_id, task, entry) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![entry.time_ms, entry.request_id, entry.task, json])?;
        Ok(())
    }

    /// Notes what a source says of the newest request of that id; it takes the place of what the source said
    /// before. Answers whether there is such a request.
    pub(crate) fn feedback(
        &mut self,
        request_id: &str,
        ok: bool,
        source: &str,
        time_ms: i64,
    ) -> rusqlite::Result<bool> {
        let newest = "SELECT max(id) FROM requests WHERE request_id = ?1";
        let mut newest = self.transaction.prepare_cached(newest)?;
        let Some(request): Option<i64> = newest.query_row([request_id], |row| row.get(0))? else {
            return Ok(false);
        };
        self.transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO feedback (request, source, ok, time_ms) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![request, source, ok, time_ms])?;
        Ok(true)
    }

    /// Adds to the number of entries that were never written.
    pub(crate) fn count_dropped(&mut self, more: u64) -> rusqlite::Result<()> {
        let sql = "UPDATE facts SET value = value + ?1 WHERE name = 'dropped'";
        self.transaction.execute(sql, [i64::try_from(more).unwrap_or(i64::MAX)])?;
        Ok(())
    }
}

/// An empty file for this user alone, unless there is one. SQLite gives its other files the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    // In this order: a file that has pages already does not change its way to vacuum.
    connection.execute_batch(&format!(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA secure_delete = ON;
         PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = {LOG_BYTES};"
    ))
}

/// Brings the schema up to date, unless the file is none of ours.
fn migrate(path: &Path, connection: &mut Connection) -> Result<(), LedgerError> {
    let failed = |error| LedgerError::of(path, error);
    // Two processes may begin the same file.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let version = version(path, &transaction)?;
    for step in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    transaction.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// The schema's version of a file; 0 for an empty one.
pub(crate) fn version(path: &Path, connection: &Connection) -> Result<u32, LedgerError> {
    let failed = |error| LedgerError::of(path, error);
    let header = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map_err(failed);
    let table = connection.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(())).optional();
    let is_empty = table.map_err(failed)?.is_none();
    let (application, version) = (header("application_id")?, header("user_version")?);
    match (is_empty, application) {
        (true, _) => Ok(0),
        (false, APPLICATION) if version > VERSION => {
            Err(LedgerError::Newer { path: path.into(), found: version, known: VERSION })
        }
        (false, APPLICATION) => Ok(version),
        (false, _) => {
            Err(LedgerError::Damaged { path: path.into(), why: "it is another program's database".into() })
        }
    }
}

const _: () = assert!(KEY_BYTES == 32, "as the first migration makes it");
