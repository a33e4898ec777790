//! Execution accuracy: does a statement return the rows that the reference returns?
//!
//! A statement from a model runs on a database that is opened read-only, may only read tables
//! and call functions (no ATTACH, no PRAGMA, no loading of extensions), and has a time limit,
//! a memory limit and a row limit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::eval::judge::{Verdict, sql_text};

/// How long a statement may run. Shorter where tests wait for it.
const TIME: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 5000 });
/// Most rows of a result; references have at most a few hundred.
const ROWS: usize = 10_000;
/// Longest text or blob in bytes, also of intermediate results.
const VALUE_BYTES: i32 = 1 << 20;
/// Of all databases of this process together. A sort of more than this fails.
const HEAP_BYTES: u32 = 256 << 20;
/// Virtual machine steps between two looks at the clock.
const STEPS: i32 = 1000;
/// Reals are equal when they agree to this many digits after the first: sums in another order
/// differ in the last two or three of 17.
const DIGITS: usize = 9;

/// Rows as text, numbers in one spelling.
pub type Rows = Vec<Vec<String>>;

/// Judges a statement by its rows.
#[derive(Debug, Clone)]
pub struct SqlJudge {
    /// The SQLite file.
    pub database: PathBuf,
    /// Results that count as right; at least one.
    pub accepted: Vec<Reference>,
    /// What `now` means, `YYYY-MM-DD`; `None` leaves it.
    pub today: Option<String>,
}

/// A right result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    rows: Rows,
    ordered: bool,
}

/// Why a reference cannot judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It fails on this database.
    Fails(String),
    /// It returns nothing, or nothing but NULL: wrong statements would pass.
    Empty,
}

impl Reference {
    /// The result of a reference statement. The order of its rows counts when `order_counts`
    /// and its outermost query has ORDER BY.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn of(database: &Path, sql: &str, order_counts: bool) -> Result<Self, Unusable> {
        let rows = run(database, sql).map_err(Unusable::Fails)?;
        if rows.iter().flatten().all(|cell| cell == NULL) {
            return Err(Unusable::Empty);
        }
        let ordered = order_counts && sql_text::is_ordered(sql);
        Ok(Self { rows: if ordered { rows } else { sorted(rows) }, ordered })
    }

    fn accepts(&self, rows: &Rows) -> bool {
        match self.ordered {
            true => self.rows == *rows,
            false => self.rows == sorted(rows.clone()),
        }
    }
}

impl SqlJudge {
    /// Judges the first statement of an answer.
    pub fn verdict(&self, answer: &str) -> Verdict {
        let Some(sql) = sql_text::extract(answer) else {
            return Verdict::Wrong("no SELECT in the answer".into());
        };
        let frozen = self.today.as_ref().map(|today| sql_text::freeze_now(sql, today));
        match run(&self.database, frozen.as_deref().unwrap_or(sql)) {
            Err(why) => Verdict::Wrong(why),
            Ok(rows) => Verdict::when(self.accepted.iter().any(|right| right.accepts(&rows)), || {
                let right = self.accepted.first().map_or(0, |right| right.rows.len());
                format!("{} rows that are not the {right} right ones", rows.len())
            }),
        }
    }
}

const NULL: &str = "NULL";

/// Runs a statement of unknown origin; the error says why it has no rows.
pub fn run(database: &Path, sql: &str) -> Result<Rows, String> {
    let connection = open(database).map_err(|error| format!("the database: {error}"))?;
    query(&connection, sql).map_err(|error| match error {
        Stopped::Rows => format!("more than {ROWS} rows"),
        Stopped::Sqlite(rusqlite::Error::SqliteFailure(failure, _))
            if failure.code == rusqlite::ErrorCode::OperationInterrupted =>
        {
            format!("ran longer than {TIME:?}")
        }
        Stopped::Sqlite(error) => error.to_string(),
    })
}

fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    // Sorting in memory meets the heap limit; in files it would fill the disk.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update_and_check(None, "hard_heap_limit", HEAP_BYTES, |_| Ok(()))?;
    // References and models quote texts with double quotes, as MySQL does.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)?;
    connection.authorizer(Some(|context: rusqlite::hooks::AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }))?;
    let until = Instant::now() + TIME;
    connection.progress_handler(STEPS, Some(move || Instant::now() >= until))?;
    Ok(connection)
}

enum Stopped {
    Sqlite(rusqlite::Error),
    Rows,
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn query(connection: &Connection, sql: &str) -> Result<Rows, Stopped> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut found = statement.query([])?;
    let mut rows = Rows::new();
    while let Some(row) = found.next()? {
        if rows.len() == ROWS {
            return Err(Stopped::Rows);
        }
        let cells = (0..columns).map(|column| Ok(cell(row.get_ref(column)?)));
        rows.push(cells.collect::<rusqlite::Result<_>>()?);
    }
    Ok(rows)
}

/// Each value in one spelling; texts are quoted, so that '5' is not 5.
fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => NULL.to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => real(number),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => format!("x{bytes:02x?}"),
    }
}

/// Rounded; a whole number looks like the integer that it equals.
fn real(number: f64) -> String {
    let rounded: f64 = format!("{number:.DIGITS$e}").parse().unwrap_or(number);
    match rounded {
        whole if whole.fract() == 0.0 && whole.abs() < 1e15 => format!("{}", whole as i64),
        other => format!("{other:e}"),
    }
}

fn sorted(mut rows: Rows) -> Rows {
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: &str = "CREATE TABLE city (name text, size int, area real);
        INSERT INTO city VALUES ('rome', 5, 2.5), ('oslo', 1, 0.1), ('bonn', 1, 0.2), ('nowhere', NULL, NULL)";

    fn database() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("city.sqlite");
        Connection::open(&path).unwrap().execute_batch(SETUP).unwrap();
        (folder, path)
    }

    fn judge(database: &Path, gold: &str) -> SqlJudge {
        let accepted = vec![Reference::of(database, gold, true).unwrap()];
        SqlJudge { database: database.to_owned(), accepted, today: None }
    }

    #[test]
    fn rows_decide_and_not_spelling() {
        let (_folder, path) = database();
        let by_size = "SELECT name, size FROM city WHERE size > 0 ORDER BY size DESC, name";
        let cases = [
            (
                "SELECT name FROM city WHERE size = 1",
                "```sql\nselect c.name from city c where c.size < 2;\n```",
                true,
            ),
            (
                "SELECT name FROM city WHERE size = 1",
                "SELECT name FROM city WHERE size = 1 ORDER BY name DESC",
                true,
            ),
            ("SELECT name FROM city WHERE size = 1", "SELECT name FROM city", false),
            ("SELECT name FROM city WHERE size = 1", "SELECT name FROM city WHERE name = 'oslo'", false),
            ("SELECT size FROM city", "SELECT DISTINCT size FROM city", false),
            (by_size, "SELECT name, size FROM city WHERE size > 0 ORDER BY size DESC, name ASC", true),
            (by_size, "SELECT name, size FROM city WHERE size > 0 ORDER BY size, name", false),
            ("SELECT 5", "SELECT 5.0", true),
            ("SELECT 5", "SELECT '5'", false),
            ("SELECT sum(area) FROM city WHERE size = 1", "SELECT 0.3", true),
            ("SELECT 1.0 / 3", "SELECT 0.333", false),
            ("SELECT NULL, 1", "SELECT 'NULL', 1", false),
            (
                "SELECT size FROM city WHERE name = \"rome\"",
                "SELECT size FROM city WHERE name = \"rome\"",
                true,
            ),
            ("SELECT name FROM city WHERE size = 5", "I don't know.", false),
        ];
        for (gold, answer, right) in cases {
            let verdict = judge(&path, gold).verdict(answer);
            assert_eq!(verdict == Verdict::Right, right, "{gold} / {answer}: {verdict:?}");
        }
    }

    #[test]
    fn any_accepted_result_will_do() {
        let (_folder, path) = database();
        let mut judge = judge(&path, "SELECT name FROM city WHERE size = 5");
        judge
            .accepted
            .push(Reference::of(&path, "SELECT name, size FROM city WHERE size = 5", true).unwrap());
        assert_eq!(judge.verdict("SELECT 'rome', 5"), Verdict::Right);
        assert_eq!(judge.verdict("SELECT 'rome'"), Verdict::Right);
    }

    #[test]
    fn now_can_stand_still() {
        let (_folder, path) = database();
        let mut judge = judge(&path, "SELECT date('2026-06-15', '-1 day')");
        judge.today = Some("2026-06-15".into());
        assert_eq!(judge.verdict("SELECT date('now', '-1 day')"), Verdict::Right);
    }

    #[test]
    fn references_that_judge_nothing_are_found() {
        let (_folder, path) = database();
        let of = |sql| Reference::of(&path, sql, true);
        assert!(matches!(of("SELECT nothing FROM city"), Err(Unusable::Fails(_))));
        assert_eq!(of("SELECT name FROM city WHERE size = 9"), Err(Unusable::Empty));
        assert_eq!(of("SELECT max(size) FROM city WHERE name = 'nowhere'"), Err(Unusable::Empty));
        assert!(of("SELECT count(*) FROM city WHERE size = 9").is_ok(), "zero is an answer");
    }

    /// Each is stopped, soon, and leaves file and folder as they were.
    #[test]
    fn hostile_statements_are_stopped() {
        let (folder, path) = database();
        let judge = judge(&path, "SELECT 1");
        let before = std::fs::read(&path).unwrap();
        let other = folder.path().join("other.sqlite");
        let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)";
        let cases = [
            (format!("{endless} SELECT count(*) FROM c"), "ran longer"),
            (format!("{endless} SELECT x FROM c"), "more than"),
            (format!("{endless} SELECT x, zeroblob(100000) FROM c ORDER BY x DESC"), ""),
            (format!("{endless} SELECT group_concat(x) FROM c"), "ran longer"),
            ("SELECT zeroblob(2000000000)".into(), "too big"),
            ("SELECT printf('%.*c', 2000000000, 'x')".into(), ""),
            ("SELECT load_extension('x')".into(), "not authorized"),
            ("SELECT * FROM pragma_table_info('city')".into(), ""),
            ("SELECT writefile('x', 'y')".into(), "no such function"),
            (format!("SELECT {}1{}", "abs(".repeat(5000), ")".repeat(5000)), ""),
            (format!("SELECT {}1{}", "(SELECT ".repeat(5000), ")".repeat(5000)), ""),
            (format!("SELECT 1{}", " + 1".repeat(5000)), "depth"),
            ("SELECT ?".into(), ""),
            ("SELECT \0".into(), ""),
            ("SELECT".into(), "incomplete"),
            ("WITH x AS (SELECT 1) DELETE FROM city".into(), "not authorized"),
            ("WITH x AS (SELECT 1) INSERT INTO city SELECT 1, 2, 3".into(), "not authorized"),
        ];
        for (sql, why) in cases {
            let begun = Instant::now();
            let verdict = judge.verdict(&sql);
            let shown: String = sql.chars().take(60).collect();
            assert!(matches!(&verdict, Verdict::Wrong(said) if said.contains(why)), "{shown}: {verdict:?}");
            assert!(begun.elapsed() < TIME * 4, "{shown} took {:?}", begun.elapsed());
        }
        // The extractor only passes SELECT and WITH; the sandbox holds without it.
        for sql in [
            format!("ATTACH '{}' AS other", other.display()),
            format!("VACUUM INTO '{}'", other.display()),
            "PRAGMA writable_schema = 1".into(),
            "PRAGMA table_info(city)".into(),
            "DROP TABLE city".into(),
            "UPDATE city SET size = 1".into(),
            "CREATE TEMP TABLE t AS SELECT 1".into(),
            "BEGIN EXCLUSIVE".into(),
            "SAVEPOINT s".into(),
            "DETACH main".into(),
            "ANALYZE".into(),
            "SELECT 1; DROP TABLE city".into(),
        ] {
            assert!(run(&path, &sql).is_err(), "{sql}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no file beside it");
    }
}
