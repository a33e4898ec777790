//! A deterministic automaton over bytes in which every state can still succeed.

use std::hash::Hash;
use std::time::Instant;

use foldhash::{HashMap, HashMapExt};

use super::endings::Sources;
use super::free;
use super::outcomes::Outcomes;
use crate::plainness::ASCII;
use crate::{Budget, GrammarError};

/// Something that can be walked byte by byte; [`Automaton::build`] makes tables of it.
pub(crate) trait Source {
    type State: Clone + Eq + Hash;

    fn start(&self) -> Self::State;

    /// Where a byte leads; `None` where it leads nowhere.
    fn step(&self, state: &Self::State, byte: u8) -> Option<Self::State>;

    /// Whether a text may end here, and as which of several outcomes.
    fn ending(&self, state: &Self::State) -> Option<u32>;

    /// Bytes of one class lead to the same state everywhere.
    fn classes(&self) -> [u8; 256] {
        std::array::from_fn(|byte| byte as u8)
    }

    /// Where this is, for those who count characters.
    fn character(&self, _state: &Self::State) -> Character {
        Character::Uncounted
    }
}

/// Where a state is with respect to characters that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Character {
    /// Outside of what is counted.
    Uncounted,
    /// Within one that is not complete.
    Within,
    /// The step to here has completed one.
    Completed,
}

/// States are numbered densely; [`START`] is the first. A transition that cannot lead to
/// an ending is absent.
#[derive(Debug, Clone)]
pub(crate) struct Automaton {
    pub(super) classes: [u8; 256],
    pub(super) stride: usize,
    /// `next[state * stride + class]`, [`NOWHERE`] where there is none.
    pub(super) next: Vec<u32>,
    /// Outcome of a text that ends here, [`NOWHERE`] where none may.
    pub(super) ending: Vec<u32>,
    /// Bytes to the nearest ending, and the first of them.
    pub(super) nearest: Vec<(u32, u8)>,
    /// Which of `sets` holds the outcomes that can still be reached.
    pub(super) reach: Vec<u32>,
    pub(super) sets: Vec<Outcomes>,
    pub(super) characters: Vec<Character>,
    pub(super) counts: bool,
    pub(super) free: Vec<bool>,
    pub(super) outcomes: u32,
}

/// An automaton may be part of a larger one.
impl Source for Automaton {
    type State = u32;

    fn start(&self) -> u32 {
        START
    }

    fn step(&self, state: &u32, byte: u8) -> Option<u32> {
        self.step(*state, byte)
    }

    fn ending(&self, state: &u32) -> Option<u32> {
        self.ending(*state)
    }

    fn classes(&self) -> [u8; 256] {
        self.classes
    }
}

pub(crate) const START: u32 = 0;
pub(super) const NOWHERE: u32 = u32::MAX;

impl Automaton {
    /// The automaton of `source`, restricted to bytes that are `spellable`.
    pub(crate) fn build<S: Source>(
        source: &S,
        spellable: &[bool; 256],
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let started = Instant::now();
        let wanted = source.classes();
        // Classes are numbered by their first spellable byte; class 0 is of all other bytes.
        let mut classes = [0_u8; 256];
        let mut members: Vec<u8> = Vec::new();
        let mut numbers: HashMap<u8, u8> = HashMap::new();
        for byte in (0..=u8::MAX).filter(|byte| spellable[usize::from(*byte)]) {
            let class = *numbers.entry(wanted[usize::from(byte)]).or_insert_with(|| {
                members.push(byte);
                members.len() as u8
            });
            classes[usize::from(byte)] = class;
        }
        // With 256 spellable classes the last number wraps to 0, which no byte then needs.
        let stride = members.len() + 1;

        let begin = source.start();
        let mut known: HashMap<S::State, u32> = [(begin.clone(), START)].into_iter().collect();
        let mut order = vec![begin];
        let mut next: Vec<u32> = Vec::new();
        let mut at = 0;
        while let Some(state) = order.get(at).cloned() {
            let row = next.len();
            next.resize(row + stride, NOWHERE);
            for byte in &members {
                let Some(target) = source.step(&state, *byte) else { continue };
                let number = *known.entry(target.clone()).or_insert_with(|| {
                    order.push(target);
                    order.len() as u32 - 1
                });
                next[row + usize::from(classes[usize::from(*byte)])] = number;
            }
            if order.len() > budget.max_states {
                return Err(GrammarError::TooLarge { what: "states", limit: budget.max_states });
            }
            if at.is_multiple_of(256) && started.elapsed() > budget.time {
                return Err(GrammarError::TooSlow(budget.time));
            }
            at += 1;
        }
        let ending = order.iter().map(|state| source.ending(state).unwrap_or(NOWHERE)).collect();
        let characters: Vec<_> = order.iter().map(|state| source.character(state)).collect();
        let mut automaton = Self {
            classes,
            stride,
            next,
            ending,
            nearest: Vec::new(),
            reach: Vec::new(),
            sets: Vec::new(),
            counts: characters.contains(&Character::Completed),
            characters,
            free: Vec::new(),
            outcomes: 0,
        };
        if automaton.prune(&members) {
            automaton.find_outcomes(budget)?;
            automaton.free = free::states(&automaton);
            Ok(automaton)
        } else {
            let missing = (0..=u8::MAX).filter(|byte| !spellable[usize::from(*byte)]).collect();
            Err(GrammarError::NothingMatches(missing))
        }
    }

    /// Where a byte leads.
    pub(crate) fn step(&self, state: u32, byte: u8) -> Option<u32> {
        let class = usize::from(self.classes[usize::from(byte)]);
        let target = *self.next.get(state as usize * self.stride + class)?;
        (target != NOWHERE).then_some(target)
    }

    /// Bytes of one class lead to the same states.
    pub(super) fn class(&self, byte: u8) -> usize {
        usize::from(self.classes[usize::from(byte)])
    }

    /// The outcome of a text that ends here.
    pub(crate) fn ending(&self, state: u32) -> Option<u32> {
        self.ending.get(state as usize).copied().filter(|outcome| *outcome != NOWHERE)
    }

    /// The outcomes that can still be reached, this one included.
    pub(crate) fn reach(&self, state: u32) -> &Outcomes {
        &self.sets[self.reach[state as usize] as usize]
    }

    /// The number of the set that [`reach`](Self::reach) gives.
    pub(crate) fn reach_number(&self, state: u32) -> u32 {
        self.reach[state as usize]
    }

    pub(crate) fn reach_set(&self, number: u32) -> &Outcomes {
        &self.sets[number as usize]
    }

    /// Whether no byte leads on.
    pub(crate) fn is_final(&self, state: u32) -> bool {
        let row = state as usize * self.stride;
        self.next[row..row + self.stride].iter().all(|target| *target == NOWHERE)
    }

    /// Whether characters are counted.
    pub(crate) fn counts(&self) -> bool {
        self.counts
    }

    /// Where a state is with respect to them.
    pub(crate) fn character(&self, state: u32) -> Character {
        self.characters[state as usize]
    }

    /// Whether every [plain](crate::plainness) text leads from here to states of which the same is
    /// true, and all of them can still reach the same outcomes.
    pub(crate) fn is_free(&self, state: u32) -> bool {
        self.free[state as usize]
    }

    /// Whether from two different states all but `most` plain bytes lead to the same.
    pub(super) fn are_near(&self, one: u32, other: u32, most: usize) -> bool {
        let differs = |byte: &&u8| self.step(one, **byte) != self.step(other, **byte);
        one != other && ASCII.iter().filter(differs).nth(most).is_none()
    }

    /// Where each class of bytes leads.
    pub(super) fn row(&self, state: u32) -> &[u32] {
        let row = state as usize * self.stride;
        &self.next[row..row + self.stride]
    }

    pub(crate) fn states(&self) -> usize {
        self.ending.len()
    }

    /// How many outcomes there are at most: one more than the largest.
    pub(crate) fn outcomes(&self) -> u32 {
        self.outcomes
    }

    /// Removes transitions to states that cannot end, and finds the nearest ending of all
    /// others, breadth first from the endings; `false` when the start cannot end.
    fn prune(&mut self, members: &[u8]) -> bool {
        let ends: Vec<u32> =
            (0..self.states() as u32).filter(|state| self.ending(*state).is_some()).collect();
        let distances = Sources::of(self).distances(ends);
        let nearest = |(state, distance): (usize, &u32)| {
            let row = self.row(state as u32);
            let is_nearer = |byte: &&u8| {
                let target = row[usize::from(self.classes[usize::from(**byte)])];
                target != NOWHERE && distances[target as usize] < *distance
            };
            (*distance, members.iter().find(is_nearer).copied().unwrap_or(0))
        };
        self.nearest = distances.iter().enumerate().map(nearest).collect();
        for target in self.next.iter_mut().filter(|target| **target != NOWHERE) {
            if self.nearest[*target as usize].0 == NOWHERE {
                *target = NOWHERE;
            }
        }
        self.nearest[START as usize].0 != NOWHERE
    }

    /// Outcomes that each state can reach, by passing them on against the transitions until
    /// nothing changes. Sets are kept once: thousands of names have some ten times as many states,
    /// of which most lead to just one other.
    fn find_outcomes(&mut self, budget: &Budget) -> Result<(), GrammarError> {
        let outcomes = self.ending.iter().filter(|outcome| **outcome != NOWHERE);
        let count = outcomes.max().map_or(0, |most| most + 1);
        self.outcomes = count;
        if count <= 1 {
            self.reach = vec![0; self.states()];
            self.sets = vec![Outcomes::all(count)];
            return Ok(());
        }
        let mut sets = Sets::default();
        let own = |state: u32| Outcomes::only(count, self.ending(state));
        let mut reach: Vec<u32> = (0..self.states() as u32).map(|state| sets.number(own(state))).collect();
        let nothing = sets.number(Outcomes::none(count));
        let limit = budget.max_bytes / count.div_ceil(8) as usize;
        let mut changed = true;
        while changed {
            changed = false;
            // Backwards, since most transitions go to states that were found later.
            for state in (0..self.states()).rev() {
                let row = self.row(state as u32);
                let targets = row.iter().filter(|target| **target != NOWHERE);
                let number = targets.fold(Union::Of(reach[state]), |union, target| {
                    union.with(reach[*target as usize], nothing, &sets)
                });
                let number = number.number(&mut sets);
                changed |= number != reach[state];
                reach[state] = number;
                if sets.all.len() > limit {
                    return Err(GrammarError::TooLarge { what: "bytes", limit: budget.max_bytes });
                }
            }
        }
        // Those that were met on the way only are left out.
        let mut kept = Sets::default();
        self.reach = reach.into_iter().map(|number| kept.number(sets.all[number as usize].clone())).collect();
        self.sets = kept.all;
        Ok(())
    }
}

/// Sets of outcomes by number.
#[derive(Default)]
pub(super) struct Sets {
    all: Vec<Outcomes>,
    numbers: HashMap<Outcomes, u32>,
}

impl Sets {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn all(self) -> Vec<Outcomes> {
        self.all
    }

    pub(super) fn number(&mut self, set: Outcomes) -> u32 {
        *self.numbers.entry(set).or_insert_with_key(|set| {
            self.all.push(set.clone());
            self.all.len() as u32 - 1
        })
    }
}

/// Several sets as one: a known one where that is enough.
pub(super) enum Union {
    Of(u32),
    New(Outcomes),
}

impl Union {
    pub(super) fn number(self, sets: &mut Sets) -> u32 {
        match self {
            Self::Of(number) => number,
            Self::New(set) => sets.number(set),
        }
    }

    pub(super) fn with(self, other: u32, nothing: u32, sets: &Sets) -> Self {
        let more = &sets.all[other as usize];
        match self {
            Self::Of(own) if own == other || other == nothing => Self::Of(own),
            Self::Of(own) if own == nothing => Self::Of(other),
            Self::Of(own) if sets.all[own as usize].contains_all(more) => Self::Of(own),
            Self::Of(own) if more.contains_all(&sets.all[own as usize]) => Self::Of(other),
            Self::Of(own) => {
                let mut set = sets.all[own as usize].clone();
                set.add(more);
                Self::New(set)
            }
            Self::New(mut set) => {
                set.add(more);
                Self::New(set)
            }
        }
    }
}

impl<S: Source> Source for &S {
    type State = S::State;

    fn start(&self) -> S::State {
        (*self).start()
    }

    fn step(&self, state: &S::State, byte: u8) -> Option<S::State> {
        (*self).step(state, byte)
    }

    fn ending(&self, state: &S::State) -> Option<u32> {
        (*self).ending(state)
    }

    fn classes(&self) -> [u8; 256] {
        (*self).classes()
    }

    fn character(&self, state: &S::State) -> Character {
        (*self).character(state)
    }
}

/// Texts of both sources, with the first one's outcomes.
pub(crate) struct Both<A, B>(pub(crate) A, pub(crate) B);

impl<A: Source, B: Source> Source for Both<A, B> {
    type State = (A::State, B::State);

    fn start(&self) -> Self::State {
        (self.0.start(), self.1.start())
    }

    fn step(&self, (a, b): &Self::State, byte: u8) -> Option<Self::State> {
        Some((self.0.step(a, byte)?, self.1.step(b, byte)?))
    }

    fn ending(&self, (a, b): &Self::State) -> Option<u32> {
        self.1.ending(b).and(self.0.ending(a))
    }
}
