//! A lexeme without some of its texts, made from the one that has them.
//!
//! Names that a text makes up are any but the reserved words of a language and the names of one schema.
//! What does not depend on the schema is built once for a vocabulary; a schema takes its own names away,
//! which copies the states on their way and leaves all others, and what is known of them, as they are.

use std::sync::Arc;

use super::Lexeme;
use super::automaton::{Automaton, NOWHERE, START};
use crate::{Budget, GrammarError};

/// The lexeme that another was made from. Its states but the start have the same numbers in the other and lead to
/// the same there; after them come copies of some.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) lexeme: Arc<Lexeme>,
    /// The states that were copied.
    copied: Vec<u32>,
}

impl Whole {
    /// Whether a state of the other is one of these.
    pub(super) fn shares(&self, state: u32) -> bool {
        state != START && (state as usize) < self.lexeme.automaton.states()
    }

    /// The state that one of the other is, or was copied from.
    pub(super) fn original(&self, state: u32) -> u32 {
        let copy = (state as usize).checked_sub(self.lexeme.automaton.states());
        copy.map_or(state, |copy| self.copied[copy])
    }

    /// For each state of the other whether there is no end of texts from it.
    pub(super) fn endless_of(&self, rest: &Automaton) -> Vec<bool> {
        let mut endless = self.lexeme.endless().to_vec();
        let shared = endless.len();
        endless.resize(rest.states(), false);
        // A copy was made before those that it leads to.
        for state in (shared..rest.states()).rev().chain([START as usize]) {
            endless[state] =
                rest.row(state as u32).iter().any(|target| *target != NOWHERE && endless[*target as usize]);
        }
        endless
    }
}

impl Lexeme {
    /// The lexeme without some texts, and without those that differ from these in bytes of one class only. All
    /// its texts must have the same outcome, none of them may lead back to the start, and no characters be
    /// counted.
    pub(crate) fn without<'a>(
        self: &Arc<Self>,
        texts: impl IntoIterator<Item = &'a [u8]>,
        budget: &Budget,
    ) -> Result<Arc<Self>, GrammarError> {
        let (automaton, copied) = self.automaton.without(texts, budget)?;
        Ok(Self::of(automaton, Some(Whole { lexeme: self.clone(), copied })))
    }
}

impl Automaton {
    /// The automaton without some texts, and the states that were copied.
    fn without<'a>(
        &self,
        texts: impl IntoIterator<Item = &'a [u8]>,
        budget: &Budget,
    ) -> Result<(Self, Vec<u32>), GrammarError> {
        let (mut rest, mut copied) = (self.clone(), Vec::new());
        for text in texts {
            rest.remove(text, self.states(), &mut copied);
            if rest.states() > budget.max_states {
                return Err(GrammarError::TooLarge { what: "states", limit: budget.max_states });
            }
        }
        if rest.settle(self.states()) {
            Ok((rest, copied))
        } else {
            Err(GrammarError::NothingMatches(Vec::new()))
        }
    }

    /// Takes a text away. States from `shared` on are copies that only such texts lead to.
    fn remove(&mut self, text: &[u8], shared: usize, copied: &mut Vec<u32>) {
        let whole = text.iter().try_fold(START, |state, byte| self.step(state, *byte));
        if whole.is_none_or(|last| self.ending(last).is_none()) {
            return;
        }
        let mut state = START;
        for byte in text {
            let at = state as usize * self.stride + self.class(*byte);
            let target = self.next[at];
            if (target as usize) < shared {
                self.free[state as usize] = false;
                self.next[at] = self.copy(target);
                copied.push(target);
            }
            state = self.next[at];
        }
        self.ending[state as usize] = NOWHERE;
    }

    fn copy(&mut self, state: u32) -> u32 {
        let state = state as usize;
        self.next.extend_from_within(state * self.stride..(state + 1) * self.stride);
        self.ending.push(self.ending[state]);
        self.nearest.push(self.nearest[state]);
        self.reach.push(self.reach[state]);
        self.characters.push(self.characters[state]);
        self.free.push(false);
        self.states() as u32 - 1
    }

    /// Finds the nearest endings of the copies and the start, and cuts off copies without one; whether the
    /// start has one.
    fn settle(&mut self, shared: usize) -> bool {
        let bytes: Vec<u8> = self.first_bytes();
        // A copy was made before those that it leads to.
        let copies = (shared..self.states()).rev();
        for state in copies.chain([START as usize]) {
            let ends = self.ending[state] != NOWHERE;
            let mut nearest = (if ends { 0 } else { NOWHERE }, 0);
            for byte in &bytes {
                let at = state * self.stride + self.class(*byte);
                let target = self.next[at];
                if target == NOWHERE {
                    continue;
                }
                let (distance, _) = self.nearest[target as usize];
                if distance == NOWHERE {
                    self.next[at] = NOWHERE;
                } else if distance + 1 < nearest.0 {
                    nearest = (distance + 1, *byte);
                }
            }
            self.nearest[state] = nearest;
        }
        self.nearest[START as usize].0 != NOWHERE
    }

    /// A byte of each class.
    fn first_bytes(&self) -> Vec<u8> {
        let mut seen = vec![false; self.stride];
        // Class 0 is of bytes that no text has.
        seen[0] = self.stride <= 256;
        (0..=u8::MAX).filter(|byte| !std::mem::replace(&mut seen[self.class(*byte)], true)).collect()
    }
}
