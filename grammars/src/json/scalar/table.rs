//! Complete deterministic tables: what conditions on a text are combined of.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

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

/// Cells that merging equal states may look at. A table for which that is not enough stays as it
/// is: larger than it could be, and right.
const MERGING: usize = 20_000_000;

impl Table {
    pub(super) fn build<S: Source>(source: &S, budget: &Budget) -> Result<Self, GrammarError> {
        let started = Instant::now();
        let (classes, members) = numbered(source.classes());
        let stride = members.len();
        // Rows of `DEAD` and `SURE` first, whose states no source has.
        let mut next = vec![DEAD; stride];
        next.resize(2 * stride, SURE);
        let mut accepts = vec![false, true];
        let mut known: HashMap<S::State, u32> = HashMap::from([(source.start(), 2)]);
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
        table.settle();
        table.merge();
        Ok(table)
    }

    pub(super) fn step(&self, state: u32, byte: u8) -> u32 {
        self.next[state as usize * self.stride + usize::from(self.classes[usize::from(byte)])]
    }

    pub(super) fn accepts(&self, state: u32) -> bool {
        self.accepts[state as usize]
    }

    pub(super) fn first(&self) -> u32 {
        self.start
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.accepts(text.iter().fold(self.start, |state, byte| self.step(state, *byte)))
    }

    /// States from where nothing is accepted become [`DEAD`], those from where everything is
    /// become [`SURE`].
    fn settle(&mut self) {
        let hopeful = self.reaching(|accepts| accepts);
        let doubtful = self.reaching(|accepts| !accepts);
        let settled = |state: u32| match (hopeful[state as usize], doubtful[state as usize]) {
            (false, _) => DEAD,
            (_, false) => SURE,
            _ => state,
        };
        self.next.iter_mut().for_each(|target| *target = settled(*target));
        self.start = settled(self.start);
    }

    /// Which states lead to one that `wanted` is said of.
    fn reaching(&self, wanted: impl Fn(bool) -> bool) -> Vec<bool> {
        let mut sources: Vec<Vec<u32>> = vec![Vec::new(); self.accepts.len()];
        for (state, row) in self.next.chunks(self.stride).enumerate() {
            row.iter().for_each(|target| sources[*target as usize].push(state as u32));
        }
        let mut reaching: Vec<bool> = self.accepts.iter().map(|accepts| wanted(*accepts)).collect();
        let mut todo: Vec<usize> = (0..reaching.len()).filter(|state| reaching[*state]).collect();
        while let Some(state) = todo.pop() {
            for source in &sources[state] {
                if !std::mem::replace(&mut reaching[*source as usize], true) {
                    todo.push(*source as usize);
                }
            }
        }
        reaching
    }

    /// Makes one state of those that no rest of a text tells apart (Moore's partition refinement).
    fn merge(&mut self) {
        // Blocks are numbered by their first state, so `DEAD` and `SURE` keep their numbers.
        let mut blocks: Vec<u32> = self.accepts.iter().map(|accepts| u32::from(*accepts)).collect();
        blocks[SURE as usize] = SURE;
        let mut count = 2;
        let mut looked_at = 0;
        loop {
            looked_at += self.next.len();
            if looked_at > MERGING {
                return;
            }
            let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
            let mut finer = Vec::with_capacity(blocks.len());
            for (state, row) in self.next.chunks(self.stride).enumerate() {
                let looks = row.iter().map(|target| blocks[*target as usize]);
                let fresh = known.len() as u32;
                finer.push(*known.entry(std::iter::once(blocks[state]).chain(looks).collect()).or_insert(fresh));
            }
            let stable = known.len() == count;
            count = known.len();
            blocks = finer;
            if stable {
                break;
            }
        }
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
