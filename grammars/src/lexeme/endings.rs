//! How the texts of an automaton can end: the shortest, some more, whether there are only so many.

use foldhash::HashMap;

use super::automaton::{Automaton, NOWHERE, START};
use super::outcomes::Outcomes;
use crate::tree::Tree;

/// Places in the tree of tokens that one search for few tokens looks at.
const NODES: usize = 20_000;

impl Automaton {
    /// The outcome of the nearest ending.
    pub(crate) fn nearest_outcome(&self, from: u32) -> Option<u32> {
        if self.sets.len() == 1 {
            return (self.reach(from).iter().next()).filter(|_| self.outcomes() == 1);
        }
        let mut state = from;
        while self.nearest[state as usize].0 > 0 {
            state = self.step(state, self.nearest[state as usize].1)?;
        }
        self.ending(state)
    }

    /// From each state, fewest tokens that spell the text to the nearest ending: dynamic programming,
    /// nearest states first.
    pub(super) fn tokens_to_end(&self, tree: &Tree) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.states() as u32).collect();
        order.sort_by_key(|state| self.nearest[*state as usize].0);
        let mut tokens = vec![NOWHERE; self.states()];
        for first in order.into_iter().filter(|state| self.nearest[*state as usize].0 != NOWHERE) {
            if self.nearest[first as usize].0 == 0 {
                tokens[first as usize] = 0;
                continue;
            }
            let (mut state, mut place, mut fewest) = (first, tree.root(), NOWHERE);
            while self.nearest[state as usize].0 > 0 {
                let byte = self.nearest[state as usize].1;
                let (Some(next), Some(node)) = (self.step(state, byte), tree.child(&place, byte)) else {
                    break;
                };
                state = next;
                if !tree.ids_at(&node).is_empty() {
                    fewest = fewest.min(tokens[state as usize].saturating_add(1));
                }
                place = node.start + 1..node.end;
            }
            tokens[first as usize] = fewest;
        }
        tokens
    }

    /// The shortest rest of a text from here, and its outcome.
    pub(crate) fn shortest(&self, from: u32) -> Option<(Vec<u8>, u32)> {
        let (mut state, mut text) = (from, Vec::new());
        while self.nearest[state as usize].0 > 0 {
            let byte = self.nearest[state as usize].1;
            text.push(byte);
            state = self.step(state, byte)?;
        }
        Some((text, self.ending(state)?))
    }

    /// The way to an ending as `outcome` with the fewest tokens, as far as a search says that looks at
    /// [`NODES`] places in the tree: breadth first over the states that tokens lead to. It goes to the ending,
    /// or to a state in which any text may follow; from there the nearest ending will do.
    pub(super) fn fewest_tokens(&self, from: u32, outcome: u32, tree: &Tree) -> Option<(Vec<u8>, u32)> {
        let leads = |state: u32| self.reach(state).contains(outcome);
        let mut before: HashMap<u32, (u32, Vec<u8>)> = [(from, (from, Vec::new()))].into_iter().collect();
        let mut layer = vec![from];
        let mut left = NODES;
        while !layer.is_empty() {
            let ended = layer.iter().find(|state| self.ending(**state) == Some(outcome));
            if let Some(last) = ended.or_else(|| layer.iter().find(|state| self.is_free(**state))) {
                let (mut parts, mut at) = (Vec::new(), *last);
                while at != from {
                    let (previous, bytes) = before.get(&at)?;
                    parts.push(bytes.clone());
                    at = *previous;
                }
                return Some((parts.into_iter().rev().flatten().collect(), *last));
            }
            let mut next = Vec::new();
            for state in layer {
                let mut path = vec![state; tree.depth() + 1];
                let mut bytes: Vec<u8> = Vec::new();
                let mut at = 0;
                while let Some(node) = tree.nodes().get(at) {
                    let depth = usize::from(node.depth);
                    let step = self.step(path[depth], node.byte).filter(|next| leads(*next));
                    let Some(to) = step.filter(|_| left > 0) else {
                        at += node.size as usize;
                        continue;
                    };
                    left -= 1;
                    path[depth + 1] = to;
                    bytes.truncate(depth);
                    bytes.push(node.byte);
                    if !tree.ids(node).is_empty() && !before.contains_key(&to) {
                        before.insert(to, (state, bytes.clone()));
                        next.push(to);
                    }
                    at += 1;
                }
            }
            if left == 0 {
                break;
            }
            layer = next;
        }
        None
    }

    /// Whether only so many texts end as `outcome`: no state that can come to it comes to itself.
    pub(crate) fn is_finite(&self, outcome: u32) -> bool {
        let leads = |state: u32| self.reach(state).contains(outcome);
        // Depth first; a state that is met while it is open closes a circle.
        let (mut open, mut done) = (vec![false; self.states()], vec![false; self.states()]);
        let mut path: Vec<(u32, usize)> = vec![(START, 0)];
        while let Some((state, at)) = path.last_mut() {
            let (state, column) = (*state, *at);
            *at += 1;
            open[state as usize] = true;
            let Some(target) = self.row(state).get(column).copied() else {
                open[state as usize] = false;
                done[state as usize] = true;
                path.pop();
                continue;
            };
            if target == NOWHERE || done[target as usize] || !leads(target) {
                continue;
            }
            if open[target as usize] {
                return false;
            }
            path.push((target, 0));
        }
        true
    }

    /// For each state whether there is no end of texts from it: it comes to a state that comes to itself.
    pub(super) fn endless(&self) -> Vec<bool> {
        let ways = |state: u32| self.row(state).iter().filter(|target| **target != NOWHERE).count();
        let mut left: Vec<usize> = (0..self.states() as u32).map(ways).collect();
        let mut ended: Vec<u32> =
            (0..self.states() as u32).filter(|state| left[*state as usize] == 0).collect();
        let sources = Sources::of(self);
        while let Some(state) = ended.pop() {
            for source in sources.of_state(state) {
                left[*source as usize] -= 1;
                if left[*source as usize] == 0 {
                    ended.push(*source);
                }
            }
        }
        left.into_iter().map(|left| left > 0).collect()
    }

    /// Bytes from each state to the nearest ending among some outcomes.
    pub(super) fn distances(&self, allowed: &Outcomes) -> Vec<u32> {
        let ends = |state: &u32| self.ending(*state).is_some_and(|outcome| allowed.contains(outcome));
        Sources::of(self).distances((0..self.states() as u32).filter(ends).collect())
    }

    /// For each outcome, bytes to its nearest ending from that of the states that lead to it which is
    /// farthest away.
    pub(super) fn farthest(&self) -> Box<[u32]> {
        let sources = Sources::of(self);
        let mut ends: Vec<Vec<u32>> = vec![Vec::new(); self.outcomes() as usize];
        for state in 0..self.states() as u32 {
            if let Some(outcome) = self.ending(state) {
                ends[outcome as usize].push(state);
            }
        }
        let mut seen_for = vec![NOWHERE; self.states()];
        let of_outcome = |(outcome, ends): (usize, Vec<u32>)| {
            let mut farthest = 0;
            sources.visit(ends, |state, distance| {
                let is_new =
                    std::mem::replace(&mut seen_for[state as usize], outcome as u32) != outcome as u32;
                farthest = if is_new { farthest.max(distance) } else { farthest };
                is_new
            });
            farthest
        };
        ends.into_iter().enumerate().map(of_outcome).collect()
    }
}

/// The transitions of an automaton, backwards.
pub(super) struct Sources {
    states: Vec<u32>,
    /// Where those that lead to each state begin; one more than there are states.
    starts: Vec<u32>,
}

impl Sources {
    pub(super) fn of(automaton: &Automaton) -> Self {
        let transitions = || automaton.next.iter().enumerate().filter(|(_, target)| **target != NOWHERE);
        let mut starts = vec![0_u32; automaton.states() + 1];
        transitions().for_each(|(_, target)| starts[*target as usize + 1] += 1);
        for state in 1..starts.len() {
            starts[state] += starts[state - 1];
        }
        let (mut states, mut next) = (vec![0; starts[automaton.states()] as usize], starts.clone());
        for (place, target) in transitions() {
            let slot = &mut next[*target as usize];
            states[*slot as usize] = (place / automaton.stride) as u32;
            *slot += 1;
        }
        Self { states, starts }
    }

    /// The states that lead to a state, once for each class that does.
    fn of_state(&self, state: u32) -> &[u32] {
        &self.states[self.starts[state as usize] as usize..self.starts[state as usize + 1] as usize]
    }

    /// Steps from each state to the nearest of some; [`NOWHERE`] where there is no way.
    pub(super) fn distances(&self, to: Vec<u32>) -> Vec<u32> {
        let mut distances = vec![NOWHERE; self.starts.len() - 1];
        self.visit(to, |state, distance| {
            let is_new = distances[state as usize] == NOWHERE;
            distances[state as usize] = distances[state as usize].min(distance);
            is_new
        });
        distances
    }

    /// Breadth first from some states against the transitions; `visit` gets a state and the steps from it,
    /// and says whether it came there for the first time.
    fn visit(&self, from: Vec<u32>, mut visit: impl FnMut(u32, u32) -> bool) {
        let (mut layer, mut distance) = (from, 0);
        layer.retain(|state| visit(*state, 0));
        while !layer.is_empty() {
            distance += 1;
            let mut next = Vec::new();
            for state in layer {
                next.extend(self.of_state(state).iter().filter(|source| visit(**source, distance)));
            }
            layer = next;
        }
    }
}
