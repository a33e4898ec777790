//! The place in a JSON string from which any text may follow: much the same in every lexeme that has one.
//!
//! Of the keys of an object, those that its schema names differ from all others in a few tokens; what
//! the 150,000 others do in a string is known once it is known of any string.

use std::sync::Arc;

use foldhash::HashMap;

use super::automaton::{Automaton, START};
use super::json::JsonText;
use super::utf8::AnyText;
use super::{Lexeme, Spread};
use crate::{Budget, Vocabulary};

/// A state from which a lexeme goes on as any string does.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(super) state: u32,
    /// How the string ends then.
    pub(super) outcome: u32,
    /// What tokens do in any string.
    pub(super) spread: Arc<Spread>,
}

impl Tail {
    /// The tail of a lexeme, if it has one.
    pub(super) fn find(automaton: &Automaton, vocabulary: &Vocabulary) -> Option<Self> {
        if automaton.counts() {
            return None;
        }
        let any = vocabulary
            .lexicon()
            .get(ANY, || Automaton::build(&JsonText(AnyText), vocabulary.spellable(), &Budget::default()));
        let any: Arc<Lexeme> = any.ok()?;
        let inside = any.automaton.step(START, b'"').and_then(|opened| any.automaton.step(opened, b'a'))?;
        let free = (0..automaton.states() as u32).filter(|state| automaton.is_free(*state));
        free.take(TRIED).find_map(|state| {
            let outcome = same(automaton, state, &any.automaton, inside)?;
            Some(Self { state, outcome, spread: any.whole_spread(inside, vocabulary) })
        })
    }
}

/// Name of the lexeme of any string among those of a vocabulary.
const ANY: &str = "tail of any string";
/// Free states that are looked at.
const TRIED: usize = 16;

/// Whether two states lead the same ways, whatever their endings are called as long as it is one name: that
/// of the first.
fn same(one: &Automaton, from: u32, other: &Automaton, at: u32) -> Option<u32> {
    let mut pairs: HashMap<u32, u32> = [(from, at)].into_iter().collect();
    let mut todo = vec![(from, at)];
    let mut outcome = None;
    while let Some((a, b)) = todo.pop() {
        match (one.ending(a), other.ending(b)) {
            (None, None) => {}
            (Some(ends), Some(_)) if outcome.is_none_or(|known| known == ends) => outcome = Some(ends),
            _ => return None,
        }
        for byte in 0..=u8::MAX {
            match (one.step(a, byte), other.step(b, byte)) {
                (None, None) => {}
                (Some(a), Some(b)) => match pairs.insert(a, b) {
                    None => todo.push((a, b)),
                    Some(known) if known == b => {}
                    Some(_) => return None,
                },
                _ => return None,
            }
        }
    }
    outcome
}
