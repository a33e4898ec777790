//! Some texts laid over an automaton of others.
//!
//! The keys of an object are a few names among all other strings. A tree of the names in which every
//! byte that continues none of them leads to where it leads among the others is such an automaton, without
//! looking for its states.

use std::collections::BTreeMap;

use super::automaton::{Automaton, Character, NOWHERE, START, Sets, Union};
use super::outcomes::Outcomes;
use crate::{Budget, GrammarError};

/// A place in the texts: what continues it, what it is if it ends, and where it is among the others.
#[derive(Default)]
struct Node {
    children: BTreeMap<u8, u32>,
    outcome: Option<u32>,
    other: Option<u32>,
}

impl Automaton {
    /// The automaton of `words`, each with an outcome below `names`, and of the texts of `others`, whose outcomes
    /// are those of `others` from `names` on. What is both is a word. In words whose first byte `folds` letters may
    /// be of either case, between which the others must not tell. Texts are UTF-8, in which not all bytes occur.
    pub(crate) fn overlay<'a>(
        words: impl IntoIterator<Item = (&'a [u8], u32)>,
        names: u32,
        folds: impl Fn(u8) -> bool,
        others: Option<&Automaton>,
        spellable: &[bool; 256],
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let too_large = || GrammarError::TooLarge { what: "states", limit: budget.max_states };
        let nodes = tree(words, folds, others, spellable, budget.max_states).ok_or_else(too_large)?;
        if others.is_none() && nodes.len() == 1 && nodes[0].outcome.is_none() {
            let missing = (0..=u8::MAX).filter(|byte| !spellable[usize::from(*byte)]).collect();
            return Err(GrammarError::NothingMatches(missing));
        }
        let states = nodes.len() + others.map_or(0, Automaton::states);
        if states > budget.max_states {
            return Err(too_large());
        }
        let (classes, stride) = classes(&nodes, others);
        let mut made = Self {
            classes,
            stride,
            next: transitions(&nodes, others, &classes, stride),
            ending: Vec::with_capacity(states),
            nearest: vec![(NOWHERE, 0); nodes.len()],
            reach: Vec::new(),
            sets: Vec::new(),
            characters: vec![Character::Uncounted; states],
            counts: false,
            free: vec![false; nodes.len()],
            outcomes: names + others.map_or(0, Automaton::outcomes),
        };
        let ending = |node: &Node| {
            let other = || others?.ending(node.other?).map(|outcome| outcome + names);
            node.outcome.or_else(other).unwrap_or(NOWHERE)
        };
        made.ending.extend(nodes.iter().map(ending));
        if let Some(others) = others {
            made.ending.extend(
                (0..others.states() as u32)
                    .map(|state| others.ending(state).map_or(NOWHERE, |outcome| outcome + names)),
            );
            made.nearest.extend(&others.nearest);
            made.free.extend(&others.free);
        }
        made.find_nearest(&nodes, others);
        made.find_reach(nodes.len(), names, others, budget)?;
        Ok(made)
    }

    /// For each class whether it leads anywhere.
    fn leading_classes(&self) -> Vec<bool> {
        let mut leads = vec![false; self.stride];
        for row in self.next.chunks(self.stride) {
            row.iter().zip(&mut leads).for_each(|(target, leads)| *leads |= *target != NOWHERE);
        }
        leads
    }

    /// Children come after their parents, so backwards each knows those of its own.
    fn find_nearest(&mut self, nodes: &[Node], others: Option<&Automaton>) {
        for (index, node) in nodes.iter().enumerate().rev() {
            if self.ending[index] != NOWHERE {
                self.nearest[index] = (0, 0);
                continue;
            }
            let other = others.zip(node.other).and_then(|(others, state)| {
                let (bytes, first) = others.nearest[state as usize];
                (bytes != NOWHERE && !node.children.contains_key(&first)).then_some((bytes, first))
            });
            let child =
                |(byte, child): (&u8, &u32)| (self.nearest[*child as usize].0.saturating_add(1), *byte);
            let nearest = node.children.iter().map(child).chain(other).min();
            self.nearest[index] = nearest.unwrap_or((NOWHERE, 0));
        }
    }

    /// The same for the outcomes that can be reached.
    fn find_reach(
        &mut self,
        nodes: usize,
        names: u32,
        others: Option<&Automaton>,
        budget: &Budget,
    ) -> Result<(), GrammarError> {
        let mut sets = Sets::default();
        let nothing = sets.number(Outcomes::none(self.outcomes));
        let of_others: Vec<u32> = match others {
            Some(others) => {
                others.sets.iter().map(|set| sets.number(set.moved(names, self.outcomes))).collect()
            }
            None => Vec::new(),
        };
        let limit = budget.max_bytes / self.outcomes.div_ceil(8).max(1) as usize;
        self.reach = vec![nothing; nodes];
        if let Some(others) = others {
            let states = 0..others.states() as u32;
            self.reach.extend(states.map(|state| of_others[others.reach_number(state) as usize]));
        }
        for index in (0..nodes).rev() {
            let row = self.row(index as u32);
            let targets = row.iter().filter(|target| **target != NOWHERE);
            let own = Some(self.ending[index]).filter(|outcome| *outcome != NOWHERE);
            let own = own.map(|outcome| sets.number(Outcomes::only(self.outcomes, Some(outcome))));
            let all = targets.map(|target| self.reach[*target as usize]).chain(own);
            let union = all.fold(Union::Of(nothing), |union, set| union.with(set, nothing, &sets));
            self.reach[index] = union.number(&mut sets);
            if sets.len() > limit {
                return Err(GrammarError::TooLarge { what: "bytes", limit: budget.max_bytes });
            }
        }
        self.sets = sets.all();
        Ok(())
    }
}

/// The texts in a tree of `most` nodes at most; those that cannot be spelled are left out.
fn tree<'a>(
    words: impl IntoIterator<Item = (&'a [u8], u32)>,
    folds: impl Fn(u8) -> bool,
    others: Option<&Automaton>,
    spellable: &[bool; 256],
    most: usize,
) -> Option<Vec<Node>> {
    let mut nodes = vec![Node { other: others.map(|_| START), ..Node::default() }];
    for (word, outcome) in words {
        let any_case = word.first().is_some_and(|first| folds(*first));
        let cases = |byte: &u8| {
            let other = (any_case && byte.is_ascii_alphabetic()).then_some(byte ^ CASE);
            [Some(*byte), other].into_iter().flatten().filter(|byte| spellable[usize::from(*byte)])
        };
        if word.iter().any(|byte| cases(byte).next().is_none()) {
            continue;
        }
        let mut at = 0;
        for byte in word {
            let new = nodes.len() as u32;
            let mut child = new;
            cases(byte).for_each(|byte| child = *nodes[at].children.entry(byte).or_insert(new));
            if child == new {
                let other = others.zip(nodes[at].other).and_then(|(others, state)| others.step(state, *byte));
                nodes.push(Node { other, ..Node::default() });
                if nodes.len() > most {
                    return None;
                }
            }
            at = child as usize;
        }
        nodes[at].outcome.get_or_insert(outcome);
    }
    Some(nodes)
}

/// The bit in which the cases of a letter differ.
const CASE: u8 = 0x20;

/// Classes of bytes, and how many there are: those of the others, and each byte of a word for itself, but for
/// letters of which both cases lead the same ways.
fn classes(nodes: &[Node], others: Option<&Automaton>) -> ([u8; 256], usize) {
    let mut used = [false; 256];
    let mut is_exact = [false; 256];
    for (node, (byte, child)) in
        nodes.iter().flat_map(|node| node.children.iter().map(move |child| (node, child)))
    {
        used[usize::from(*byte)] = true;
        is_exact[usize::from(*byte)] |= node.children.get(&(byte ^ CASE)) != Some(child);
    }
    let leads_as_capital = |byte: u8| {
        let capital = byte ^ CASE;
        let apart = is_exact[usize::from(byte)] || is_exact[usize::from(capital)];
        byte.is_ascii_lowercase()
            && !apart
            && others.is_none_or(|others| others.class(byte) == others.class(capital))
    };
    // Class 0 is of bytes that lead nowhere.
    let (mut classes, mut count) = ([0_u8; 256], 0_u8);
    let mut of_others: Vec<Option<u8>> = match others {
        Some(others) => others.leading_classes().into_iter().map(|leads| (!leads).then_some(0)).collect(),
        None => vec![Some(0)],
    };
    for byte in 0..=u8::MAX {
        let other = others.map_or(0, |others| others.class(byte));
        let known = match used[usize::from(byte)] {
            true => leads_as_capital(byte).then(|| classes[usize::from(byte ^ CASE)]),
            false => of_others[other],
        };
        classes[usize::from(byte)] = known.unwrap_or_else(|| {
            count += 1;
            count
        });
        if !used[usize::from(byte)] {
            of_others[other] = Some(classes[usize::from(byte)]);
        }
    }
    (classes, usize::from(count) + 1)
}

/// Rows of the nodes, each that of its place among the others but for its children, and those of the others.
fn transitions(nodes: &[Node], others: Option<&Automaton>, classes: &[u8; 256], stride: usize) -> Vec<u32> {
    let states = nodes.len() + others.map_or(0, Automaton::states);
    let mut next = vec![NOWHERE; states * stride];
    let Some(others) = others else {
        write_children(nodes, classes, stride, &mut next);
        return next;
    };
    // Which class of the others each class is of.
    let mut of_others = vec![0; stride];
    (0..=u8::MAX).for_each(|byte| of_others[usize::from(classes[usize::from(byte)])] = others.class(byte));
    let copy = |row: &mut [u32], state: u32| {
        let from = others.row(state);
        for (target, class) in row.iter_mut().zip(&of_others) {
            let other = from[*class];
            *target = if other == NOWHERE { NOWHERE } else { other + nodes.len() as u32 };
        }
    };
    for (row, node) in next.chunks_mut(stride).zip(nodes) {
        if let Some(state) = node.other {
            copy(row, state);
        }
    }
    let rows = next.chunks_mut(stride).skip(nodes.len());
    rows.zip(0..).for_each(|(row, state)| copy(row, state));
    write_children(nodes, classes, stride, &mut next);
    next
}

fn write_children(nodes: &[Node], classes: &[u8; 256], stride: usize, next: &mut [u32]) {
    for (row, node) in next.chunks_mut(stride).zip(nodes) {
        for (byte, child) in &node.children {
            row[usize::from(classes[usize::from(*byte)])] = *child;
        }
    }
}
