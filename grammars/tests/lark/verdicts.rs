//! Grammars and texts with the verdicts of Lark itself.

use std::collections::BTreeMap;

use understudy_grammars::measure::Case;
use understudy_grammars::measure::complete::complete;
use understudy_grammars::measure::exact::exact;

use crate::support::{compile, pattern, read, vocabulary};

/// Grammars and texts with the verdicts of Lark (Earley, dynamic lexer): `yes`, `no`, and `wider` where
/// Lark takes what is not written here: two separators in a row, or words glued together.
const VERDICTS: &str = include_str!("verdicts.txt");

/// A grammar, and texts each with a verdict.
pub type Section = (&'static str, Vec<(&'static str, String)>);

pub fn sections() -> BTreeMap<&'static str, Section> {
    let section = |section: &'static str| {
        let (name, rest) = section.split_once('\n').expect("a name");
        let (grammar, texts) = rest.split_once("---\n").expect("texts");
        let verdict = |line: &'static str| {
            let (verdict, text) = line.split_once(' ').expect("a verdict and a text");
            (verdict, serde_json::from_str(text).expect("a text as JSON"))
        };
        (name, (grammar, texts.lines().map(verdict).collect()))
    };
    VERDICTS.split("\n=== ").skip(1).map(section).collect()
}

pub fn cases() -> Vec<Case> {
    let case = |(name, (grammar, _)): (&str, (&str, _))| Case {
        name: name.into(),
        pattern: pattern(grammar),
        samples: Vec::new(),
    };
    sections().into_iter().map(case).collect()
}

#[test]
fn verdicts_are_those_of_lark() {
    let mut wrong = Vec::new();
    for (name, (grammar, texts)) in sections() {
        let compiled = compile(grammar).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (verdict, text) in texts {
            if read(&compiled, &text).1 != (verdict == "yes") {
                wrong.push(format!("{name}: {verdict} {text:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn walks_are_complete_within_their_budgets() {
    let cases = cases();
    let completed = complete(&cases, &vocabulary(), cases.len() * 60, 7, false);
    assert_eq!(completed.triples, cases.len() * 60);
    assert_eq!(completed.complete, completed.triples, "{:?}", completed.failed);
}

#[test]
fn masks_equal_trying_each_token() {
    let found = exact(&cases(), &vocabulary(), 100_000, 11);
    assert!(found.pairs >= 100_000 && found.split_characters > 0);
    assert_eq!((found.over, found.under), (0, 0));
}
