//! What is written for PostgreSQL and MySQL, against a parser of these.

use sqlparser::dialect::{Dialect as Parses, MySqlDialect, PostgreSqlDialect};
use sqlparser::parser::Parser;
use understudy_grammars::{Dialect, SqlSpec};

use regex::Regex;

use crate::support::{compile, database, for_each_walk, refusal, vocabulary};

const SHOP: &str = "
    CREATE TABLE customer (id BIGINT PRIMARY KEY, name VARCHAR(80) NOT NULL, country TEXT);
    CREATE TABLE purchase (id BIGINT, customer_id BIGINT REFERENCES customer (id), total NUMERIC(10, 2), placed DATE);
    CREATE TABLE item (purchase_id BIGINT, product TEXT, quantity INT, PRIMARY KEY (purchase_id, product));
";

/// What SQLite lacks of a dialect, as something that it has and that takes the same arguments.
fn in_sqlite(text: &str) -> String {
    let call = |names: &str, instead: &str| (format!(r"(?i)\b(?:{names})\s*\("), format!("{instead}("));
    let rules = [
        (r"(?i) ilike ".into(), " like ".into()),
        (r"(?i)\bnow\s*\(\s*\)".into(), "random()".into()),
        call("date_trunc|date_part|to_char|to_date|datediff|date_format", "nullif"),
        call("ceil|floor|year|month|day", "abs"),
        call("strpos", "instr"),
        call("greatest", "coalesce"),
        call("least", "coalesce"),
        call("array_agg", "total"),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, instead): &(String, String)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, instead.as_str()).into_owned()
    })
}

/// Whether a text parses, and, as far as names go, SQLite finds them all.
fn texts_parse(dialect: Dialect, parses: &dyn Parses) {
    let vocabulary = vocabulary();
    let spec = SqlSpec { schema: SHOP.into(), dialect, writes: true, ..SqlSpec::default() };
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    for_each_walk(&grammar, &vocabulary, |text| {
        if let Err(error) = Parser::parse_sql(parses, text) {
            panic!("{error} in {text}");
        }
        if let Err(error) = database.prepare(&in_sqlite(text)) {
            panic!("names of SQLite: {error} in {text}");
        }
    });
}

#[test]
fn texts_for_postgres_parse() {
    texts_parse(Dialect::Postgres, &PostgreSqlDialect {});
}

#[test]
fn texts_for_mysql_parse() {
    texts_parse(Dialect::Mysql, &MySqlDialect {});
}

#[test]
fn statements_of_dialects() {
    let vocabulary = vocabulary();
    let inside = [
        (Dialect::Postgres, "SELECT date_trunc('day', placed), sum(total) FROM purchase GROUP BY 1"),
        (Dialect::Postgres, "SELECT name FROM customer WHERE name ILIKE 'a%'"),
        (
            Dialect::Mysql,
            "SELECT year(placed), `name` FROM purchase JOIN customer ON customer_id = customer.id",
        ),
    ];
    let outside = [
        (Dialect::Postgres, "SELECT year(placed) FROM purchase"),
        (Dialect::Postgres, "SELECT \"Name\" FROM customer"),
        (Dialect::Mysql, "SELECT name FROM customer WHERE name ILIKE 'a%'"),
        (Dialect::Mysql, "SELECT date_trunc('day', placed) FROM purchase"),
    ];
    let refused = |(dialect, text): (Dialect, &str)| {
        let spec = SqlSpec { schema: SHOP.into(), dialect, ..SqlSpec::default() };
        refusal(&compile(spec, &vocabulary), text)
    };
    inside.into_iter().for_each(|case| assert_eq!(refused(case), None, "{case:?}"));
    outside.into_iter().for_each(|case| assert!(refused(case).is_some(), "{case:?}"));
}
