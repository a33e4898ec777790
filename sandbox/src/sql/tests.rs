use super::*;

const SETUP: &str = "CREATE TABLE city (name text, size int, area real);
    INSERT INTO city VALUES ('rome', 5, 2.5), ('oslo', 1, 0.1), ('bonn', 1, 0.2), ('nowhere', NULL, NULL)";

/// Long enough for every statement here that ends.
const SOON: Duration = Duration::from_millis(500);

fn database() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.sqlite");
    Connection::open(&path).unwrap().execute_batch(SETUP).unwrap();
    (folder, Database::at(path).within(SOON))
}

#[test]
fn a_table_has_names_and_one_spelling_of_each_value() {
    let (_folder, database) = database();
    let table = database.run("SELECT 5.0 AS a, '5' AS b, NULL AS c, 0.1 + 0.2 AS d, x'00ff' AS e").unwrap();
    assert_eq!(table.columns, ["a", "b", "c", "d", "e"]);
    assert_eq!(table.rows, [["5", "'5'", "NULL", "3e-1", "x'00ff'"]]);
    assert!(!table.is_empty());
    assert!(database.run("SELECT NULL FROM city").unwrap().is_empty());
    assert!(database.run("SELECT name FROM city WHERE size = 9").unwrap().is_empty());
}

#[test]
fn results_that_agree_have_one_digest() {
    let (_folder, database) = database();
    let digest = |sql: &str| database.run(sql).unwrap().digest();
    let one = digest("SELECT name FROM city WHERE size = 1");
    assert_eq!(one, digest("SELECT c.name AS who FROM city c WHERE c.size < 2 AND c.size > 0"));
    assert_ne!(one, digest("SELECT name FROM city"));
    assert_ne!(digest("SELECT 1, 2"), digest("SELECT 12"));
    assert_ne!(digest("SELECT 1 UNION ALL SELECT 1"), digest("SELECT 1"));
    let by = |order| digest(&format!("SELECT name FROM city ORDER BY {order}"));
    assert_eq!(by("name"), by("name ASC"));
    assert_ne!(by("name"), by("name DESC"), "an order that is asked for counts");
}

#[test]
fn failures_say_of_which_kind_they_are() {
    let (_folder, database) = database();
    let of = |sql: &str| database.answer(sql).unwrap_err();
    assert_eq!(of("I don't know."), Failure::Missing);
    assert!(matches!(of("SELECT FROM WHERE"), Failure::Syntax(_)));
    assert!(matches!(of("SELECT (1"), Failure::Syntax(_)));
    assert!(matches!(of("SELECT missing FROM city"), Failure::UnknownName(_)));
    assert!(matches!(of("SELECT 1 FROM missing"), Failure::UnknownName(_)));
    assert!(matches!(of("SELECT missing()"), Failure::UnknownName(_)));
    assert!(matches!(of("SELECT load_extension('x')"), Failure::Denied(_)));
    assert!(matches!(of("SELECT abs(-9223372036854775808)"), Failure::Fails(_)));
    let missing = Database::at("/nowhere/at/all.sqlite");
    assert!(matches!(missing.run("SELECT 1"), Err(Failure::Database(_))));
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "no database, and long enough for SQLite to read a header of it: ".repeat(20))
        .unwrap();
    assert!(matches!(Database::at(text).run("SELECT * FROM city"), Err(Failure::Database(_))));
}

#[test]
fn now_can_stand_still() {
    let (_folder, database) = database();
    let database = database.on(Some("2026-06-15".into()));
    assert_eq!(database.run("SELECT date('now', '-1 day')").unwrap().rows, [["'2026-06-14'"]]);
}

/// Each is stopped, soon, and leaves file and folder as they were.
#[test]
fn hostile_statements_are_stopped() {
    let (folder, database) = database();
    let before = std::fs::read(database.path()).unwrap();
    let other = folder.path().join("other.sqlite");
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)";
    let cases = [
        (format!("{endless} SELECT count(*) FROM c"), "ran longer"),
        (format!("{endless} SELECT x FROM c"), "more than"),
        (format!("{endless} SELECT x, zeroblob(100000) FROM c ORDER BY x DESC"), ""),
        (format!("{endless} SELECT group_concat(x) FROM c"), "ran longer"),
        (format!("{endless} SELECT zeroblob(1000000) FROM c"), "MiB of rows"),
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
        let stopped = database.answer(&sql);
        let shown: String = sql.chars().take(60).collect();
        let is_stopped = match &stopped {
            // A parameter that nobody sets is NULL.
            Ok(table) => table.is_empty(),
            Err(failure) => failure.to_string().contains(why),
        };
        assert!(is_stopped, "{shown}: {stopped:?}");
        assert!(begun.elapsed() < SOON * 4, "{shown} took {:?}", begun.elapsed());
    }
    // Answers are searched for SELECT and WITH; the sandbox holds without it.
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
        assert!(database.run(&sql).is_err(), "{sql}");
    }
    assert_eq!(std::fs::read(database.path()).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no file beside it");
}
