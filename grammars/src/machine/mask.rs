//! The tokens that a state allows.
//!
//! Most tokens stay inside of the lexeme that is being read, and which ones is known beforehand
//! ([`Spread`](crate::lexeme::Spread)); only the rests of those that leave it are walked in
//! the state that the text is then in.

use std::sync::Arc;

use super::language::{Choice, Language};
use super::step::{DEAD, StateId, Thread};
use super::store::{StackId, UNCAPTURED};
use super::Machine;
use crate::{TokenId, Vocabulary};
use crate::lexeme::Spread;
use crate::tree::Tree;

/// What may follow a state.
#[derive(Debug)]
pub(crate) struct StateMask {
    pub(crate) words: Box<[u32]>,
    /// The one allowed token, where there is just one and the text may not end.
    pub(crate) only: Option<TokenId>,
    /// Tokens that depend on what was captured: each is to be tried from the state itself.
    doubtful: Box<[TokenId]>,
}

/// Threads that are in the same place of the same lexeme, with the same left to read of it.
struct Group {
    choice: Choice,
    at: u32,
    count: u32,
    threads: Vec<Thread>,
}

/// A mask in the making.
struct Sketch {
    words: Box<[u32]>,
    doubtful: Vec<TokenId>,
}

impl<L: Language> Machine<L> {
    /// Which tokens may follow.
    pub(crate) fn mask(&mut self, state: StateId) -> Arc<StateMask> {
        if let Some(known) = &self.states[state as usize].mask {
            return known.clone();
        }
        let shared = self.forgetful(state);
        let common = match &self.states[shared as usize].mask {
            Some(known) => known.clone(),
            None => {
                let made = Arc::new(self.common_mask(shared));
                self.states[shared as usize].mask = Some(made.clone());
                made
            }
        };
        let mut doubtful = common.doubtful.to_vec();
        self.add_refused(state, &mut doubtful);
        if doubtful.is_empty() {
            return common;
        }
        let mut words = common.words.clone();
        let vocabulary = self.vocabulary.clone();
        for id in doubtful {
            let bit = 1 << (id % 32);
            words[id as usize / 32] &= !bit;
            if self.step_all(state, vocabulary.token(id)) != DEAD {
                words[id as usize / 32] |= bit;
            }
        }
        Arc::new(self.finish(state, Sketch { words, doubtful: Vec::new() }))
    }

    /// The mask of a state that knows no captured text.
    fn common_mask(&mut self, state: StateId) -> StateMask {
        let words = vec![0_u32; self.vocabulary.words()].into_boxed_slice();
        let mut sketch = Sketch { words, doubtful: Vec::new() };
        let mut todo = self.groups(state);
        while let Some(group) = todo.pop() {
            self.draw(group, &mut sketch, &mut todo);
        }
        if self.can_end(state) {
            let length = self.vocabulary.len();
            for id in self.vocabulary.ends().iter().filter(|id| (**id as usize) < length) {
                sketch.words[*id as usize / 32] |= 1 << (id % 32);
            }
        }
        self.finish(state, sketch)
    }

    fn finish(&mut self, state: StateId, sketch: Sketch) -> StateMask {
        let mut set = sketch.words.iter().enumerate().filter(|(_, word)| **word != 0);
        let only = match (set.next(), set.next()) {
            (Some((index, word)), None) if word.is_power_of_two() => {
                Some(index as u32 * 32 + word.trailing_zeros())
            }
            _ => None,
        };
        let only = if only.is_some() && self.can_end(state) { None } else { only };
        StateMask { words: sketch.words, only, doubtful: sketch.doubtful.into() }
    }

    /// The threads of a state, by where they are.
    fn groups(&mut self, state: StateId) -> Vec<Group> {
        let threads = self.states[state as usize].threads.clone();
        let mut groups: Vec<Group> = Vec::new();
        for thread in threads.iter().filter(|thread| thread.stack != super::store::EMPTY) {
            let offer = self.offer_of(thread.stack);
            let choice = &offer.choices[usize::from(thread.choice)];
            let same = |group: &&mut Group| {
                Arc::ptr_eq(&group.choice.lexeme, &choice.lexeme)
                    && (group.at, group.count) == (thread.at, thread.count)
                    && group.choice.characters == choice.characters
                    && group.choice.allowed == choice.allowed
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.threads.push(*thread),
                None => groups.push(Group {
                    choice: choice.clone(),
                    at: thread.at,
                    count: thread.count,
                    threads: vec![*thread],
                }),
            }
        }
        groups
    }

    fn draw(&mut self, group: Group, sketch: &mut Sketch, todo: &mut Vec<Group>) {
        let vocabulary = self.vocabulary.clone();
        let lexeme = group.choice.lexeme.clone();
        let spread = lexeme.spread(group.at, &vocabulary);
        draw_inside(&group, &spread, &vocabulary, &mut sketch.words);

        let (fewest, most) = group.choice.characters;
        for exit in &spread.exits {
            let count = group.count.saturating_add(exit.characters);
            if group.choice.allows(exit.outcome) && count >= fewest && count <= most {
                let state = self.beyond(&group.threads, exit.outcome, sketch, &exit.rests);
                self.draw_rests(&exit.rests, state, |_| true, sketch);
            }
        }
        let Some(outcome) = spread.here.filter(|outcome| group.choice.allows(*outcome)) else { return };
        if group.count < fewest {
            return;
        }
        let state = self.beyond(&group.threads, outcome, sketch, vocabulary.tree());
        let continues = |byte: u8| lexeme.automaton.step(group.at, byte).is_some();
        if (0..=u8::MAX).any(|byte| continues(byte) && self.step(state, byte) != DEAD) {
            self.draw_rests(vocabulary.tree(), state, |byte| !continues(byte), sketch);
        } else {
            todo.extend(self.groups(state));
        }
    }

    /// The state after the lexeme of some threads; rests that depend on unknown texts are noted.
    fn beyond(&mut self, threads: &[Thread], outcome: u32, sketch: &mut Sketch, rests: &Tree) -> StateId {
        let mut stacks: Vec<StackId> = Vec::new();
        for thread in threads {
            let (after, unknown) = self.pop(thread, outcome);
            stacks.extend_from_slice(&after);
            if unknown {
                sketch.doubtful.extend_from_slice(rests.all_ids());
            }
        }
        self.state_at(&stacks)
    }

    /// Allows the tokens whose rests can be read from a state.
    fn draw_rests(
        &mut self,
        rests: &Tree,
        start: StateId,
        begins: impl Fn(u8) -> bool,
        sketch: &mut Sketch,
    ) {
        if start == DEAD {
            return;
        }
        let mut path = vec![start; rests.depth() + 1];
        let nodes = rests.nodes();
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let depth = usize::from(node.depth);
            let next = if depth > 0 || begins(node.byte) { self.step(path[depth], node.byte) } else { DEAD };
            if next == DEAD {
                at += node.size as usize;
                continue;
            }
            path[depth + 1] = next;
            if self.states[next as usize].doubtful {
                let below = &nodes[at..at + node.size as usize];
                below.iter().for_each(|node| sketch.doubtful.extend_from_slice(rests.ids(node)));
                at += node.size as usize;
                continue;
            }
            for id in rests.ids(node) {
                sketch.words[*id as usize / 32] |= 1 << (id % 32);
            }
            at += 1;
        }
    }

    /// Tokens on the way through a text that some thread's frame refuses.
    fn add_refused(&mut self, state: StateId, doubtful: &mut Vec<TokenId>) {
        let threads = self.states[state as usize].threads.clone();
        for thread in threads.iter().filter(|thread| thread.text != UNCAPTURED) {
            let Some(text) = self.texts.get(thread.text) else { continue };
            let (frame, _) = self.stacks.top(thread.stack);
            let frame = self.frames.get(frame).clone();
            for refused in self.language.refused(&frame, usize::from(thread.choice)) {
                if let Some(rest) = refused.strip_prefix(text.as_slice()) {
                    doubtful.extend(self.vocabulary.tree().ids_through(rest));
                }
            }
        }
    }
}

fn draw_inside(group: &Group, spread: &Spread, vocabulary: &Vocabulary, words: &mut [u32]) {
    let automaton = &group.choice.lexeme.automaton;
    let reaches = |set: u32| {
        group.choice.allowed.as_ref().is_none_or(|allowed| automaton.reach_set(set).intersects(allowed))
    };
    let (fewest, most) = group.choice.characters;
    let room = if most == u32::MAX { u32::MAX } else { most - group.count.min(most) };
    let missing = fewest.saturating_sub(group.count);
    let plain = spread.plain.is_some_and(reaches);
    // No token has more characters than bytes.
    if missing == 0 && room as usize >= vocabulary.tree().depth() {
        if plain {
            vocabulary.plain().add_to(words);
        }
        let inside = spread.inside.iter().filter(|(set, _)| reaches(*set));
        inside.for_each(|(_, tokens)| tokens.add_to(words));
        return;
    }
    // Counted lexemes have one outcome, so no set is left out here.
    let mut allow = |id: TokenId| words[id as usize / 32] |= 1 << (id % 32);
    if plain {
        let all = vocabulary.plain_by_length();
        let first = all.partition_point(|(characters, _)| *characters > room);
        all[first..].iter().for_each(|(_, id)| allow(*id));
    }
    let fits = |(needed, ends, _): &&(u32, bool, TokenId)| *needed <= room && (!ends || *needed >= missing);
    spread.characters.iter().filter(fits).for_each(|(_, _, id)| allow(*id));
}

impl<L: Language> Machine<L> {
    /// Which tokens may follow when `left` tokens may still be written: those after which one less
    /// suffices.
    pub(crate) fn mask_within(&mut self, state: StateId, left: u32) -> Arc<StateMask> {
        let plain = self.mask(state);
        let vocabulary = self.vocabulary.clone();
        let mut words = plain.words.clone();
        for index in 0..words.len() {
            let mut bits = plain.words[index];
            while bits != 0 {
                let id = index as u32 * 32 + bits.trailing_zeros();
                bits &= bits - 1;
                if vocabulary.ends().contains(&id) {
                    continue;
                }
                let next = self.step_all(state, vocabulary.token(id));
                if left == 0 || !self.completes_within(next, left - 1) {
                    words[index] &= !(1 << (id % 32));
                }
            }
        }
        Arc::new(self.finish(state, Sketch { words, doubtful: Vec::new() }))
    }

    /// Whether `left` tokens complete a state, as far as closes know.
    fn completes_within(&mut self, state: StateId, left: u32) -> bool {
        match self.bound(state) {
            None => false,
            Some(bound) if bound <= left => true,
            Some(_) => self.plan(state).is_some_and(|plan| plan.len() <= left as usize),
        }
    }
}
