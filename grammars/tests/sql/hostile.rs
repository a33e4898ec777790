//! Schemas that nobody would write: a clear error or a grammar, soon.

use understudy_grammars::{Budget, Constraint, Grammar, GrammarError, Pattern, SqlSpec};

use crate::soon::all_end_soon;
use crate::support::{allowed, spec, vocabulary};

/// Compiles a schema, and reads a text with a mask before each byte where that succeeds.
fn compile_and_write(schema: String) -> Result<(), GrammarError> {
    let vocabulary = vocabulary();
    let spec = SqlSpec { double_quoted_strings: true, ..spec(&schema) };
    let grammar = Grammar::compile(&Pattern::Sql(spec), &vocabulary, &Budget::default())?;
    let mut matcher = grammar.matcher();
    for byte in b"SELECT count(*) FROM " {
        assert!(allowed(&mut matcher, 1000, &vocabulary).contains(&u32::from(*byte)), "INV-G2");
        assert!(matcher.try_accept(u32::from(*byte)));
    }
    assert!(matcher.close_path().is_some(), "INV-G2");
    Ok(())
}

fn refused(schema: String) -> Result<(), GrammarError> {
    let error = compile_and_write(schema).expect_err("is refused");
    assert!(matches!(error, GrammarError::SqlSchema(_) | GrammarError::TooLarge { .. }), "{error}");
    Err(error)
}

fn taken(schema: String) -> Result<(), GrammarError> {
    compile_and_write(schema).expect("compiles");
    Ok(())
}

fn tables(count: usize, columns: usize) -> String {
    let table = |number: usize| {
        let columns: Vec<String> = (0..columns).map(|column| format!("c{number}_{column} INT")).collect();
        format!("CREATE TABLE t{number} ({});\n", columns.join(", "))
    };
    (0..count).map(table).collect()
}

#[test]
fn schemas_that_cannot_be_used_are_refused_soon() {
    let wide: Vec<String> = (0..400_000).map(|number| format!("c{number} INT")).collect();
    let many: String =
        (0..150_000).map(|number| format!("CREATE TABLE t{number} (a INT, b TEXT);")).collect();
    let long = "n".repeat(5 << 20);
    let schemas = [
        ("an empty schema", String::new()),
        ("no list of columns", "CREATE TABLE t".into()),
        ("a table of a query", "CREATE TABLE t AS SELECT 1".into()),
        ("an open parenthesis", "CREATE TABLE t (a INT".into()),
        ("a column twice", "CREATE TABLE t (a INT, A TEXT)".into()),
        ("a view", "CREATE TABLE t (a INT); CREATE VIEW v AS SELECT a FROM t".into()),
        ("an added column", "CREATE TABLE t (a INT); ALTER TABLE t ADD COLUMN b INT".into()),
        ("a dropped table", "CREATE TABLE t (a INT); DROP TABLE t".into()),
        ("an open quote", "CREATE TABLE \"unclosed (a INT)".into()),
        ("an open comment", "CREATE TABLE t (a INT) /*".into()),
        ("SQLite's own table", "CREATE TABLE sqlite_sequence (name, seq)".into()),
        ("a name with a quote", "CREATE TABLE \"a\"\"b\" (c INT)".into()),
        ("a name with a NUL", "CREATE TABLE t (\"a\0b\" INT)".into()),
        ("a NUL", "CREATE TABLE t\0 (\0)".into()),
        ("an empty name", "CREATE TABLE \"\" (a INT)".into()),
        ("10,000 open parentheses", format!("CREATE TABLE t (a INT CHECK {}", "(".repeat(10_000))),
        ("5 MB of parentheses", "(".repeat(5 << 20)),
        ("5 MB of quotes", format!("CREATE TABLE t (a TEXT DEFAULT '{}", "''".repeat(5 << 19))),
        ("5 MB of semicolons", ";".repeat(5 << 20)),
        ("a table's name of 5 MB", format!("CREATE TABLE {long} (a INT)")),
        ("a table's quoted name of 5 MB", format!("CREATE TABLE \"{long}\" ()")),
        ("a column's name of 5 MB", format!("CREATE TABLE t ({long} INT)")),
        ("400,000 columns", format!("CREATE TABLE t ({})", wide.join(","))),
        ("150,000 tables, 5 MB", many),
        ("59,000 columns of 59 tables", tables(59, 1000)),
        ("10,000 tables of 10 columns", tables(10_000, 10)),
    ];
    all_end_soon(schemas, refused);
}

#[test]
fn schemas_that_look_bad_compile_soon() {
    let deep = |depth: usize| format!("CHECK {}a > 0{}", "(".repeat(depth), ")".repeat(depth));
    let filler = "a word, and so on; ".repeat((5 << 20) / 19);
    let invalid =
        String::from_utf8_lossy(b"CREATE TABLE t (\"\xff\xfe\" INT, \xc3 TEXT, c INT)").into_owned();
    let long: Vec<String> = (0..4).map(|number| format!("{}{number} INT", "n".repeat(1000))).collect();
    let schemas = [
        ("10,000 nested parentheses", format!("CREATE TABLE t (a INT {})", deep(10_000))),
        ("5 MB of nested parentheses", format!("CREATE TABLE t (a INT {})", deep(5 << 19))),
        ("a comment of 5 MB", format!("/* {filler} */ CREATE TABLE t (a INT)")),
        ("a default of 5 MB", format!("CREATE TABLE t (a TEXT DEFAULT '{filler}')")),
        ("5 MB of rows", format!("CREATE TABLE t (a INT);{}", "INSERT INTO t VALUES (1);".repeat(200_000))),
        ("bytes that are no UTF-8, replaced", invalid),
        ("names of 1,000 bytes", format!("CREATE TABLE t ({})", long.join(", "))),
        ("300 tables of 5 columns", tables(300, 5)),
        ("1,000 columns", tables(1, 1000)),
    ];
    all_end_soon(schemas, taken);
}
