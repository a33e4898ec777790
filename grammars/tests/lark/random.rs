//! Random grammars, against their texts written out.

use std::collections::BTreeSet;
use std::sync::Arc;

use understudy_grammars::measure::Case;
use understudy_grammars::measure::complete::complete;
use understudy_grammars::measure::exact::exact;
use understudy_grammars::{Constraint, Grammar, GrammarError, TokenId};

use crate::support::{compile, pattern, read, vocabulary};

/// Random numbers: xorshift.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

const PIECES: [&str; 4] = ["a", "b", "ab", "ba"];
const RULES: [&str; 4] = ["start", "x", "y", "z"];
const LENGTH: usize = 6;

/// A random grammar as alternatives of each rule; numbers up to 3 are pieces, others rules.
fn random_rules(dice: &mut Dice) -> Vec<Vec<Vec<usize>>> {
    let sequence = |dice: &mut Dice| (0..dice.roll(4)).map(|_| dice.roll(8)).collect::<Vec<_>>();
    let rule = |dice: &mut Dice| (0..1 + dice.roll(3)).map(|_| sequence(dice)).collect::<Vec<_>>();
    RULES.iter().map(|_| rule(dice)).collect()
}

fn written(rules: &[Vec<Vec<usize>>]) -> String {
    written_by(rules, |symbol| match symbol {
        0..4 => format!("{:?}", PIECES[*symbol]),
        _ => RULES[symbol - 4].to_owned(),
    })
}

fn written_by(rules: &[Vec<Vec<usize>>], symbol: impl Fn(&usize) -> String) -> String {
    let sequence = |sequence: &Vec<usize>| sequence.iter().map(&symbol).collect::<Vec<_>>().join(" ");
    let rule = |options: &Vec<Vec<usize>>| options.iter().map(sequence).collect::<Vec<_>>().join(" | ");
    RULES.iter().zip(rules).map(|(name, options)| format!("{name}: {}\n", rule(options))).collect()
}

/// All texts of `start` up to a length: those of each rule grow until none does.
fn texts(rules: &[Vec<Vec<usize>>]) -> BTreeSet<String> {
    let mut known = vec![BTreeSet::<String>::new(); rules.len()];
    loop {
        let before: usize = known.iter().map(BTreeSet::len).sum();
        for (at, options) in rules.iter().enumerate() {
            for option in options {
                let mut found = BTreeSet::from([String::new()]);
                for symbol in option {
                    let next: Vec<String> = match symbol {
                        0..4 => vec![PIECES[*symbol].to_owned()],
                        _ => known[symbol - 4].iter().cloned().collect(),
                    };
                    let joined =
                        found.iter().flat_map(|text| next.iter().map(move |more| format!("{text}{more}")));
                    found = joined.filter(|text| text.len() <= LENGTH).collect();
                }
                known[at].extend(found);
            }
        }
        if known.iter().map(BTreeSet::len).sum::<usize>() == before {
            return known.swap_remove(0);
        }
    }
}

#[test]
fn random_grammars_have_the_texts_that_their_rules_make() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let all: Vec<String> = (0..=LENGTH)
        .flat_map(|length| {
            (0..1_u32 << length).map(move |bits| {
                (0..length).map(|at| if bits >> at & 1 == 1 { 'b' } else { 'a' }).collect::<String>()
            })
        })
        .collect();
    let (mut compiled, mut accepted) = (0, 0);
    for _ in 0..400 {
        let rules = random_rules(&mut dice);
        let (grammar, texts) = (written(&rules), texts(&rules));
        let machine = match compile(&grammar) {
            Ok(machine) => machine,
            Err(GrammarError::NothingMatches(_)) => {
                assert!(texts.iter().all(String::is_empty), "{texts:?} under\n{grammar}");
                continue;
            }
            Err(error) => panic!("{error}\n{grammar}"),
        };
        compiled += 1;
        for text in &all {
            let (bytes, taken) = read(&machine, text);
            assert_eq!(taken, texts.contains(text), "{text:?} under\n{grammar}");
            accepted += usize::from(taken);
            if bytes < text.len() {
                assert!(
                    !texts.iter().any(|longer| longer.starts_with(&text[..=bytes])),
                    "{text:?} under\n{grammar}"
                );
            } else {
                check_completion(&machine, text, &texts, &grammar);
            }
        }
    }
    assert!(compiled > 200 && accepted > 2_000, "{compiled} grammars, {accepted} texts");
}

/// What a text can be completed by is one of the language's texts.
fn check_completion(machine: &Arc<Grammar>, text: &str, texts: &BTreeSet<String>, grammar: &str) {
    let mut matcher = machine.matcher();
    assert!(text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))));
    let path = matcher.close_path().unwrap_or_else(|| panic!("no way from {text:?} under\n{grammar}"));
    let whole: Vec<u8> =
        path.iter().fold(text.into(), |text, token| [&text, vocabulary().token(*token)].concat());
    let whole = String::from_utf8(whole).expect("ASCII");
    assert!(whole.len() > LENGTH || texts.contains(&whole), "{whole:?} under\n{grammar}");
    assert!(
        path.iter().all(|token| matcher.try_accept(*token)) && matcher.is_accepting(),
        "{whole:?}\n{grammar}"
    );
}

/// Terminals that run into each other or may be each other, and a space between them.
const WORDS: [&str; 9] =
    ["NAME", "INT", "\"if\"", "\"(\"", "\"a1\"", "TEXT", "NUMBER", "/[ab]+!?/", "/ x| [0-9]/"];

#[test]
fn random_grammars_of_words_keep_their_budgets() {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let ends = "NAME: /[a-z_][a-z_0-9]*/\nTEXT: /'[^']*'/\n%import common (INT, NUMBER)\n%ignore /[ \\n]+/\n";
    let mut cases = Vec::new();
    for _ in 0..150 {
        let rules = random_rules(&mut dice);
        let symbol = |symbol: &usize| match symbol {
            0..4 => {
                WORDS[(symbol + rules.len() * rules[0].len() + rules[1].len() * 3) % WORDS.len()].to_owned()
            }
            _ => RULES[symbol - 4].to_owned(),
        };
        let grammar = written_by(&rules, symbol) + ends;
        match compile(&grammar) {
            Ok(_) => {
                cases.push(Case { name: grammar.clone(), pattern: pattern(&grammar), samples: Vec::new() })
            }
            Err(error) => assert!(matches!(error, GrammarError::NothingMatches(_)), "{error}\n{grammar}"),
        }
    }
    assert!(cases.len() > 80, "{}", cases.len());
    let completed = complete(&cases, &vocabulary(), cases.len() * 12, 5, true);
    assert_eq!(completed.triples, cases.len() * 12);
    assert!(completed.failed.is_empty(), "{}", completed.failed[0]);
    for (grammar, text) in completed.texts {
        let text = String::from_utf8(text).expect("UTF-8");
        assert!(read(&compile(&grammar).expect("compiles"), &text).1, "{text:?} under\n{grammar}");
    }
    let found = exact(&cases, &vocabulary(), 100_000, 13);
    assert_eq!((found.over, found.under), (0, 0));
}
