//! What probably comes next, where more than one byte can.

use std::sync::Arc;

use understudy_grammars::{Budget, Constraint, Grammar, JsonSpec, Pattern, SqlSpec, TokenId, Vocabulary};

/// What is likely after a text.
fn likely(pattern: &Pattern, text: &str) -> String {
    let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    tokens.push(Vec::new());
    let vocabulary = Arc::new(Vocabulary::new("bytes", tokens, vec![256]));
    let mut matcher = Grammar::compile(pattern, &vocabulary, &Budget::default()).expect("compiles").matcher();
    for byte in text.bytes() {
        assert!(matcher.try_accept(TokenId::from(byte)), "{text}");
    }
    let likely = matcher.likely_bytes();
    for byte in &likely {
        assert!(matcher.try_accept(TokenId::from(*byte)), "{text} {likely:?}");
    }
    String::from_utf8(likely).expect("characters")
}

#[test]
fn sql_goes_on_in_the_case_it_has_and_with_names_that_there_are() {
    let schema =
        "create table guest (guest_id int, middle_name text, last_name text); create table hotel (city text)";
    let sql = Pattern::Sql(SqlSpec { schema: schema.into(), ..SqlSpec::default() });
    for (text, next) in [
        ("SELECT middle", "_name"),
        ("SELECT MIDDLE", "_NAME"),
        ("SELECT g.middle_name, g.la", "st_name"),
        ("SELECT g.middle_name FROM guest A", "S "),
        ("SELECT city FROM hotel GROUP", " BY "),
        ("select city from hotel group", " by "),
        // One of several names, or whatever one likes.
        ("SELECT ", ""),
        ("SELECT city FROM ", ""),
        ("SELECT city FROM hotel AS ", ""),
        ("SELECT city FROM hotel WHERE city = 'g", ""),
    ] {
        assert_eq!(likely(&sql, text), next, "{text}");
    }
}

#[test]
fn json_goes_on_only_where_there_is_no_choice() {
    let schema = r#"{"enum": ["Aa", "aa", "b", "c d", "c e"]}"#;
    let json = Pattern::Json(JsonSpec::new(schema));
    for (text, next) in [("", "\""), ("\"", ""), ("\"A", "a\""), ("\"c", " "), ("\"b\"", "")] {
        assert_eq!(likely(&json, text), next, "{text}");
    }
    let cases = Pattern::Choice(vec!["xa".into(), "xA".into()]);
    assert_eq!(likely(&cases, "x"), "", "either would be another text");
}
