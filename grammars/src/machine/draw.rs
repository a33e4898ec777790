//! The tokens that a place in a lexeme allows.
//!
//! Those that stay inside are copied. Of those that leave it the rests go on in the lexemes that may
//! come next, and what they do there is known beforehand too ([`Lexeme::spread_after`]); only
//! what is left after two lexemes, and what must fit into few tokens, is walked in the machine's states.
//!
//! [`Lexeme::spread_after`]: crate::lexeme::Lexeme::spread_after

use super::Machine;
use super::language::Language;
use super::mask::{Group, Sketch};
use super::shortest::ENDLESS;
use super::step::{Capture, DEAD, StateId, Thread};
use super::store::{EMPTY, StackId, UNCAPTURED, UNKNOWN};
use crate::lexeme::{Exit, Outcomes, Spread};
use crate::tree::Tree;
use crate::{TokenId, Vocabulary, bits};

/// Tokens of one set tried one by one where little is left.
const TRIED: usize = 2048;

/// Outcomes among which a way out is looked for: no more than a completion looks at.
const WAYS_OUT: usize = 8;

/// Rests that are walked in states anew each time: of fewer it is not worth while to keep what they do.
const FEW: usize = 64;

impl<L: Language> Machine<L> {
    /// Draws what a group allows; where its lexeme may end at once, what follows is left `todo`.
    pub(super) fn draw(&mut self, group: Group, sketch: &mut Sketch, todo: &mut Vec<Group>) {
        let vocabulary = self.vocabulary.clone();
        let lexeme = group.choice.lexeme.clone();
        let spread = lexeme.spread(group.at, &vocabulary);
        // What a token makes longer is any text; those that are refused are looked at for themselves.
        let longer = group.longer();
        sketch.echo = group.echo + self.echo(&longer, sketch);
        if !self.draw_inside(&longer, &spread, sketch) {
            self.draw_each_inside(&longer, &spread, sketch);
        }
        if let Some(others) = &spread.others {
            let before = sketch.set_aside(&others.except);
            self.draw_exits(&longer, &others.spread, Some(others.outcome), sketch);
            sketch.put_back(&others.except, before);
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
            // Their texts have ended and are written once more all the same.
            let echo = sketch.echo;
            todo.extend(self.groups(state).into_iter().map(|next| Group { echo, ..next }));
        }
    }

    /// Allows tokens that leave a group's lexeme, all as one outcome where that is given.
    fn draw_exits(&mut self, group: &Group, spread: &Spread, outcome: Option<u32>, sketch: &mut Sketch) {
        let (fewest, most) = group.choice.characters;
        for exit in &spread.exits {
            let outcome = outcome.unwrap_or(exit.outcome);
            let count = group.count.saturating_add(exit.characters);
            if group.choice.allows(outcome) && count >= fewest && count <= most {
                let state = self.beyond(&group.threads, outcome, sketch, &exit.rests.tree);
                self.draw_exit(exit, state, sketch);
            }
        }
    }

    /// Tokens that it may take to write once more what has been read of a group's text.
    fn echo(&self, group: &Group, sketch: &Sketch) -> u32 {
        let echoes = group.threads.iter().any(|thread| thread.text == UNKNOWN && self.echoes(thread));
        if echoes { sketch.captured } else { 0 }
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

    /// Allows the tokens of an exit that the lexemes take that may come in `state`.
    fn draw_exit(&mut self, exit: &Exit, state: StateId, sketch: &mut Sketch) {
        if exit.rests.tree.all_ids().len() <= FEW {
            return self.draw_rests(&exit.rests.tree, state, |_| true, sketch);
        }
        let vocabulary = self.vocabulary.clone();
        let (outer, folds) = (sketch.echo, self.language.folds_case());
        for group in self.groups(state) {
            let spread = group.choice.lexeme.spread_after(exit, &vocabulary);
            for thread in group.threads.iter().filter(|thread| thread.text != UNCAPTURED) {
                for refused in self.refused(thread).iter() {
                    sketch.doubtful.extend(exit.rests.tree.ids_along(refused, folds));
                }
            }
            sketch.echo = outer + self.echo(&group, sketch);
            // An empty lexeme, or one of which not all tokens leave enough for the rest.
            if spread.here.is_some() || !self.draw_inside(&group, &spread, sketch) {
                let start = self.state(group.threads.clone(), false, Capture::Refused);
                self.draw_rests(&exit.rests.tree, start, |_| true, sketch);
                continue;
            }
            let (fewest, most) = group.choice.characters;
            for inner in &spread.exits {
                if group.choice.allows(inner.outcome) && (fewest..=most).contains(&inner.characters) {
                    let beyond = self.beyond(&group.threads, inner.outcome, sketch, &inner.rests.tree);
                    self.draw_rests(&inner.rests.tree, beyond, |_| true, sketch);
                }
            }
        }
        sketch.echo = outer;
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
                match self.is_unknown(next, sketch) {
                    true => sketch.doubtful.extend_from_slice(ids),
                    false => ids.iter().for_each(|id| self.allow_within(next, *id, sketch)),
                }
            }
            at += 1;
        }
    }

    /// Allows the tokens that stay inside of a group's lexeme, where all or none of them leave enough
    /// for the rest; whether that is so.
    fn draw_inside(&mut self, group: &Group, spread: &Spread, sketch: &mut Sketch) -> bool {
        if sketch.asks_closes() {
            let (least, worst) = self.needed_inside(group, spread);
            if !sketch.fits(worst) {
                return least != ENDLESS && least > 0 && !sketch.fits(least);
            }
            sketch.note(worst);
        }
        if let Some(others) = spread.others.as_ref().filter(|others| group.choice.reaches(others.reach)) {
            let before = sketch.set_aside(&others.except);
            copy_any(&others.spread, &self.vocabulary, &mut sketch.words);
            sketch.put_back(&others.except, before);
        }
        copy_inside(group, spread, &self.vocabulary, &mut sketch.words);
        true
    }

    /// Fewest and most tokens that are needed after tokens that stay inside of a group's lexeme, as
    /// far as closes know.
    fn needed_inside(&mut self, group: &Group, spread: &Spread) -> (u32, u32) {
        let automaton = &group.choice.lexeme.automaton;
        let mut reach = Outcomes::none(automaton.outcomes());
        let others = spread.others.as_ref().map(|others| others.reach);
        for set in spread.inside.iter().map(|(set, _)| *set).chain(spread.plain).chain(others) {
            reach.add(automaton.reach_set(set));
        }
        let (mut least, mut most) = (ENDLESS, 0);
        for outcome in reach.iter().filter(|outcome| group.choice.allows(*outcome)) {
            let after = self.needed_after(group, outcome);
            (least, most) = (least.min(after), most.max(after));
        }
        let missing = group.choice.characters.0.saturating_sub(group.count);
        let (lexeme, allowed) = (&group.choice.lexeme, group.choice.allowed.as_ref());
        let farthest = match group.choice.is_bounded() {
            true => lexeme.most_bytes_to_end(allowed),
            false => lexeme.most_tokens_to_end(allowed, &self.vocabulary),
        };
        (least, most.saturating_add(farthest).saturating_add(self.vocabulary.filler_tokens(missing)))
    }

    /// Tokens that are needed after a group's lexeme has ended as `outcome`.
    fn needed_after(&mut self, group: &Group, outcome: u32) -> u32 {
        let mut after = ENDLESS;
        for thread in &group.threads {
            let (stacks, unknown) = self.pop(thread, outcome);
            for stack in stacks.iter() {
                after = after.min(self.stack_tokens(*stack));
            }
            if unknown && stacks.is_empty() {
                after = after.min(self.tokens_after_some_text(thread, outcome));
            }
        }
        after
    }

    /// Allows the tokens inside of a lexeme that leave enough for the rest. Plain text is left out, for that brings
    /// no end nearer.
    fn draw_each_inside(&mut self, group: &Group, spread: &Spread, sketch: &mut Sketch) {
        let vocabulary = self.vocabulary.clone();
        let state = self.state(group.threads.clone(), false, Capture::Refused);
        let others = spread.others.iter().flat_map(|others| &others.spread.inside);
        for (set, tokens) in spread.inside.iter().chain(others) {
            let way_out = self.needed_by_way_out(group, *set);
            if let Some(needed) = way_out.filter(|needed| sketch.fits_without_texts(*needed)) {
                tokens.add_to(&mut sketch.words);
                sketch.note(needed);
                continue;
            }
            // Few are tried where all that stay inside are much alike.
            for id in tokens.first(if way_out.is_some() { usize::MAX } else { TRIED }) {
                match self.step_all(state, vocabulary.token(id)) {
                    DEAD => {}
                    next if way_out.is_some() && self.ends_soon(next, way_out, sketch) => {
                        bits::insert(&mut sketch.words, id);
                    }
                    next if self.is_unknown(next, sketch) => sketch.doubtful.push(id),
                    next => self.allow_within(next, id, sketch),
                }
            }
        }
    }

    /// Whether a state is completed by the way out of its lexeme with what is left.
    fn ends_soon(&mut self, state: StateId, way_out: Option<u32>, sketch: &Sketch) -> bool {
        let needed = self.bound(state).filter(|needed| Some(*needed) <= way_out);
        needed.is_some_and(|needed| sketch.fits_without_texts(needed))
    }

    /// Where a group's lexeme can end in several ways from the places of a set, and after one nothing has to come:
    /// tokens that suffice to end it so from each of them. Free text may end, and need not begin a call.
    fn needed_by_way_out(&mut self, group: &Group, set: u32) -> Option<u32> {
        let choice = &group.choice;
        if choice.captured || choice.characters != (0, u32::MAX) {
            return None;
        }
        let reach = choice.lexeme.automaton.reach_set(set);
        let outcomes: Vec<u32> =
            reach.iter().filter(|outcome| choice.allows(*outcome)).take(WAYS_OUT + 1).collect();
        if !(2..=WAYS_OUT).contains(&outcomes.len()) {
            return None;
        }
        let is_last = |outcome: &u32| self.needed_after(group, *outcome) == 0;
        let last = outcomes.into_iter().filter(is_last);
        let count = choice.lexeme.automaton.outcomes();
        last.map(|outcome| choice.lexeme.most_bytes_to_end(Some(&Outcomes::only(count, Some(outcome))))).min()
    }

    /// Whether what comes after a state depends on a text that is not known here.
    fn is_unknown(&mut self, state: StateId, sketch: &Sketch) -> bool {
        if sketch.asks_closes() {
            return self.bound(state).is_none();
        }
        let threads = &self.states[state as usize].threads;
        threads.iter().all(|thread| {
            let (frame, _) = self.stacks.top(thread.stack);
            thread.stack != EMPTY && self.language.is_unknown(self.frames.get(frame))
        })
    }

    /// Allows a token that leads to a state, if that can be completed with what is left.
    pub(super) fn allow_within(&mut self, next: StateId, id: TokenId, sketch: &mut Sketch) {
        if !sketch.asks_closes() {
            return bits::insert(&mut sketch.words, id);
        }
        let mut needed = self.bound(next).unwrap_or(ENDLESS);
        if !sketch.fits(needed) {
            needed = self.bound_by_any_ending(next).unwrap_or(ENDLESS).min(needed);
        }
        if sketch.fits(needed) {
            bits::insert(&mut sketch.words, id);
            sketch.note(needed);
        }
    }
}

/// Allows what stays inside of any string.
fn copy_any(spread: &Spread, vocabulary: &Vocabulary, words: &mut [u32]) {
    if spread.plain.is_some() {
        vocabulary.plain().add_to(words);
    }
    spread.inside.iter().for_each(|(_, tokens)| tokens.add_to(words));
}

fn copy_inside(group: &Group, spread: &Spread, vocabulary: &Vocabulary, words: &mut [u32]) {
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
    let mut allow = |id: TokenId| bits::insert(words, id);
    if plain {
        let all = vocabulary.plain_by_length();
        let first = all.partition_point(|(characters, _)| *characters > room);
        all[first..].iter().for_each(|(_, id)| allow(*id));
    }
    let fits = |(needed, ends, _): &&(u32, bool, TokenId)| *needed <= room && (!ends || *needed >= missing);
    spread.characters.iter().filter(fits).for_each(|(_, _, id)| allow(*id));
}
