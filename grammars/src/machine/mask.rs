//! The tokens that a state allows.
//!
//! Most tokens stay inside of the lexeme that is being read, and which ones is known beforehand
//! ([`Spread`](crate::lexeme::Spread)); only the rests of those that leave it are walked in
//! the state that the text is then in.

use std::sync::Arc;

use super::Machine;
use super::language::{Choice, Language};
use super::step::{Capture, DEAD, StateId, Thread};
use super::store::StackId;
use crate::lexeme::Spread;
use crate::tree::Tree;
use crate::{TokenId, Vocabulary};

/// What may follow a state.
#[derive(Debug)]
pub(crate) struct StateMask {
    pub(crate) words: Box<[u32]>,
    /// Tokens that depend on what was captured: each is to be tried from the state itself.
    doubtful: Box<[TokenId]>,
    /// Most tokens that are needed after any of the allowed ones, as far as closes know.
    worst: u32,
}

/// Threads that are in the same place of the same lexeme, with the same left to read of it.
struct Group {
    choice: Choice,
    at: u32,
    count: u32,
    threads: Vec<Thread>,
}

impl Group {
    /// The same for threads of which any texts have been captured.
    fn longer(&self) -> Self {
        Self {
            choice: self.choice.clone(),
            threads: self.threads.iter().map(Thread::forgetful).collect(),
            ..*self
        }
    }
}

/// A mask in the making.
struct Sketch {
    words: Box<[u32]>,
    doubtful: Vec<TokenId>,
    /// Tokens that may be needed after an allowed one; what would need more is not allowed.
    left: u32,
    /// Most tokens that are needed after any token that was allowed, as far as closes know.
    worst: u32,
}

impl Sketch {
    /// What has been decided of some tokens so far, for [`put_back`](Self::put_back).
    fn set_aside(&self, tokens: &[TokenId]) -> (Vec<TokenId>, usize) {
        let is_allowed = |id: &TokenId| self.words[*id as usize / 32] >> (id % 32) & 1 == 1;
        (tokens.iter().copied().filter(is_allowed).collect(), self.doubtful.len())
    }

    /// Takes back what has been decided since about some tokens, which are ascending.
    fn put_back(&mut self, tokens: &[TokenId], (allowed, doubtful): (Vec<TokenId>, usize)) {
        tokens.iter().for_each(|id| self.words[*id as usize / 32] &= !(1 << (id % 32)));
        allowed.iter().for_each(|id| self.words[*id as usize / 32] |= 1 << (id % 32));
        let later = self.doubtful.split_off(doubtful);
        self.doubtful.extend(later.into_iter().filter(|id| tokens.binary_search(id).is_err()));
    }
}

/// Masks kept. A mask of 151,936 tokens is 19 KiB, so these are 10 MiB at most. When full, all are
/// dropped: a text in progress soon finds its own again.
const MASKS: usize = 512;

/// No limit to the tokens that may follow.
const UNLIMITED: u32 = u32::MAX;

impl<L: Language> Machine<L> {
    /// Which tokens may follow.
    pub(crate) fn mask(&mut self, state: StateId) -> Arc<StateMask> {
        if let Some(known) = &self.states[state as usize].mask {
            return known.clone();
        }
        let shared = self.forgetful(state);
        let common = match &self.states[shared as usize].common_mask {
            Some(known) => known.clone(),
            None => {
                let made = Arc::new(self.common_mask(shared, UNLIMITED));
                self.states[shared as usize].common_mask = Some(made.clone());
                made
            }
        };
        let mut doubtful = common.doubtful.to_vec();
        self.add_refused(state, &common.words, &mut doubtful);
        let mask = match doubtful.is_empty() {
            true => common,
            false => Arc::new(self.resolved(state, &common, &doubtful, UNLIMITED)),
        };
        self.keep_mask(state, shared, mask.clone());
        mask
    }

    /// Keeps a mask with its state, beside the common one of `shared`; when too many are kept, all are
    /// dropped.
    fn keep_mask(&mut self, state: StateId, shared: StateId, mask: Arc<StateMask>) {
        if self.masked.len() >= MASKS {
            for state in std::mem::take(&mut self.masked) {
                self.states[state as usize].mask = None;
                self.states[state as usize].common_mask = None;
            }
        }
        self.masked.extend([state, shared]);
        self.states[state as usize].mask = Some(mask);
    }

    /// The one token that may follow, where there is just one and the text may not end: found by trying
    /// tokens until there are two, which is soon where there is a choice.
    pub(crate) fn only_token(&mut self, state: StateId) -> Option<TokenId> {
        if self.can_end(state) {
            return None;
        }
        let vocabulary = self.vocabulary.clone();
        let tree = vocabulary.tree();
        let mut path = vec![state; tree.depth() + 1];
        let (mut only, mut at) = (None, 0);
        while let Some(node) = tree.nodes().get(at) {
            let depth = usize::from(node.depth);
            let next = self.step(path[depth], node.byte);
            if next == DEAD {
                at += node.size as usize;
                continue;
            }
            path[depth + 1] = next;
            match (tree.ids(node), only) {
                ([], _) => {}
                ([id], None) => only = Some(*id),
                _ => return None,
            }
            at += 1;
        }
        only
    }

    /// Whether after every token that may follow `left` more suffice.
    pub(crate) fn fits_all(&mut self, state: StateId, left: u32) -> bool {
        self.mask(state).worst <= left
    }

    /// Which tokens may follow when after each of them `left` more suffice. `plan` completes the state;
    /// where it is short enough, its beginning is allowed whatever sums of closes say, which are only
    /// upper bounds.
    pub(crate) fn mask_within(&mut self, state: StateId, left: u32, plan: &[TokenId]) -> Arc<StateMask> {
        let shared = self.forgetful(state);
        let common = self.common_mask(shared, left);
        let mut doubtful = common.doubtful.to_vec();
        self.add_refused(state, &common.words, &mut doubtful);
        let mut within = self.resolved(state, &common, &doubtful, left);
        if let Some(first) = plan.first().filter(|_| plan.len() <= left as usize + 1) {
            within.words[*first as usize / 32] |= 1 << (first % 32);
        }
        Arc::new(within)
    }

    /// A mask with what depends on captured texts tried.
    fn resolved(&mut self, state: StateId, common: &StateMask, doubtful: &[TokenId], left: u32) -> StateMask {
        let mut words = common.words.clone();
        let vocabulary = self.vocabulary.clone();
        let mut worst = common.worst;
        for id in doubtful {
            let bit = 1 << (id % 32);
            words[*id as usize / 32] &= !bit;
            let next = self.step_all(state, vocabulary.token(*id));
            if next != DEAD && self.completes_within(next, left) {
                words[*id as usize / 32] |= bit;
                worst = worst.max(self.bound(next).unwrap_or(UNLIMITED));
            }
        }
        StateMask { words, doubtful: Box::default(), worst }
    }

    /// The mask of a state that knows no captured text.
    fn common_mask(&mut self, state: StateId, left: u32) -> StateMask {
        let words = vec![0_u32; self.vocabulary.words()].into_boxed_slice();
        let mut sketch = Sketch { words, doubtful: Vec::new(), left, worst: 0 };
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
        StateMask { words: sketch.words, doubtful: sketch.doubtful.into(), worst: sketch.worst }
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
        // What is read from here on, in many ways at once, is not known.
        let longer = group.longer();
        let worst = self.worst_inside(&longer);
        if let Some(others) = &spread.others {
            let before = sketch.set_aside(&others.except);
            if worst <= sketch.left && group.choice.reaches(others.reach) {
                draw_plain(&others.spread, &vocabulary, &mut sketch.words);
            }
            self.draw_exits(&longer, &others.spread, Some(others.outcome), sketch);
            sketch.put_back(&others.except, before);
        }
        if worst <= sketch.left {
            draw_inside(&group, &spread, &vocabulary, &mut sketch.words);
            sketch.worst = sketch.worst.max(worst);
        } else {
            self.draw_each_inside(&longer, &spread, sketch);
        }
        self.draw_exits(&longer, &spread, None, sketch);

        let Some(outcome) = spread.here.filter(|outcome| group.choice.allows(*outcome)) else { return };
        if group.count < group.choice.characters.0 {
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

    /// Allows tokens that leave a lexeme, all as one outcome where that is given.
    fn draw_exits(&mut self, group: &Group, spread: &Spread, outcome: Option<u32>, sketch: &mut Sketch) {
        let (fewest, most) = group.choice.characters;
        for exit in &spread.exits {
            let outcome = outcome.unwrap_or(exit.outcome);
            let count = group.count.saturating_add(exit.characters);
            if group.choice.allows(outcome) && count >= fewest && count <= most {
                let state = self.beyond(&group.threads, outcome, sketch, &exit.rests);
                self.draw_rests(&exit.rests, state, |_| true, sketch);
            }
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
        self.state_at(&stacks, Capture::Refused)
    }

    /// Allows the tokens whose rests can be read from a state.
    fn draw_rests(&mut self, rests: &Tree, start: StateId, begins: impl Fn(u8) -> bool, sketch: &mut Sketch) {
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
            let ids = rests.ids(node);
            if !ids.is_empty() {
                match self.bound(next) {
                    // It depends on a text that is not known here.
                    None => sketch.doubtful.extend_from_slice(ids),
                    Some(bound) if bound <= sketch.left => {
                        ids.iter().for_each(|id| sketch.words[*id as usize / 32] |= 1 << (id % 32));
                        sketch.worst = sketch.worst.max(bound);
                    }
                    Some(_) => {}
                }
            }
            at += 1;
        }
    }

    /// Tokens on the way to or through a text that the frame of some thread refuses, or of one that is due
    /// if the lexeme ends here; where such a text is complete, the `allowed` ones that end it.
    fn add_refused(&mut self, state: StateId, allowed: &[u32], doubtful: &mut Vec<TokenId>) {
        let mut threads = self.states[state as usize].threads.to_vec();
        for thread in threads.clone() {
            if let Some(outcome) = self.ended(&thread) {
                let (stacks, _) = self.pop(&thread, outcome);
                stacks.iter().for_each(|stack| threads.extend_from_slice(&self.expand(*stack)));
            }
        }
        for thread in threads {
            for rest in self.refused_rests(&thread) {
                match rest.is_empty() {
                    true => doubtful.extend(self.allowed_to_end(&thread, allowed)),
                    false => {
                        doubtful.extend(self.vocabulary.tree().ids_along(&rest, self.language.folds_case()))
                    }
                }
            }
        }
    }
}

impl<L: Language> Machine<L> {
    /// The allowed tokens that do not continue a thread's lexeme.
    fn allowed_to_end(&mut self, thread: &Thread, allowed: &[u32]) -> Vec<TokenId> {
        let offer = self.offer_of(thread.stack);
        let automaton = &offer.choices[usize::from(thread.choice)].lexeme.automaton;
        let ends = |id: &TokenId| {
            let first = self.vocabulary.token(*id).first();
            first.is_some_and(|byte| automaton.step(thread.at, *byte).is_none())
        };
        set_bits(allowed).filter(ends).collect()
    }
}

/// The tokens of a mask.
fn set_bits(mask: &[u32]) -> impl Iterator<Item = TokenId> + '_ {
    let bits = |(index, word): (usize, &u32)| {
        let word = *word;
        (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index as TokenId * 32 + bit)
    };
    mask.iter().enumerate().filter(|(_, word)| **word != 0).flat_map(bits)
}

/// Allows what stays inside of any string.
fn draw_plain(spread: &Spread, vocabulary: &Vocabulary, words: &mut [u32]) {
    if spread.plain.is_some() {
        vocabulary.plain().add_to(words);
    }
    spread.inside.iter().for_each(|(_, tokens)| tokens.add_to(words));
}

fn draw_inside(group: &Group, spread: &Spread, vocabulary: &Vocabulary, words: &mut [u32]) {
    let reaches = |set: u32| group.choice.reaches(set);
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
    /// Most tokens that are needed after any token that stays inside of a group's lexeme.
    fn worst_inside(&mut self, group: &Group) -> u32 {
        let automaton = &group.choice.lexeme.automaton;
        let missing = group.choice.characters.0.saturating_sub(group.count);
        let mut after = 0;
        let reach = automaton.reach(group.at).clone();
        for outcome in reach.iter().filter(|outcome| group.choice.allows(*outcome)) {
            let mut least = UNLIMITED;
            for thread in &group.threads {
                let (stacks, unknown) = self.pop(thread, outcome);
                for stack in stacks.iter() {
                    least = least.min(self.stack_tokens(*stack));
                }
                if unknown {
                    least = least.min(self.tokens_after_some_text(thread, outcome));
                }
            }
            after = after.max(least);
        }
        let farthest = group.choice.lexeme.most_tokens_to_end(&self.vocabulary);
        after.saturating_add(farthest).saturating_add(self.vocabulary.filler_tokens(missing))
    }

    /// Allows the tokens inside of a lexeme that leave enough for the rest: only those are tried that
    /// are not plain text, for that brings no end nearer.
    fn draw_each_inside(&mut self, group: &Group, spread: &Spread, sketch: &mut Sketch) {
        let vocabulary = self.vocabulary.clone();
        let state = self.state(group.threads.clone(), false, Capture::Refused);
        let others = spread.others.iter().flat_map(|others| &others.spread.inside);
        for id in spread.inside.iter().chain(others).flat_map(|(_, tokens)| tokens.first(TRIED)) {
            let next = self.step_all(state, vocabulary.token(id));
            match self.bound(next) {
                _ if next == DEAD => {}
                // It depends on a text that is not known here.
                None => sketch.doubtful.push(id),
                Some(bound) if bound <= sketch.left => {
                    sketch.words[id as usize / 32] |= 1 << (id % 32);
                    sketch.worst = sketch.worst.max(bound);
                }
                Some(_) => {}
            }
        }
    }

    /// Whether `left` tokens complete a state, as far as closes know.
    fn completes_within(&mut self, state: StateId, left: u32) -> bool {
        match self.bound(state) {
            _ if left == UNLIMITED => true,
            None => false,
            Some(bound) => bound <= left,
        }
    }
}

/// Tokens of one set tried one by one where little is left.
const TRIED: usize = 2048;
