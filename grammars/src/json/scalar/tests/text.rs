use proptest::prelude::*;

use super::*;
use crate::GrammarError;
use crate::json::scalar::{ScalarError, TextTest, text_automaton, text_matches};
use crate::lexeme::spelled;

fn condition(test: &TextTest) -> Value {
    match test {
        TextTest::Pattern(pattern) => json!({ "pattern": pattern }),
        TextTest::Format(format) => json!({ "format": format }),
        TextTest::MinLength(least) => json!({ "minLength": least }),
        TextTest::MaxLength(most) => json!({ "maxLength": most }),
        TextTest::Equals(text) => json!({ "const": text }),
    }
}

fn automaton(logic: &Logic<TextTest>) -> Option<Automaton> {
    match text_automaton(logic, &[true; 256], &budget()) {
        // The format has thousands of states by itself, and many times as many with other conditions.
        Err(ScalarError::Budget(GrammarError::TooLarge { .. })) if bounded(logic) => None,
        made => made.expect("an automaton"),
    }
}

fn is(test: TextTest) -> Logic<TextTest> {
    Logic::Is(test)
}

fn not(logic: Logic<TextTest>) -> Logic<TextTest> {
    Logic::Not(Box::new(logic))
}

fn pattern(pattern: &str) -> Logic<TextTest> {
    is(TextTest::Pattern(pattern.into()))
}

fn test() -> impl Strategy<Value = TextTest> {
    let patterns = ["^a", "b$", "^[ab\"]*$", "é", "^(?!a)", "\\s", "^.{2}$", "\\\\", "^[^a]+$"];
    prop_oneof![
        3 => prop::sample::select(patterns.to_vec()).prop_map(|pattern| TextTest::Pattern(pattern.into())),
        2 => (0..6_u64).prop_map(TextTest::MinLength),
        2 => (0..6_u64).prop_map(TextTest::MaxLength),
        3 => "[abé\"\\\\\n\u{1}]{0,3}".prop_map(TextTest::Equals),
        1 => prop::sample::select(vec!["date", "email", "unheard-of"]).prop_map(|format| TextTest::Format(format.into())),
    ]
}

fn logic() -> impl Strategy<Value = Logic<TextTest>> {
    test().prop_map(Logic::Is).prop_recursive(3, 10, 4, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Logic::All),
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Logic::Any),
            1 => inner.prop_map(|part| Logic::Not(Box::new(part))),
        ]
    })
}

/// Whether two readings of a condition may differ.
fn bounded(logic: &Logic<TextTest>) -> bool {
    match logic {
        Logic::All(parts) | Logic::Any(parts) => parts.iter().any(bounded),
        Logic::Not(part) => bounded(part),
        Logic::Is(test) => *test == TextTest::Format("email".into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_accepted_is_valid(logic in logic(), walks in prop::collection::vec(prop::collection::vec(any::<u16>(), 0..10), 8)) {
        let schema = schema(&logic, &condition);
        let Some(automaton) = automaton(&logic) else { return Ok(()) };
        let oracle = oracle(&schema);
        for choices in walks {
            let text = walk(&automaton, &choices);
            let value: String = serde_json::from_str(&text).expect("JSON");
            prop_assert!(oracle.is_valid(&json!(value)), "{text} under {schema}");
            prop_assert_eq!(&text, &format!("\"{}\"", spelled(&value)), "one spelling");
            prop_assert!(text_matches(&logic, &value).unwrap());
        }
    }

    #[test]
    fn what_is_valid_is_accepted(logic in logic(), text in "[abé\"\\\\\n\u{1} ]{0,4}") {
        prop_assume!(!bounded(&logic));
        let schema = schema(&logic, &condition);
        let valid = oracle(&schema).is_valid(&json!(text));
        let spelled = format!("\"{}\"", spelled(&text));
        let accepted = automaton(&logic).is_some_and(|automaton| accepts(&automaton, &spelled));
        prop_assert_eq!(accepted, valid, "{} under {}", spelled, schema);
        prop_assert_eq!(text_matches(&logic, &text).unwrap(), valid);
    }
}

#[test]
fn many_texts_are_one_tree() {
    let texts: Vec<String> = (0..500).map(|n| format!("value number {n}")).collect();
    let any = Logic::Any(texts.iter().cloned().map(TextTest::Equals).map(Logic::Is).collect());
    let both = Logic::All(vec![any.clone(), not(is(TextTest::Equals(texts[7].clone()))), pattern("[0-4]$")]);
    let started = std::time::Instant::now();
    let (any, both) = (automaton(&any).unwrap(), automaton(&both).unwrap());
    assert!(started.elapsed().as_secs() < 2);
    assert!(any.states() < 600 && both.states() < 600, "{} {}", any.states(), both.states());
    assert!(accepts(&any, "\"value number 7\"") && accepts(&any, "\"value number 499\""));
    assert!(!accepts(&any, "\"value number 500\"") && !accepts(&any, "\"value number \""));
    assert!(accepts(&both, "\"value number 404\"") && !accepts(&both, "\"value number 7\""));
}

#[test]
fn conditions_that_contradict_each_other_have_no_text() {
    let length = Logic::All(vec![is(TextTest::MinLength(3)), is(TextTest::MaxLength(2))]);
    let patterns = Logic::All(vec![pattern("^a"), not(pattern("a"))]);
    for logic in [
        length,
        patterns,
        Logic::Any(vec![]),
        not(Logic::All(vec![])),
        not(is(TextTest::Format("unheard-of".into()))),
    ] {
        assert!(automaton(&logic).is_none(), "{logic:?}");
    }
}

#[test]
fn budgets_are_kept() {
    let too_large = |logic: &Logic<TextTest>| text_automaton(logic, &[true; 256], &budget()).unwrap_err();
    let long = Logic::All(vec![is(TextTest::MinLength(100_000)), pattern("a")]);
    let states = GrammarError::TooLarge { what: "states", limit: 20_000 };
    assert_eq!(too_large(&long), ScalarError::Budget(states.clone()));
    let product = Logic::All((1..9).map(|n| pattern(&format!("a.{{{n}}}b.{{{n}}}$"))).collect());
    assert_eq!(too_large(&product), ScalarError::Budget(states));
    let deep = (0..1000).fold(pattern("a"), |logic, _| not(logic));
    assert_eq!(too_large(&deep), ScalarError::TooDeep(256));
}

#[test]
fn patterns_with_counted_words_fit() {
    let words = pattern("^(?:\\S+\\s+){0,199}\\S+$");
    let automaton = automaton(&words).unwrap();
    assert!(accepts(&automaton, "\"one two\\nthree\"") && !accepts(&automaton, "\"\""));
    assert!(automaton.states() < 20_000);
}
