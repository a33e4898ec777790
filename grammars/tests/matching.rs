//! Masks against two oracles: the `regex` crate on whole texts, and `outlines-core` on
//! the allowed tokens of each state.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use understudy_grammars::{
    Budget, Constraint, Grammar, GrammarCache, GrammarError, Pattern, TokenId, Vocabulary,
};

const END: TokenId = 256;

/// All bytes, an end, and some longer tokens that cross borders of characters and classes.
fn vocabulary() -> Arc<Vocabulary> {
    let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    tokens.push(Vec::new());
    let longer = [
        "ab", "abc", "ba", "10", "123", "a1", "é", "éa", " ", "  ", "yes", "no", "none", "\n\n", "-1",
        "b\u{e9}",
    ];
    tokens.extend(longer.iter().map(|text| text.as_bytes().to_vec()));
    tokens.push(vec![0xA9, b'a']);
    Arc::new(Vocabulary::new("bytes and words", tokens, vec![END]))
}

fn regex(expression: &str) -> Pattern {
    Pattern::Regex(expression.into())
}

fn compile(pattern: &Pattern) -> Arc<Grammar> {
    Grammar::compile(pattern, &vocabulary(), &Budget::default()).expect("compiles")
}

fn allowed(matcher: &mut dyn Constraint) -> BTreeSet<TokenId> {
    let mut words = vec![u32::MAX; vocabulary().len().div_ceil(32) + 1];
    matcher.mask(&mut words);
    (0..words.len() as TokenId * 32).filter(|id| words[*id as usize / 32] >> (id % 32) & 1 == 1).collect()
}

const EXPRESSIONS: [&str; 14] = [
    "a|ab|abc",
    "(ab?)+1{2,3}",
    "[0-9]{1,3}(\\.[0-9]{2})?",
    "é+a?",
    "(?:yes|no|none)",
    "a*?b*?",
    "^a[^b]c$",
    "\\d{2}",
    "[[:^ascii:]]{1,2}",
    "(a|b)*abb",
    "-?(0|[1-9][0-9]*)",
    "(?i)abc",
    "(a(b(c)?)?)?1",
    "[ \\n]*x",
];

/// Texts made by following the mask; `choices` says which allowed token is taken.
fn wander(grammar: &Arc<Grammar>, choices: &[prop::sample::Index]) -> Result<Option<Vec<u8>>, TestCaseError> {
    let mut matcher = grammar.matcher();
    let mut text = Vec::new();
    for choice in choices {
        let options: Vec<_> = allowed(&mut matcher).into_iter().collect();
        prop_assert!(!options.is_empty(), "INV-G2: a dead end after {:?}", String::from_utf8_lossy(&text));
        prop_assert_eq!(options.contains(&END), matcher.is_accepting());
        let token = options[choice.index(options.len())];
        prop_assert!(matcher.try_accept(token));
        if token == END {
            prop_assert!(matcher.is_stopped());
            return Ok(Some(text));
        }
        text.extend_from_slice(vocabulary().token(token));
    }
    Ok(matcher.is_accepting().then_some(text))
}

proptest! {
    /// INV-G1, first half.
    #[test]
    fn what_the_mask_allows_matches(
        which in 0..EXPRESSIONS.len(),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let grammar = compile(&regex(EXPRESSIONS[which]));
        if let Some(text) = wander(&grammar, &choices)? {
            let oracle = regex::Regex::new(&format!("\\A(?:{})\\z", EXPRESSIONS[which])).unwrap();
            let text = String::from_utf8(text).expect("patterns of text make text");
            prop_assert!(oracle.is_match(&text), "{text:?} does not match {}", EXPRESSIONS[which]);
        }
    }

    /// INV-G1, second half: any text of the alphabet is accepted exactly when it matches.
    #[test]
    fn what_matches_is_allowed(which in 0..EXPRESSIONS.len(), text in "[abcé019. x\\n-]{0,6}") {
        let mut matcher = compile(&regex(EXPRESSIONS[which])).matcher();
        let taken = text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte)));
        let oracle = regex::Regex::new(&format!("\\A(?:{})\\z", EXPRESSIONS[which])).unwrap();
        prop_assert_eq!(taken && matcher.is_accepting(), oracle.is_match(&text));
    }

    /// INV-G3.
    #[test]
    fn rollback_restores(
        which in 0..EXPRESSIONS.len(),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut matcher = compile(&regex(EXPRESSIONS[which])).matcher();
        let mut history = vec![(allowed(&mut matcher), matcher.is_accepting(), matcher.is_stopped())];
        for choice in &choices {
            let options: Vec<_> = allowed(&mut matcher).into_iter().collect();
            if options.is_empty() {
                break;
            }
            prop_assert!(matcher.try_accept(options[choice.index(options.len())]));
            history.push((allowed(&mut matcher), matcher.is_accepting(), matcher.is_stopped()));
        }
        let keep = keep.index(history.len());
        let mut copy = matcher.fork();
        copy.rollback(history.len() - 1 - keep);
        prop_assert_eq!(&(allowed(copy.as_mut()), copy.is_accepting(), copy.is_stopped()), &history[keep]);
        let last = history.last().unwrap();
        prop_assert_eq!(&allowed(&mut matcher), &last.0, "the fork is independent");
    }
}

#[test]
fn masks_equal_those_of_outlines() {
    let vocabulary = vocabulary();
    let mut theirs = outlines_core::vocabulary::Vocabulary::new(END);
    for id in (0..vocabulary.len() as TokenId).filter(|id| *id != END) {
        theirs.try_insert(vocabulary.token(id), id).unwrap();
    }
    // Only where the two agree on what a pattern means. outlines-core builds leftmost-first
    // automata and takes their delayed match states for ends: it loses `none` of
    // `no|none`, and the point of `[0-9]{1,3}(\\.[0-9]{2})?`.
    let same = ["(ab?)+1{2,3}", "(?:yes|none)", "\\d{2}", "(?i)abc", "[ \\n]*x", "-?[0-9]{2}é", "(a|b){3}c+"];
    for expression in same {
        let index = outlines_core::index::Index::new(expression, &theirs).unwrap();
        let grammar = compile(&regex(expression));
        let mut todo = vec![(index.initial_state(), grammar.matcher())];
        let mut seen: HashMap<u32, BTreeSet<TokenId>> = HashMap::new();
        while let Some((state, mut matcher)) = todo.pop() {
            let expected: BTreeSet<_> =
                index.allowed_tokens(&state).unwrap_or_default().into_iter().collect();
            if seen.insert(state, expected.clone()).is_some() {
                continue;
            }
            assert_eq!(allowed(&mut matcher), expected, "{expression} in state {state}");
            for token in expected.into_iter().filter(|token| *token != END) {
                let mut next = matcher.clone();
                assert!(next.try_accept(token));
                todo.push((index.next_state(&state, &token).unwrap(), next));
            }
        }
    }
}

#[test]
fn every_choice_can_be_made_and_nothing_else() {
    let options = ["a", "ab", "abc", "no", "none", "1.5 (x|y)*", "é"];
    let grammar = compile(&Pattern::Choice(options.map(String::from).to_vec()));
    let write = |text: &str| {
        let mut matcher = grammar.matcher();
        let taken = text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte)));
        taken && matcher.is_accepting() && matcher.try_accept(END)
    };
    for option in options {
        assert!(write(option), "{option:?}");
    }
    for other in ["", "abcd", "non", "1x5 (x|y)*", "1.5 x"] {
        assert!(!write(other), "{other:?}");
    }
}

#[test]
fn a_token_that_is_not_allowed_changes_nothing() {
    let mut matcher = compile(&regex("ab")).matcher();
    let before = allowed(&mut matcher);
    for refused in [u32::from(b'b'), END, 9_999] {
        assert!(!matcher.try_accept(refused));
    }
    assert_eq!(allowed(&mut matcher), before);
    assert!(matcher.try_accept(u32::from(b'a')) && matcher.try_accept(u32::from(b'b')));
    assert!(matcher.is_accepting() && matcher.is_stopped());
    assert!(matcher.try_accept(END) && !matcher.try_accept(END));
    assert!(allowed(&mut matcher).is_empty());
}

#[test]
fn only_tokens_without_an_alternative_are_forced() {
    // "ab" may be spelled as one token or two: the model's choice. After it, "xy" is not.
    let mut matcher = compile(&regex("abxy[12]")).matcher();
    assert!(matcher.forced().is_empty());
    assert!(matcher.try_accept(u32::from(b'a')) && matcher.try_accept(u32::from(b'b')));
    assert_eq!(matcher.forced(), [u32::from(b'x'), u32::from(b'y')]);

    let mut ends_or_goes_on = compile(&regex("a|ax")).matcher();
    assert!(ends_or_goes_on.try_accept(u32::from(b'a')));
    assert!(ends_or_goes_on.forced().is_empty(), "ending is a choice too");
}

#[test]
fn bytes_that_the_vocabulary_lacks_are_avoided() {
    let only = |tokens: &[&str]| Arc::new(Vocabulary::new("small", tokens, vec![]));
    let vocabulary = only(&["a", "b", "bc"]);
    let mut matcher = Grammar::compile(&regex("ab?c?"), &vocabulary, &Budget::default()).unwrap().matcher();
    assert!(matcher.try_accept(0));
    let mut words = [0];
    matcher.mask(&mut words);
    assert_eq!(words, [0b010], "c cannot be written alone, so it is not used at all");
    let refused = Grammar::compile(&regex("x+"), &vocabulary, &Budget::default()).unwrap_err();
    assert!(matches!(refused, GrammarError::NothingMatches(_)));
}

#[test]
fn patterns_out_of_bounds_are_refused_with_their_reason() {
    let compile =
        |pattern: &Pattern, budget: Budget| Grammar::compile(pattern, &vocabulary(), &budget).unwrap_err();
    let default = Budget::default();
    for broken in ["(", "a{2", "(?P<x>a)(?P=x)", "(?=a)b", "\\bé\\b"] {
        assert!(matches!(compile(&regex(broken), default), GrammarError::Regex(_)), "{broken}");
    }
    assert!(matches!(
        compile(&regex("((\\w{100}){100}){100}"), default),
        GrammarError::TooLarge { what: "bytes", .. }
    ));
    let small = Budget { max_states: 10, ..default };
    assert_eq!(compile(&regex("a{50}"), small), GrammarError::TooLarge { what: "states", limit: 10 });
    let hasty = Budget { time: Duration::ZERO, ..default };
    assert_eq!(compile(&regex("a"), hasty), GrammarError::TooSlow(Duration::ZERO));
    assert_eq!(compile(&regex("[a&&b]"), default), GrammarError::NothingMatches(vec![]));
    assert_eq!(compile(&Pattern::Choice(vec![]), default), GrammarError::EmptyChoice);
    assert_eq!(compile(&Pattern::Choice(vec![String::new()]), default), GrammarError::EmptyChoice);
}

#[test]
fn the_cache_shares_and_forgets_the_oldest() {
    let cache = GrammarCache::default();
    let get = |expression: &str| {
        cache.get_or_compile(&regex(expression), &vocabulary(), &Budget::default()).unwrap()
    };
    let first = get("a");
    assert!(Arc::ptr_eq(&first, &get("a")));
    for n in 0..GrammarCache::CAPACITY {
        get("a");
        get(&format!("b{{{n}}}c"));
    }
    assert_eq!(cache.len(), GrammarCache::CAPACITY);
    assert!(Arc::ptr_eq(&first, &get("a")), "used all along, so kept");
    assert!(cache.get(&regex("b{0}c"), "bytes and words").is_none(), "the oldest is gone");
    assert!(cache.get(&regex("a"), "another vocabulary").is_none());
}
