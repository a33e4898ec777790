//! Known completions, against SQLite.

use rusqlite::Connection;
use understudy_grammars::{Constraint, Matcher, SqlSpec, TokenId, Vocabulary};

use crate::support::{CONCERTS, Dice, END, compile, database, spec, vocabulary, wander};

/// Reads a text byte by byte. Before each byte and after the last the known completion must be one.
fn closes_everywhere(mut matcher: Matcher, text: &str, vocabulary: &Vocabulary, database: &Connection) {
    for read in 0..=text.len() {
        let (mut ahead, mut whole) = (matcher.clone(), text.as_bytes()[..read].to_vec());
        let path = ahead.close_path();
        let path = path.unwrap_or_else(|| panic!("INV-G2: no end after {}", &text[..read]));
        for token in path {
            let next = String::from_utf8_lossy(vocabulary.token(token)).into_owned();
            assert!(ahead.try_accept(token), "{next:?} of the completion is refused after {whole:?}");
            whole.extend_from_slice(vocabulary.token(token));
        }
        let whole = String::from_utf8(whole).expect("SQL is text");
        assert!(ahead.try_accept(END), "{whole} may not end");
        if let Err(error) = database.prepare(&whole) {
            panic!("{error} in {whole}");
        }
        if let Some(byte) = text.as_bytes().get(read) {
            assert!(matcher.try_accept(TokenId::from(*byte)), "{text} is refused after {read} bytes");
        }
    }
}

/// Calls that need OVER, and such that may have it, wherever an expression may stand.
#[test]
fn calls_of_windows_are_completed_everywhere() {
    let places = [
        "SELECT ",
        "SELECT name, ",
        "SELECT DISTINCT ",
        "SELECT NOT ",
        "SELECT (",
        "SELECT 1 + ",
        "SELECT 1 = ",
        "SELECT 'a' LIKE ",
        "SELECT 1 AND ",
        "SELECT 1 IN (",
        "SELECT 1 IN (1, ",
        "SELECT 1 BETWEEN ",
        "SELECT 1 NOT BETWEEN 1 + ",
        "SELECT 1 BETWEEN 1 AND ",
        "SELECT 1 BETWEEN CASE WHEN 1 BETWEEN ",
        "SELECT CASE ",
        "SELECT CASE WHEN ",
        "SELECT CASE WHEN 1 THEN ",
        "SELECT CASE WHEN 1 THEN 1 ELSE ",
        "SELECT CAST(",
        "SELECT coalesce(",
        "SELECT coalesce(1 BETWEEN ",
        "SELECT 1 UNION SELECT 1 BETWEEN ",
        "WITH t AS (SELECT 1 BETWEEN ",
        "SELECT * FROM (SELECT 1 BETWEEN ",
        "SELECT name FROM singer WHERE age IN (SELECT 1 BETWEEN ",
        "SELECT name FROM singer ORDER BY ",
        "SELECT name FROM singer ORDER BY age BETWEEN ",
    ];
    let vocabulary = vocabulary();
    let spec = spec(CONCERTS);
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    for place in places {
        for call in ["row_number()", "lag(1, 2)", "max(1)"] {
            closes_everywhere(grammar.matcher(), &format!("{place}{call}"), &vocabulary, &database);
        }
    }
}

/// INV-G2 in the midst of whatever can be written.
#[test]
fn every_prefix_is_completed() {
    let vocabulary = vocabulary();
    let spec = SqlSpec { writes: true, ..spec(CONCERTS) };
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    for seed in 1..=20_u64 {
        let text = wander(&grammar, &vocabulary, &mut Dice(seed * 0x9E37_79B9_7F4A_7C15), 60);
        closes_everywhere(grammar.matcher(), &text, &vocabulary, &database);
    }
}

/// A table that brings what is missing may be none that NATURAL can join, since it would make too much one.
#[test]
fn natural_joins_are_completed() {
    let vocabulary = vocabulary();
    let spec = spec(
        "CREATE TABLE concert (id INT, name TEXT, year INT);
         CREATE TABLE singer (id INT, age INT);
         CREATE TABLE sang (singer_id INT, concert_id INT);",
    );
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    for joined in ["singer t", "sang, singer t"] {
        let text = format!("SELECT t.id, age FROM concert NATURAL JOIN {joined}");
        closes_everywhere(grammar.matcher(), &text, &vocabulary, &database);
    }
}
