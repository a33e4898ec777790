use proptest::prelude::*;

use super::*;
use crate::json::scalar::{PatternSource, ScalarError, TextTest, text_matches};
use crate::lexeme::Source;

fn matches(pattern: &str, text: &str) -> bool {
    PatternSource::new(pattern, &budget()).unwrap_or_else(|error| panic!("{error}")).matches(text)
}

/// Patterns of every construct; the oracle understands all of them.
const PATTERNS: [&str; 50] = [
    "",
    "a",
    "^a",
    "a$",
    "^a$",
    "^$",
    "a|b$",
    "^(a|b)*c",
    "(ab?)+1{2,3}",
    "^[^a]b$",
    "^.$",
    "^a.b$",
    "^\\d+$",
    "^\\w+$",
    "^\\s+$",
    "^\\S*$",
    "\\W",
    "\\D\\d",
    "^\\u00e9+$",
    "^[\\u00e9-\\u00eb]$",
    "^\\x61$",
    "[a\\-z]",
    "^[a-c-]+$",
    "^[\\w-]+$",
    "a{2}",
    "^a{0,2}?b$",
    "\\.\\/\\-",
    "^(?:a|b){2,}$",
    "^(?<name>ab)+$",
    "\\bab\\b",
    "a\\B",
    "^\\p{Lu}",
    "^\\P{L}+$",
    "^(?=.*1)(?=.*[a-c]).{2,4}$",
    "^(?!ab)",
    "^(?!.*ab)a",
    "^((?!ab).)*$",
    "a(?!b)",
    "a(?=b|c)",
    "(?<!a)b",
    "(?<=a)b$",
    "^(a(?!b)|b(?=c)|c)+$",
    "^(?!a$|b$).*$",
    "^[^]*$",
    "(?=1)[0-9]a",
    "^a(?=b)|c$",
    "\\b(?!a)",
    "^(?!\\b)",
    "(?:(?=a)a|b)*c",
    "^(?!(?=ab)a)",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn texts_match_as_the_oracle_says(which in 0..PATTERNS.len(), text in "[abcA1é .\\n\u{2028}/-]{0,6}") {
        // Rust has another spelling of a class of everything, which the oracle does not translate.
        let pattern = PATTERNS[which];
        let theirs = pattern.replace("[^]", "[\\s\\S]");
        let valid = oracle(&json!({ "pattern": theirs })).is_valid(&json!(text));
        let looks = ["(?=", "(?!", "(?<", "\\b", "\\B"].iter().any(|look| pattern.contains(look));
        if looks && text.contains(['é', '\u{2028}']) {
            // The oracle reads `.` and `\b` otherwise there; then nothing is claimed.
            let is = Logic::Is(TextTest::Pattern(pattern.into()));
            prop_assert!(!text_matches(&is, &text).unwrap() || valid, "{pattern} in {text:?}");
            prop_assert!(!text_matches(&Logic::Not(Box::new(is)), &text).unwrap() || !valid, "{pattern} in {text:?}");
        } else {
            prop_assert_eq!(matches(pattern, &text), valid, "{} in {:?}", pattern, text);
        }
    }

    #[test]
    fn patterns_of_any_text_are_parsed_or_refused(pattern in "[a-c(){}\\[\\]^$|?*+.,:=!<>\\\\dwsbpu0-9&~-]{0,24}", text in "[abc19_-]{0,5}") {
        let ours = PatternSource::new(&pattern, &budget());
        // Where both have a meaning it is the same.
        if let (Ok(ours), Ok(theirs)) = (ours, jsonschema::validator_for(&json!({ "pattern": pattern }))) {
            prop_assert_eq!(ours.matches(&text), theirs.is_valid(&json!(text)), "{:?} in {:?}", pattern, text);
        }
    }
}

#[test]
fn meanings_are_those_of_ecma_262() {
    let cases: [(&str, &[&str], &[&str]); 16] = [
        ("^\\d$", &["7"], &["٣"]),
        ("^\\w$", &["a", "_"], &["é"]),
        ("^\\s$", &["\u{a0}", "\u{feff}", "\u{2029}"], &["\u{85}", "\u{200b}"]),
        ("^.$", &["é", "😀", "\u{85}"], &["\n", "\r", "\u{2028}", "ab"]),
        ("^[^]$", &["\n", "😀"], &["", "ab"]),
        ("[]", &[], &["", "a"]),
        ("^\\ud83d\\ude00$", &["😀"], &["a"]),
        ("^\\u{1f600}$", &["😀"], &["a"]),
        ("^\\cJ$", &["\n"], &["J"]),
        ("^\\0$", &["\0"], &["0"]),
        ("^a{,2}$", &["a{,2}"], &["a", "aa"]),
        ("^{}]$", &["{}]"], &[""]),
        ("^[[]$", &["["], &["]"]),
        ("^[a&&b]+$", &["a&&b"], &["c"]),
        ("^[\\b]$", &["\u{8}"], &["b"]),
        ("$a", &[], &["a", "$a"]),
    ];
    for (pattern, yes, no) in cases {
        yes.iter().for_each(|text| assert!(matches(pattern, text), "{pattern} has to match {text:?}"));
        no.iter().for_each(|text| assert!(!matches(pattern, text), "{pattern} must not match {text:?}"));
    }
}

#[test]
fn what_no_automaton_decides_is_refused_by_name() {
    let refused = [
        "(a)\\1",
        "\\k<a>",
        "(",
        "a)",
        "[a",
        "a**",
        "*",
        "(?i)a",
        "\\z",
        "\\p{Nonsense}",
        "[b-a]",
        "a{2,1}",
        "\\",
        "\\ud800",
        "a(?=\\b)",
        "(?=^a)",
        "(?<=a$)",
        "^*",
        "(?=a)*",
        "a{1,200000}",
        "\\u{110000}",
        "\\<",
        "\\b{start}",
    ];
    for pattern in refused {
        let error = PatternSource::new(pattern, &budget()).map(|_| ()).unwrap_err();
        assert!(
            matches!(&error, ScalarError::Pattern { pattern: named, .. } if named == pattern),
            "{pattern}: {error}"
        );
    }
}

#[test]
fn hostile_patterns_end_in_an_error_soon() {
    let started = std::time::Instant::now();
    let nested = "(".repeat(10_000) + &")".repeat(10_000);
    let looks = (0..14).map(|n| format!("(?={n})")).collect::<String>();
    let hostile = [
        nested,
        looks,
        "((a{1000}){1000}){1000}".into(),
        "\\w*a.{30}$".into(),
        "((?=.*a.{15}b).)*$".into(),
        "(a|b)".repeat(200_000),
    ];
    for pattern in hostile {
        let error = PatternSource::new(&pattern, &budget()).map(|_| ());
        assert!(error.is_err(), "{}", &pattern[..pattern.len().min(30)]);
    }
    // Far more than it takes, for machines that do other things too.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn every_text_has_a_state() {
    let source = PatternSource::new("^a$", &budget()).unwrap();
    let state = "bé😀".bytes().fold(source.start(), |state, byte| source.step(&state, byte).expect("total"));
    assert!(source.ending(&state).is_none() && source.is_dead(state));
}
