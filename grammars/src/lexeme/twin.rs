//! States after which the same texts come, but for the outcome that they all have.
//!
//! After `FROM` and after `WHERE` comes a blank, and then what continues neither. Half of a vocabulary's tokens
//! begin so, and what is left of them after the blank is the same for both.

use super::automaton::{Automaton, NOWHERE};
use super::spread::{Exit, Spread};

/// States of twins looked at. More are those of long texts, which few tokens go through.
const STATES: usize = 4;

impl Automaton {
    /// Whether the texts from two states are the same, all of one state with one outcome, and there are few states.
    pub(super) fn are_twins(&self, one: u32, other: u32) -> bool {
        let mut pairs = vec![(one, other)];
        let mut at = 0;
        while let Some((one, other)) = pairs.get(at).copied() {
            if self.only_outcome(one).is_none()
                || self.only_outcome(other).is_none()
                || self.ending(one).is_some() != self.ending(other).is_some()
            {
                return false;
            }
            for (next, twin) in self.row(one).iter().zip(self.row(other)) {
                match (*next, *twin) {
                    (NOWHERE, NOWHERE) => {}
                    (NOWHERE, _) | (_, NOWHERE) => return false,
                    pair if pairs.contains(&pair) => {}
                    pair if pairs.len() < STATES => pairs.push(pair),
                    _ => return false,
                }
            }
            at += 1;
        }
        true
    }

    /// The outcome of all texts from a state, if it is one.
    fn only_outcome(&self, state: u32) -> Option<u32> {
        let mut reach = self.reach(state).iter();
        reach.next().filter(|_| reach.next().is_none())
    }
}

impl Spread {
    /// What tokens do from a state, by what they do from its twin.
    pub(super) fn like_twin(automaton: &Automaton, from: u32, twin: &Self) -> Option<Self> {
        let outcome = automaton.only_outcome(from)?;
        let reach = automaton.reach_number(from);
        let exit = |exit: &Exit| Exit { outcome, characters: exit.characters, rests: exit.rests.clone() };
        Some(Self {
            inside: twin.inside.iter().map(|(_, tokens)| (reach, tokens.clone())).collect(),
            plain: None,
            characters: Vec::new(),
            exits: twin.exits.iter().map(exit).collect(),
            here: automaton.ending(from),
            others: None,
        })
    }
}
