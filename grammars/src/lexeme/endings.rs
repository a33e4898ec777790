//! How the texts of an automaton can end: the shortest, some more, whether there are only so many.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use super::automaton::{Automaton, NOWHERE, START};
use super::outcomes::Outcomes;
use crate::tree::Tree;

/// Places in the tree of tokens that one search for few tokens looks at.
const NODES: usize = 20_000;

/// Beginnings looked at for each of several texts.
const LOOKED_AT: usize = 256;

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

    /// The shortest rest of a text from here, ending in any outcome of `allowed`, and that
    /// outcome.
    pub(crate) fn shortest(&self, from: u32, allowed: &Outcomes) -> Option<(Vec<u8>, u32)> {
        if allowed.contains_all(self.reach(from)) {
            let (mut state, mut text) = (from, Vec::new());
            while self.nearest[state as usize].0 > 0 {
                let byte = self.nearest[state as usize].1;
                text.push(byte);
                state = self.step(state, byte)?;
            }
            return Some((text, self.ending(state)?));
        }
        let mut before: HashMap<u32, (u32, u8)> = HashMap::from([(from, (from, 0))]);
        let mut todo = VecDeque::from([from]);
        while let Some(state) = todo.pop_front() {
            if let Some(outcome) = self.ending(state).filter(|outcome| allowed.contains(*outcome)) {
                let (mut text, mut at) = (Vec::new(), state);
                while at != from {
                    let (previous, byte) = before[&at];
                    text.push(byte);
                    at = previous;
                }
                text.reverse();
                return Some((text, outcome));
            }
            for byte in 0..=u8::MAX {
                if let Some(target) = self.step(state, byte)
                    && self.reach(target).intersects(allowed)
                {
                    before.entry(target).or_insert_with(|| {
                        todo.push_back(target);
                        (state, byte)
                    });
                }
            }
        }
        None
    }

    /// A text from here that ends as `outcome` with the fewest tokens, as far as a search says that looks
    /// at [`NODES`] places in the tree: breadth first over the states that tokens lead to. In a state in which
    /// any text may follow, the nearest ending is taken.
    pub(super) fn fewest_tokens(&self, from: u32, outcome: u32, tree: &Tree) -> Option<Vec<u8>> {
        let only = Outcomes::only(self.outcomes(), Some(outcome));
        let leads = |state: u32| self.reach(state).contains(outcome);
        let mut before: HashMap<u32, (u32, Vec<u8>)> = HashMap::from([(from, (from, Vec::new()))]);
        let mut layer = vec![from];
        let mut left = NODES;
        while !layer.is_empty() {
            let ended = layer.iter().find(|state| self.ending(**state) == Some(outcome));
            if let Some(last) = ended.or_else(|| layer.iter().find(|state| self.is_free(**state))) {
                let (mut parts, mut at) = (vec![self.shortest(*last, &only)?.0], *last);
                while at != from {
                    let (previous, bytes) = before.get(&at)?;
                    parts.push(bytes.clone());
                    at = *previous;
                }
                return Some(parts.into_iter().rev().flatten().collect());
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
        self.shortest(from, &only).map(|(text, _)| text)
    }

    /// Several texts that end from here, short ones first, given the [`distances`](Self::distances).
    pub(super) fn some_texts(
        &self,
        from: u32,
        allowed: &Outcomes,
        distances: &[u32],
        most: usize,
    ) -> Vec<(Vec<u8>, u32)> {
        let (mut found, mut looked_at) = (Vec::new(), 0);
        // Shortest whole text first (A* with exact distances), then in the order of bytes.
        let mut todo = BinaryHeap::from([Reverse((distances[from as usize], Vec::new(), from))]);
        while let Some(Reverse((_, text, state))) = todo.pop() {
            if let Some(outcome) = self.ending(state).filter(|outcome| allowed.contains(*outcome)) {
                found.push((text.clone(), outcome));
            }
            looked_at += 1;
            if found.len() >= most || looked_at > most * LOOKED_AT {
                break;
            }
            let mut tried = vec![0; self.stride];
            for byte in 0..=u8::MAX {
                let Some(target) = self.step(state, byte) else { continue };
                let distance = distances[target as usize];
                let class = self.class(byte);
                if distance != NOWHERE && tried[class] <= most {
                    tried[class] += 1;
                    let mut longer = text.clone();
                    longer.push(byte);
                    todo.push(Reverse((longer.len() as u32 + distance, longer, target)));
                }
            }
        }
        found
    }

    /// Whether only so many texts end as `outcome`: no state that can come to it comes to itself.
    pub(crate) fn is_finite(&self, outcome: u32) -> bool {
        let leads = |state: u32| self.reach(state).contains(outcome);
        let row = |state: u32| &self.next[state as usize * self.stride..(state as usize + 1) * self.stride];
        // Depth first; a state that is met while it is open closes a circle.
        let (mut open, mut done) = (vec![false; self.states()], vec![false; self.states()]);
        let mut path: Vec<(u32, usize)> = vec![(START, 0)];
        while let Some((state, at)) = path.last_mut() {
            let (state, column) = (*state, *at);
            *at += 1;
            open[state as usize] = true;
            let Some(target) = row(state).get(column).copied() else {
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

    /// Bytes from each state to the nearest ending among some outcomes.
    pub(super) fn distances(&self, allowed: &Outcomes) -> Vec<u32> {
        let mut sources: Vec<Vec<u32>> = vec![Vec::new(); self.states()];
        for (state, row) in self.next.chunks(self.stride).enumerate() {
            for target in row.iter().filter(|target| **target != NOWHERE) {
                sources[*target as usize].push(state as u32);
            }
        }
        let ends = |state: &u32| self.ending(*state).is_some_and(|outcome| allowed.contains(outcome));
        let mut todo: VecDeque<u32> = (0..self.states() as u32).filter(ends).collect();
        let mut distances = vec![NOWHERE; self.states()];
        todo.iter().for_each(|state| distances[*state as usize] = 0);
        while let Some(state) = todo.pop_front() {
            for source in &sources[state as usize] {
                if distances[*source as usize] == NOWHERE {
                    distances[*source as usize] = distances[state as usize] + 1;
                    todo.push_back(*source);
                }
            }
        }
        distances
    }
}
