//! Complete deterministic tables: what conditions on a text are combined of.

use std::hash::Hash;
use std::time::Instant;

use foldhash::{HashMap, HashMapExt};

use super::merge;
use crate::lexeme::Source;
use crate::{Budget, GrammarError};

/// A source as a table in which **every byte leads somewhere**, so that its complement is the
/// same table read the other way round. A text that the source leads nowhere is refused.
///
/// Two states are known by number: [`DEAD`], from where nothing is accepted any more, and
/// [`SURE`], from where everything is.
#[derive(Debug)]
pub(crate) struct Table {
    classes: [u8; 256],
    stride: usize,
    next: Vec<u32>,
    accepts: Vec<bool>,
    start: u32,
}

pub(super) const DEAD: u32 = 0;
pub(super) const SURE: u32 = 1;

impl Table {
    pub(super) fn build<S: Source>(source: &S, budget: &Budget) -> Result<Self, GrammarError> {
        let started = Instant::now();
        let (classes, members) = numbered(source.classes());
        let stride = members.len();
        // Rows of `DEAD` and `SURE` first, whose states no source has.
        let mut next = vec![DEAD; stride];
        next.resize(2 * stride, SURE);
        let mut accepts = vec![false, true];
        let mut known: HashMap<S::State, u32> = [(source.start(), 2)].into_iter().collect();
        let mut order = vec![source.start()];
        let mut at = 0;
        while let Some(state) = order.get(at).cloned() {
            accepts.push(source.ending(&state).is_some());
            for byte in &members {
                next.push(source.step(&state, *byte).map_or(DEAD, |target| {
                    *known.entry(target.clone()).or_insert_with(|| {
                        order.push(target);
                        order.len() as u32 + 1
                    })
                }));
            }
            if order.len() > budget.max_states {
                return Err(GrammarError::TooLarge { what: "states", limit: budget.max_states });
            }
            if at.is_multiple_of(256) && started.elapsed() > budget.time {
                return Err(GrammarError::TooSlow(budget.time));
            }
            at += 1;
        }
        let mut table = Self { classes, stride, next, accepts, start: 2 };
        table.merge();
        Ok(table)
    }

    pub(super) fn step(&self, state: u32, byte: u8) -> u32 {
        self.next[state as usize * self.stride + usize::from(self.classes[usize::from(byte)])]
    }

    pub(super) fn accepts(&self, state: u32) -> bool {
        self.accepts[state as usize]
    }

    /// What it occupies.
    pub(super) fn bytes(&self) -> usize {
        self.next.len() * size_of::<u32>()
    }

    pub(super) fn first(&self) -> u32 {
        self.start
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.accepts(text.iter().fold(self.start, |state, byte| self.step(state, *byte)))
    }

    /// Makes one state of those that no rest of a text tells apart.
    fn merge(&mut self) {
        // Numbered by their first states, blocks leave `DEAD` and `SURE` their numbers, and states
        // from where nothing or everything is accepted become these.
        let (blocks, count) = merge::blocks(&self.next, self.stride, &self.accepts);
        let mut next = vec![DEAD; count * self.stride];
        let mut accepts = vec![false; count];
        for (state, row) in self.next.chunks(self.stride).enumerate() {
            let block = blocks[state] as usize;
            accepts[block] = self.accepts[state];
            for (class, target) in row.iter().enumerate() {
                next[block * self.stride + class] = blocks[*target as usize];
            }
        }
        self.start = blocks[self.start as usize];
        (self.next, self.accepts) = (next, accepts);
    }
}

impl Source for Table {
    type State = u32;

    fn start(&self) -> u32 {
        self.start
    }

    fn step(&self, state: &u32, byte: u8) -> Option<u32> {
        Some(self.step(*state, byte))
    }

    fn ending(&self, state: &u32) -> Option<u32> {
        self.accepts(*state).then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        self.classes
    }
}

/// Classes numbered densely from 0, and a byte of each.
fn numbered(classes: [u8; 256]) -> ([u8; 256], Vec<u8>) {
    common(|byte| classes[usize::from(byte)])
}

/// Numbers bytes by what `of` says of them; also a byte of each number.
fn common<K: Eq + Hash>(of: impl Fn(u8) -> K) -> ([u8; 256], Vec<u8>) {
    let mut members = Vec::new();
    let mut known = HashMap::new();
    let classes = std::array::from_fn(|byte| {
        *known.entry(of(byte as u8)).or_insert_with(|| {
            members.push(byte as u8);
            (members.len() - 1) as u8
        })
    });
    (classes, members)
}

/// Bytes that none of several sources tells apart.
pub(super) fn shared_classes(all: &[[u8; 256]]) -> [u8; 256] {
    common(|byte| all.iter().map(|classes| classes[usize::from(byte)]).collect::<Vec<_>>()).0
}
