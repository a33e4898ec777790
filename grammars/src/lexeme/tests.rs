//! Lexemes against slow ways to know the same.

use proptest::prelude::*;

use super::automaton::{Automaton, NOWHERE, START};
use super::{AnyText, JsonText, Lexeme, Outcomes, Regular, Source, Spread, Words, spelled};
use crate::{Budget, GrammarError, TokenId, Vocabulary};

fn all_bytes() -> [bool; 256] {
    [true; 256]
}

fn regular(expression: &str) -> Automaton {
    let source = Regular::new(expression, &Budget::default()).expect("an expression");
    Automaton::build(&source, &all_bytes(), &Budget::default()).expect("some text")
}

fn read(automaton: &Automaton, text: &[u8]) -> Option<u32> {
    let state = text.iter().try_fold(START, |state, byte| automaton.step(state, *byte))?;
    automaton.ending(state)
}

/// A source whose letters may be of either case.
struct Folded(Regular);

impl Source for Folded {
    type State = <Regular as Source>::State;

    fn start(&self) -> Self::State {
        self.0.start()
    }

    fn step(&self, state: &Self::State, byte: u8) -> Option<Self::State> {
        self.0.step(state, byte)
    }

    fn ending(&self, state: &Self::State) -> Option<u32> {
        self.0.ending(state)
    }

    fn classes(&self) -> [u8; 256] {
        std::array::from_fn(|byte| (byte as u8).to_ascii_lowercase())
    }
}

fn overlay(words: &[String], others: Option<&Automaton>) -> Result<Automaton, GrammarError> {
    let numbered = words.iter().map(String::as_bytes).zip(0..);
    Automaton::overlay(numbered, words.len() as u32, |_| false, others, &all_bytes(), &Budget::default())
}

proptest! {
    /// Words are told first; whatever else the others have is theirs, from every state.
    #[test]
    fn words_lie_over_others(
        words in proptest::collection::vec("[ab]{0,4}", 1..6),
        text in "[abc]{0,6}",
        with_others in any::<bool>(),
    ) {
        let others = regular("a?(?:b|ca)*");
        let others = with_others.then_some(&others);
        let made = overlay(&words, others).expect("some text");
        let word = words.iter().position(|word| *word == text).map(|number| number as u32);
        let other = || Some(words.len() as u32 + read(others?, text.as_bytes())?);
        prop_assert_eq!(read(&made, text.as_bytes()), word.or_else(other));
        for state in 0..made.states() as u32 {
            let (bytes, first) = made.nearest[state as usize];
            if bytes == NOWHERE {
                continue; // Nothing leads there.
            }
            let reached = made.reach(state);
            // What is reached is what a step, or the end here, reaches.
            let mut expected = Outcomes::only(made.outcomes(), made.ending(state));
            let (mut nearest, mut firsts) = (if made.ending(state).is_some() { 0 } else { NOWHERE }, Vec::new());
            for byte in 0..=u8::MAX {
                if let Some(next) = made.step(state, byte) {
                    expected.add(made.reach(next));
                    let through = made.nearest[next as usize].0.saturating_add(1);
                    if through < nearest {
                        firsts.clear();
                    }
                    if through <= nearest {
                        nearest = through;
                        firsts.push(byte);
                    }
                }
            }
            prop_assert!(reached.contains_all(&expected) && expected.contains_all(reached));
            prop_assert_eq!(bytes, nearest);
            prop_assert!(bytes == 0 || firsts.contains(&first));
        }
    }

    /// Letters of words that begin with `a` are of either case, those of others of their own.
    #[test]
    fn words_may_be_of_either_case(
        words in proptest::collection::vec("[Aa][bB]{0,2}|c[bB]{0,2}", 1..6),
        text in "[abcABC]{0,4}",
    ) {
        let numbered = words.iter().map(String::as_bytes).zip(0..);
        let folds = |first: u8| first.eq_ignore_ascii_case(&b'a');
        let made = Automaton::overlay(numbered, 9, folds, None, &all_bytes(), &Budget::default()).expect("some text");
        let is_text = |word: &String| match word.starts_with('c') {
            true => *word == text,
            false => word.eq_ignore_ascii_case(&text),
        };
        let word = words.iter().position(is_text).map(|number| number as u32);
        prop_assert_eq!(read(&made, text.as_bytes()), word);
    }

    /// A lexeme without some texts has all others, and tokens do in it what they do without help of the whole.
    #[test]
    fn texts_are_taken_away(
        texts in proptest::collection::vec("[ab]{1,4}", 0..5),
        dotted in any::<bool>(),
        text in "[abAB.]{0,5}",
    ) {
        let budget = Budget::default();
        let expression = if dotted { "[abAB]{1,3}\\." } else { "[abAB]{1,3}|[abAB][cC]*" };
        let source = Folded(Regular::new(expression, &budget).expect("an expression"));
        let whole = Lexeme::new(Automaton::build(&source, &all_bytes(), &budget).expect("some text"));
        let texts: Vec<String> = texts.into_iter().map(|text| if dotted { text + "." } else { text }).collect();
        let rest = whole.without(texts.iter().map(String::as_bytes), &budget).expect("others");
        let is_gone = texts.iter().any(|gone| gone.eq_ignore_ascii_case(&text));
        let ends = read(&whole.automaton, text.as_bytes()).filter(|_| !is_gone);
        prop_assert_eq!(read(&rest.automaton, text.as_bytes()), ends);
        let vocabulary = tokens_of(&["a", "B", ".", " "]);
        let before = Lexeme::new(regular(" +"));
        let exits = before.spread(START, &vocabulary);
        prop_assert_eq!(rest.endless(), rest.automaton.endless());
        for exit in &exits.exits {
            let alone = Spread::of_rests(&rest.automaton, &exit.rests.tree, &vocabulary);
            prop_assert_eq!(all_of(&rest.spread_after(exit, &vocabulary)), all_of(&alone));
        }
        for state in 0..rest.automaton.states() as u32 {
            let alone = Spread::new(&rest.automaton, state, &vocabulary);
            prop_assert_eq!(all_of(&rest.spread(state, &vocabulary)), all_of(&alone));
            // The nearest ending is as near as the text to it is long.
            let (bytes, _) = rest.automaton.nearest[state as usize];
            let shortest = rest.automaton.shortest(state).map(|(text, _)| text.len() as u32);
            prop_assert_eq!(shortest.unwrap_or(NOWHERE), bytes);
        }
    }

    /// Names over any other key are the automaton that is built of both.
    #[test]
    fn names_lie_over_any_key(
        names in proptest::collection::vec("[ab\"\\n\u{e9}]{0,3}", 1..5),
        text in "[ab\"\\\\n\u{e9}]{0,8}",
    ) {
        let budget = Budget::default();
        let any = Automaton::build(&JsonText(AnyText), &all_bytes(), &budget).expect("strings");
        let names: Vec<String> = names.iter().map(|name| format!("\"{}\"", spelled(name))).collect();
        let made = overlay(&names, Some(&any)).expect("some text");
        let text = format!("\"{text}\"");
        let built = Words::new(names.iter().map(String::as_bytes).zip(0..));
        let word = Automaton::build(&built, &all_bytes(), &budget).ok().and_then(|words| read(&words, text.as_bytes()));
        let other = || read(&any, text.as_bytes()).map(|outcome| outcome + names.len() as u32);
        prop_assert_eq!(read(&made, text.as_bytes()), word.or_else(other));
    }

    /// Texts come by length, each once, none is left out, and only those that are wanted.
    #[test]
    fn texts_come_one_after_another(wanted in 0_u32..3) {
        let budget = Budget::default();
        let words = ["a", "abba", "b", "cab", "cc", "acb"];
        let words = Words::new(words.iter().map(|word| word.as_bytes()).zip([0, 1, 2, 0, 1, 2]));
        let lexeme = Lexeme::new(Automaton::build(&words, &all_bytes(), &budget).expect("words"));
        let only = Outcomes::only(3, Some(wanted));
        let texts: Vec<Vec<u8>> = lexeme.texts(START, Some(&only)).map(|(text, _)| text).collect();
        let expected: &[&[u8]] = match wanted {
            0 => &[b"a", b"cab"],
            1 => &[b"cc", b"abba"],
            _ => &[b"b", b"acb"],
        };
        prop_assert_eq!(texts, expected);
        let all: Vec<usize> = lexeme.texts(START, None).map(|(text, _)| text.len()).collect();
        prop_assert_eq!(all, vec![1, 1, 2, 3, 3, 4]);
    }
}

/// What tokens do, in order.
type Does = (Vec<(u32, Vec<TokenId>)>, Vec<(u32, Vec<TokenId>)>, Option<u32>);

fn all_of(spread: &Spread) -> Does {
    let mut inside: Vec<_> = spread.inside.iter().map(|(set, tokens)| (*set, tokens.first(999))).collect();
    inside.iter_mut().for_each(|(_, tokens)| tokens.sort_unstable());
    inside.retain(|(_, tokens)| !tokens.is_empty());
    let mut leaving: Vec<_> =
        spread.exits.iter().map(|exit| (exit.outcome, exit.rests.tree.all_ids().to_vec())).collect();
    leaving.iter_mut().for_each(|(_, ids)| ids.sort_unstable());
    (inside, leaving, spread.here)
}

/// Tokens of one to three of some letters.
fn tokens_of(letters: &[&str]) -> Vocabulary {
    let longer = |shorter: &[String]| -> Vec<String> {
        shorter.iter().flat_map(|text| letters.iter().map(move |letter| format!("{text}{letter}"))).collect()
    };
    let one = longer(&[String::new()]);
    let (two, three) = (longer(&one), longer(&longer(&one)));
    Vocabulary::new("letters", one.into_iter().chain(two).chain(three), Vec::new())
}

/// Where a text has ended for good nothing is left, which is said once.
#[test]
fn texts_come_to_an_end() {
    let lexeme = Lexeme::new(regular("ab?"));
    let state =
        |text: &[u8]| text.iter().fold(START, |at, byte| lexeme.automaton.step(at, *byte).expect("a way"));
    let texts = |from: u32| lexeme.texts(from, None).map(|(text, _)| text).take(9).collect::<Vec<_>>();
    assert_eq!(texts(START), [b"a".to_vec(), b"ab".to_vec()]);
    assert_eq!(texts(state(b"a")), [b"".to_vec(), b"b".to_vec()]);
    assert_eq!(texts(state(b"ab")), [b"".to_vec()]);
}

/// An ending that lies far behind nearer ones that are not wanted is found all the same.
#[test]
fn a_far_text_is_found_behind_near_ones() {
    let far = "x".repeat(40);
    let words: Vec<String> =
        ["", "x", "xx"].iter().map(|word| (*word).to_owned()).chain([far.clone()]).collect();
    let others = regular("[a-z]*");
    let lexeme = Lexeme::new(overlay(&words, Some(&others)).expect("words"));
    let only = Outcomes::only(lexeme.automaton.outcomes(), Some(3));
    let found = lexeme.texts(START, Some(&only)).next().map(|(text, _)| text);
    assert_eq!(found, Some(far.into_bytes()));
}

/// What a token does is the same whether the spread was made by itself or beside that of another state.
#[test]
fn spreads_beside_others_say_the_same() {
    let vocabulary = tokens_of(&["a", "b", " "]);
    // In the last one a text goes on where another has ended, and then does not.
    for expression in ["[ab]?a*b?b?", "(?:a|ab| b)*", "a? *(?:b|ab)?", "(?:a *|b aba)"] {
        let made = regular(expression);
        let states = 0..made.states() as u32;
        for (one, other) in states.clone().flat_map(|one| states.clone().map(move |other| (one, other))) {
            let known = Spread::new(&made, other, &vocabulary);
            let tokens = vocabulary.tree();
            let beside = Spread::beside(&made, one, &vocabulary, tokens, (&made, other, &known));
            let itself = Spread::new(&made, one, &vocabulary);
            assert_eq!(all_of(&beside), all_of(&itself), "{expression}: {one} beside {other}");
        }
    }
}

/// Letters with blanks after them, each with an outcome of its own. After `c` may also come another, after `d`
/// no blank.
struct Keywords;

impl Source for Keywords {
    type State = Vec<u8>;

    fn start(&self) -> Vec<u8> {
        Vec::new()
    }

    fn step(&self, read: &Vec<u8>, byte: u8) -> Option<Vec<u8>> {
        match (read.as_slice(), byte) {
            ([], b'a'..=b'd') => Some(vec![byte]),
            ([b'a'..=b'c'], b' ') => Some([read.as_slice(), b" "].concat()),
            ([b'c'], b'c') => Some(b"cc".to_vec()),
            ([_, b' '], b' ') => Some(read.clone()),
            _ => None,
        }
    }

    fn ending(&self, read: &Vec<u8>) -> Option<u32> {
        let ends = matches!(read.as_slice(), [_, b' '] | b"cc" | b"d");
        ends.then(|| u32::from(read[0] - b'a'))
    }
}

/// What a token does from a state is what it does from the state's twin, but for the outcome.
#[test]
fn spreads_of_twins_say_the_same() {
    let vocabulary = tokens_of(&["a", "c", " "]);
    let made = Automaton::build(&Keywords, &all_bytes(), &Budget::default()).expect("some text");
    let states = 0..made.states() as u32;
    let mut twins = 0;
    for (one, other) in states.clone().flat_map(|one| states.clone().map(move |other| (one, other))) {
        if one != other && made.are_twins(one, other) {
            let known = Spread::new(&made, other, &vocabulary);
            let spread = Spread::like_twin(&made, one, &known).expect("one outcome");
            assert_eq!(all_of(&spread), all_of(&Spread::new(&made, one, &vocabulary)), "{one} like {other}");
            twins += 1;
        }
    }
    // After `a` and after `b`; after their blanks and that of `c`; after `cc` and after `d`.
    assert_eq!(twins, 2 + 6 + 2);
}
