//! Execution accuracy: does a statement return the rows that the reference returns?

use understudy_sandbox::sql::{Database, Failure, Table};

use crate::eval::judge::Verdict;

/// Judges a statement by its rows.
#[derive(Debug, Clone)]
pub struct SqlJudge {
    /// The SQLite file.
    pub database: Database,
    /// Results that count as right; at least one.
    pub accepted: Vec<Reference>,
}

/// A right result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    rows: Vec<Vec<String>>,
    ordered: bool,
}

/// Why a reference cannot judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It fails on this database.
    Fails(Failure),
    /// It returns nothing, or nothing but NULL: wrong statements would pass.
    Empty,
}

impl Reference {
    /// The result of a reference statement. The order of its rows counts when `order_counts`
    /// and its outermost query has ORDER BY.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn of(database: &Database, sql: &str, order_counts: bool) -> Result<Self, Unusable> {
        let table = database.run(sql).map_err(Unusable::Fails)?;
        if table.is_empty() {
            return Err(Unusable::Empty);
        }
        let ordered = order_counts && table.is_ordered;
        Ok(Self { rows: table.normal(ordered).into_owned(), ordered })
    }

    fn accepts(&self, table: &Table) -> bool {
        self.rows[..] == *table.normal(self.ordered)
    }
}

impl SqlJudge {
    /// Judges the first statement of an answer.
    ///
    /// # Errors
    /// The database is gone.
    pub fn verdict(&self, answer: &str) -> Result<Verdict, String> {
        match self.database.answer(answer) {
            Err(gone @ Failure::Database(_)) => Err(gone.to_string()),
            Err(why) => Ok(Verdict::Wrong(why.to_string())),
            Ok(table) => Ok(Verdict::when(self.accepted.iter().any(|right| right.accepts(&table)), || {
                let right = self.accepted.first().map_or(0, |right| right.rows.len());
                format!("{} rows that are not the {right} right ones", table.rows.len())
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    const SETUP: &str = "CREATE TABLE city (name text, size int, area real);
        INSERT INTO city VALUES ('rome', 5, 2.5), ('oslo', 1, 0.1), ('bonn', 1, 0.2), ('nowhere', NULL, NULL)";

    fn database() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("city.sqlite");
        Connection::open(&path).unwrap().execute_batch(SETUP).unwrap();
        (folder, Database::at(path))
    }

    fn judge(database: &Database, gold: &str) -> SqlJudge {
        let accepted = vec![Reference::of(database, gold, true).unwrap()];
        SqlJudge { database: database.clone(), accepted }
    }

    #[test]
    fn rows_decide_and_not_spelling() {
        let (_folder, database) = database();
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
            let verdict = judge(&database, gold).verdict(answer).unwrap();
            assert_eq!(verdict == Verdict::Right, right, "{gold} / {answer}: {verdict:?}");
        }
    }

    #[test]
    fn any_accepted_result_will_do() {
        let (_folder, database) = database();
        let mut judge = judge(&database, "SELECT name FROM city WHERE size = 5");
        judge
            .accepted
            .push(Reference::of(&database, "SELECT name, size FROM city WHERE size = 5", true).unwrap());
        assert_eq!(judge.verdict("SELECT 'rome', 5"), Ok(Verdict::Right));
        assert_eq!(judge.verdict("SELECT 'rome'"), Ok(Verdict::Right));
    }

    #[test]
    fn references_that_judge_nothing_are_found() {
        let (_folder, database) = database();
        let of = |sql| Reference::of(&database, sql, true);
        assert!(matches!(of("SELECT nothing FROM city"), Err(Unusable::Fails(_))));
        assert_eq!(of("SELECT name FROM city WHERE size = 9"), Err(Unusable::Empty));
        assert_eq!(of("SELECT max(size) FROM city WHERE name = 'nowhere'"), Err(Unusable::Empty));
        assert!(of("SELECT count(*) FROM city WHERE size = 9").is_ok(), "zero is an answer");
    }
}
