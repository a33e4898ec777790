//! What probably comes next.

use super::Machine;
use super::language::Language;
use super::step::{DEAD, State, StateId};
use super::store::EMPTY;

impl<L: Language> Machine<L> {
    /// Bytes that probably come next, `most` at most: names that are made up are left aside where others may
    /// come, and where letters may be of either case, `capital` says of which the last one was, and white space
    /// is one blank. Where none of this is so, each byte is the only one that can come.
    pub(crate) fn likely_bytes(&mut self, from: StateId, most: usize, mut capital: bool) -> Vec<u8> {
        let folds = self.language.folds_case();
        // More ways than there are cases, or kinds of white space, are too many.
        let enough = if folds { 6 } else { 2 };
        let (mut state, mut likely) = (from, Vec::new());
        while likely.len() < most && !self.can_end(state) {
            state = self.without_made_up(state);
            let is_blank = |byte: &u8| byte.is_ascii_whitespace();
            let after_blank = folds && likely.last().is_some_and(is_blank);
            let ways = (0..=u8::MAX).filter(|byte| self.step(state, *byte) != DEAD);
            let ways: Vec<u8> = ways.filter(|byte| !after_blank || !is_blank(byte)).take(enough).collect();
            let byte = match ways[..] {
                [only] => only,
                [upper, lower] if folds && upper.is_ascii_uppercase() && lower == upper ^ 0x20 => {
                    [lower, upper][usize::from(capital)]
                }
                [_, ..] if folds && ways.iter().all(is_blank) => b' ',
                _ => break,
            };
            if byte.is_ascii_alphabetic() {
                capital = byte.is_ascii_uppercase();
            }
            likely.push(byte);
            state = self.step(state, byte);
        }
        likely
    }

    /// The state without readings of made-up names, if there are others.
    fn without_made_up(&mut self, state: StateId) -> StateId {
        let State { threads, doubtful, capture, .. } = &self.states[state as usize];
        let (threads, doubtful, capture) = (threads.clone(), *doubtful, *capture);
        let mut others = threads.to_vec();
        others.retain(|thread| {
            thread.stack == EMPTY || !self.offer_of(thread.stack).choices[usize::from(thread.choice)].made_up
        });
        match others.is_empty() || others.len() == threads.len() {
            true => state,
            false => self.state(others, doubtful, capture),
        }
    }
}
