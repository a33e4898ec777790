//! Several texts that end a lexeme, short ones first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::automaton::{Automaton, NOWHERE};
use super::{Lexeme, Outcomes};

/// Beginnings that one search looks at.
const LOOKED_AT: usize = 16_384;

/// Beginnings after which distances to endings that are wanted are computed, which costs as much as a
/// look at every transition.
const GUESSED: usize = 256;

/// Texts from a state to an ending, found one after another (A*). Of texts of one length those come
/// first that share most with the one before.
pub(crate) struct Texts<'a> {
    lexeme: &'a Lexeme,
    /// Outcomes that are wanted, where others can be reached too.
    allowed: Option<Outcomes>,
    /// Bytes from each state to the nearest ending that is wanted; absent while those to any ending, which
    /// are never more, are good enough.
    distances: Option<Arc<[u32]>>,
    /// The bytes of each class.
    members: &'a Members,
    start: Beginning,
    beginnings: Vec<Beginning>,
    todo: BinaryHeap<Reverse<Step>>,
    has_found: bool,
}

/// The beginning of a text: the one before, the byte after that, where it leads and its length.
#[derive(Clone, Copy)]
struct Beginning {
    before: u32,
    byte: u8,
    state: u32,
    length: u32,
}

/// A step to try: to the `index`th byte of a class. Nearest whole texts first, then the longest beginnings,
/// then in the order that they were found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    whole: u32,
    left: u32,
    from: u32,
    class: u16,
    index: u8,
}

impl<'a> Texts<'a> {
    pub(super) fn new(lexeme: &'a Lexeme, from: u32, allowed: Option<&Outcomes>) -> Self {
        let automaton = &lexeme.automaton;
        Self {
            lexeme,
            allowed: allowed.filter(|allowed| !allowed.contains_all(automaton.reach(from))).cloned(),
            distances: None,
            members: lexeme.members.get_or_init(|| Members::of(automaton)),
            start: Beginning { before: 0, byte: 0, state: from, length: 0 },
            beginnings: Vec::new(),
            todo: BinaryHeap::new(),
            has_found: false,
        }
    }

    /// Looks at the steps from the last beginning; its text if it is a whole one.
    fn look(&mut self) -> Option<(Vec<u8>, u32)> {
        let from = self.beginnings.len() as u32 - 1;
        let Beginning { state, length, .. } = self.beginnings[from as usize];
        for class in 0..self.lexeme.automaton.stride as u16 {
            if !self.members.of_class(class).is_empty() {
                self.offer(from, class, 0);
            }
        }
        let outcome = self.lexeme.automaton.ending(state)?;
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(outcome)) {
            return None;
        }
        self.has_found = true;
        let (mut text, mut at) = (Vec::with_capacity(length as usize), from);
        while at != 0 {
            let Beginning { before, byte, .. } = self.beginnings[at as usize];
            text.push(byte);
            at = before;
        }
        text.reverse();
        Some((text, outcome))
    }

    /// Bytes from a state to the nearest ending, as far as known.
    fn distance(&self, state: u32) -> u32 {
        let automaton = &self.lexeme.automaton;
        match (&self.distances, &self.allowed) {
            (Some(distances), _) => distances[state as usize],
            (None, Some(allowed)) if !automaton.reach(state).intersects(allowed) => NOWHERE,
            (None, _) => automaton.nearest[state as usize].0,
        }
    }

    fn offer(&mut self, from: u32, class: u16, index: u8) {
        let Beginning { state, length, .. } = self.beginnings[from as usize];
        let byte = self.members.of_class(class)[usize::from(index)];
        let Some(target) = self.lexeme.automaton.step(state, byte) else { return };
        let left = self.distance(target);
        if left != NOWHERE {
            self.todo.push(Reverse(Step { whole: length + 1 + left, left, from, class, index }));
        }
    }

    /// The nearest beginning that has not been looked at; the step after it to a byte of its class is next.
    fn step(&mut self) -> Option<Beginning> {
        let Reverse(Step { from, class, index, .. }) = self.todo.pop()?;
        let bytes = self.members.of_class(class);
        if usize::from(index) + 1 < bytes.len() {
            self.offer(from, class, index + 1);
        }
        let (byte, Beginning { state, length, .. }) =
            (bytes[usize::from(index)], self.beginnings[from as usize]);
        let state = self.lexeme.automaton.step(state, byte)?;
        Some(Beginning { before: from, byte, state, length: length + 1 })
    }

    /// Begins again with distances that lead straight to the wanted endings.
    fn measure(&mut self) {
        self.distances = self.allowed.as_ref().map(|allowed| self.lexeme.distances_to(allowed));
        self.beginnings.clear();
        self.todo.clear();
    }
}

impl Iterator for Texts<'_> {
    type Item = (Vec<u8>, u32);

    fn next(&mut self) -> Option<Self::Item> {
        while self.beginnings.len() <= LOOKED_AT {
            let guesses = self.allowed.is_some() && self.distances.is_none() && !self.has_found;
            if guesses && self.beginnings.len() > GUESSED {
                self.measure();
            }
            let beginning = if self.beginnings.is_empty() { self.start } else { self.step()? };
            self.beginnings.push(beginning);
            if let Some(found) = self.look() {
                return Some(found);
            }
        }
        None
    }
}

/// Bytes by class.
#[derive(Debug)]
pub(super) struct Members {
    bytes: [u8; 256],
    /// Where those of each class begin; one more than there are classes.
    starts: Vec<u16>,
}

impl Members {
    fn of(automaton: &Automaton) -> Self {
        let mut starts = vec![0_u16; automaton.stride + 1];
        (0..=u8::MAX).for_each(|byte| starts[automaton.class(byte) + 1] += 1);
        for class in 1..starts.len() {
            starts[class] += starts[class - 1];
        }
        let (mut bytes, mut next) = ([0; 256], starts.clone());
        for byte in 0..=u8::MAX {
            let place = &mut next[automaton.class(byte)];
            bytes[usize::from(*place)] = byte;
            *place += 1;
        }
        Self { bytes, starts }
    }

    fn of_class(&self, class: u16) -> &[u8] {
        let class = usize::from(class);
        &self.bytes[usize::from(self.starts[class])..usize::from(self.starts[class + 1])]
    }
}
