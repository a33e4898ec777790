//! The members of an object: which keys may be read, and what is due after one.

use std::sync::Arc;

use super::SchemaError;
use super::formula::{ALWAYS, F, Formula};
use super::keys::{Key, Keys};
use super::language::{Frame, Json, WAYS};
use super::object::Object;
use super::scalar::ScalarError;
use super::taken::Taken;
use crate::Budget;
use crate::lexeme::{Automaton, JsonText, Lexeme, Outcomes, START, spelled};
use crate::machine::{Choice, TextThen};

/// Alternatives settled on in a row, without a member read. It is done by recursion.
const SETTLED: usize = 64;

/// Names tried where an object needs more members of any name.
const HELPFUL: usize = 16;

impl Json {
    /// An object before its first member.
    pub(super) fn begin_object(&mut self, pending: F) -> Result<u32, SchemaError> {
        let keys = match self.keys_of.get(&pending) {
            Some(known) => known.clone()?,
            None => {
                let found = self.find_keys(pending);
                self.keys_of.insert(pending, found.clone());
                found?
            }
        };
        let used = Outcomes::none(self.keys(keys).names.len() as u32);
        Ok(self.objects.id(Object { keys, pending, used, others: Taken::default() }))
    }

    fn find_keys(&mut self, pending: F) -> Result<u32, SchemaError> {
        let mentioned = Keys::mentioned(&mut self.document, &mut self.formulas, pending)?;
        let keys = Keys::new(mentioned, &self.patience).inspect_err(|trouble| self.lose_patience(trouble))?;
        self.keys.push(Arc::new(keys));
        Ok(self.keys.len() as u32 - 1)
    }

    /// What is due after a key: the ways to read its value and the members after it.
    pub(super) fn after_key(&mut self, object: u32, key: Key, text: Option<&[u8]>) -> Vec<Vec<Frame>> {
        let object = self.objects.get(object).clone();
        let ways = self.read_key(object.keys, object.pending, key);
        let mut next = object;
        match key {
            Key::Named(name) => next.used.insert(name as u32),
            Key::Other(_) => next.others.add(text),
        }
        let ways = ways.into_iter().map(|(value, pending)| {
            let members = self.objects.id(Object { pending, ..next.clone() });
            vec![Frame::Colon, Frame::Value(value), Frame::Members(members)]
        });
        ways.collect()
    }

    /// The ways after a key that can be completed.
    pub(super) fn possible_after_key(
        &mut self,
        object: u32,
        key: Key,
        text: Option<&[u8]>,
    ) -> Vec<Vec<Frame>> {
        // A plain object that can be completed can be so with any of its keys read: only values matter.
        let plain = self.is_plain(self.objects.get(object).pending);
        let mut ways = self.after_key(object, key, text);
        ways.retain(|frames| {
            let checked = if plain { &frames[..2] } else { &frames[..] };
            checked.iter().all(|frame| self.is_possible(frame))
        });
        ways
    }

    /// Which keys may be read next; `None` for none.
    pub(super) fn keys_allowed(&mut self, object: u32) -> Option<Outcomes> {
        if let Some(known) = self.allowed_keys.get(&object) {
            return known.clone();
        }
        let Object { keys, pending, used, .. } = self.objects.get(object).clone();
        let allowed = if self.is_plain(pending) {
            self.plain_keys(object, keys, pending)
        } else {
            self.possible_keys(object, keys)
        };
        let mut left = Outcomes::none(self.keys(keys).outcomes());
        allowed.iter().filter(|outcome| !used.contains(*outcome)).for_each(|outcome| left.insert(outcome));
        let some = left.iter().next().is_some();
        let answer = some.then_some(left);
        self.allowed_keys.insert(object, answer.clone());
        answer
    }

    /// Keys of an object that nothing but rules for values and required keys is said of: required
    /// ones that were read make no difference.
    pub(super) fn plain_keys(&mut self, object: u32, keys: u32, pending: F) -> Outcomes {
        let rules: Vec<F> = self
            .formulas
            .parts(pending)
            .into_iter()
            .filter(|part| matches!(self.formulas.get(*part), Formula::Properties(_)))
            .collect();
        let rules = self.formulas.all(rules);
        if let Some(known) = self.plain_keys.get(&(keys, rules)) {
            return known.clone();
        }
        let allowed = self.possible_keys(object, keys);
        self.plain_keys.insert((keys, rules), allowed.clone());
        allowed
    }

    pub(super) fn possible_keys(&mut self, object: u32, keys: u32) -> Outcomes {
        let tell = self.keys(keys).clone();
        let mut allowed = Outcomes::none(tell.outcomes());
        for outcome in 0..tell.outcomes() {
            if !self.possible_after_key(object, tell.key(outcome), None).is_empty() {
                allowed.insert(outcome);
            }
        }
        allowed
    }

    /// The lexeme of an object's keys. `None` where it cannot be made.
    pub(super) fn key_lexeme(&mut self, keys: u32, others: bool) -> Option<Arc<Lexeme>> {
        if let Some(known) = self.key_lexemes.get(&(keys, others)) {
            return known.clone();
        }
        let made = self.any_key(keys, others).and_then(|any| self.named_keys(keys, any.as_deref()));
        let lexeme = made.map_err(|error| self.trouble.get_or_insert(error.into())).ok();
        self.key_lexemes.insert((keys, others), lexeme.clone());
        lexeme
    }

    /// The lexeme of keys of any name, by the patterns that they match, if there are others than those named.
    fn any_key(&self, keys: u32, others: bool) -> Result<Option<Arc<Lexeme>>, ScalarError> {
        if !others {
            return Ok(None);
        }
        let keys = self.keys(keys);
        let lexeme = self.vocabulary.lexicon().get(&format!("keys {:?}", keys.patterns), || {
            Automaton::build(&JsonText(keys.any()), self.vocabulary.spellable(), &self.key_budget())
        });
        Ok(Some(lexeme?))
    }

    /// The lexeme of keys among which some are named.
    fn named_keys(&self, keys: u32, any: Option<&Lexeme>) -> Result<Arc<Lexeme>, ScalarError> {
        let keys = self.keys(keys);
        let definition = format!("keys {} {:?} {:?}", any.is_some(), keys.names, keys.patterns);
        let made = self.vocabulary.lexicon().get(&definition, || {
            let names: Vec<String> = keys.names.iter().map(|name| format!("\"{}\"", spelled(name))).collect();
            let words = names.iter().map(String::as_bytes).zip(0..);
            let any = any.map(|any| &any.automaton);
            Automaton::overlay(
                words,
                names.len() as u32,
                |_| false,
                any,
                self.vocabulary.spellable(),
                &self.key_budget(),
            )
        });
        Ok(made?)
    }

    /// Names may be many, and are the user's own.
    fn key_budget(&self) -> Budget {
        Budget { max_states: self.budget.max_states.saturating_mul(10), ..self.budget }
    }

    pub(super) fn key_choice(&mut self, object: u32) -> Option<Choice> {
        let allowed = self.keys_allowed(object)?;
        let keys = self.objects.get(object).keys;
        let names = self.keys(keys).names.len() as u32;
        let others = allowed.iter().any(|outcome| outcome >= names);
        let choice = Choice::new(&self.key_lexeme(keys, others)?).allowing(allowed);
        Some(if others { choice.captured() } else { choice })
    }

    /// The ways to read a first member or none.
    pub(super) fn after_open_object(&mut self, object: u32) -> Vec<Vec<Frame>> {
        let mut ways = Vec::new();
        if self.key_choice(object).is_some() {
            ways.push(vec![Frame::Key(object)]);
        }
        if self.object_may_end(self.objects.get(object).pending) {
            ways.push(vec![Frame::NoMember]);
        }
        ways
    }

    /// Ways to complete an object from its beginning.
    pub(super) fn first_members(&mut self, object: u32) -> Vec<TextThen<Frame>> {
        if self.object_may_end(self.objects.get(object).pending) {
            return vec![(b"{}".to_vec(), Vec::new())];
        }
        self.member_ways(object, b"{")
    }

    /// Ways to bring an object nearer to its end, by a member or by settling on an alternative: whatever
    /// the first unmet part of it needs, or any member where nothing is unmet but one is due.
    pub(super) fn member_ways(&mut self, object: u32, before: &[u8]) -> Vec<TextThen<Frame>> {
        let mut ways = Vec::new();
        self.add_member_ways(object, before, SETTLED, &mut ways);
        ways
    }

    /// Adds those ways, as far as there is room for them, after up to `settle` more alternatives.
    fn add_member_ways(
        &mut self,
        object: u32,
        before: &[u8],
        settle: usize,
        ways: &mut Vec<TextThen<Frame>>,
    ) {
        let state = self.objects.get(object).clone();
        let tell = self.keys(state.keys).clone();
        let unmet = self.first_unmet(state.pending);
        let unused = |index: usize| (!state.used.contains(index as u32)).then_some(Key::Named(index));
        let others = (tell.names.len() as u32..tell.outcomes()).map(|outcome| tell.key(outcome));
        let keys: Vec<Key> = match self.formulas.get(unmet.unwrap_or(ALWAYS)).clone() {
            Formula::Any(alternatives) => {
                let parts = self.formulas.parts(state.pending).into_iter();
                let rest: Vec<F> = parts.filter(|part| Some(*part) != unmet).collect();
                for alternative in alternatives.into_iter().filter(|_| settle > 0) {
                    if ways.len() >= WAYS {
                        break;
                    }
                    let pending = self.formulas.all(rest.iter().copied().chain([alternative]));
                    let settled = self.objects.id(Object { pending, ..state.clone() });
                    self.add_member_ways(settled, before, settle - 1, ways);
                }
                return;
            }
            Formula::Required(name) => {
                tell.names.iter().position(|known| *known == name).and_then(unused).into_iter().collect()
            }
            Formula::SomeProperty(rules) => {
                let named =
                    |(index, name): (usize, &Arc<str>)| rules.named.contains_key(name).then_some(index);
                let named = tell.names.iter().enumerate().filter_map(named).filter_map(unused);
                named.chain((0..tell.names.len()).filter_map(unused).take(HELPFUL)).chain(others).collect()
            }
            _ => (0..tell.names.len()).filter_map(unused).take(HELPFUL).chain(others).collect(),
        };
        for key in keys {
            let Some(text) = self.key_text(&state, key) else { continue };
            let unmet = unmet.map(|unmet| self.without(state.keys, unmet, key));
            for frames in self.after_key(object, key, Some(&text)) {
                let Some(Frame::Members(next)) = frames.last() else { continue };
                // A member that leaves the part as it was brings the end no nearer.
                let left = self.formulas.parts(self.objects.get(*next).pending);
                if unmet.is_none_or(|unmet| !left.contains(&unmet)) {
                    ways.push(([before, &text, b":"].concat(), frames[1..].to_vec()));
                }
            }
        }
    }

    /// A part of what is pending that keeps an object from ending; a required key before others.
    pub(super) fn first_unmet(&self, pending: F) -> Option<F> {
        let parts = self.formulas.parts(pending);
        let mut unmet = parts.into_iter().filter(|part| !self.object_may_end(*part)).peekable();
        let first = unmet.peek().copied();
        unmet.find(|part| matches!(self.formulas.get(*part), Formula::Required(_))).or(first)
    }

    /// Whether there are only so many other keys of a kind.
    pub(super) fn has_few_keys(&mut self, keys: u32, outcome: u32) -> bool {
        if let Some(known) = self.few_keys.get(&(keys, outcome)) {
            return *known;
        }
        let few = self.key_lexeme(keys, true).is_none_or(|lexeme| lexeme.automaton.is_finite(outcome));
        self.few_keys.insert((keys, outcome), few);
        few
    }

    /// A key as it is spelled, and not one that was read.
    fn key_text(&mut self, object: &Object, key: Key) -> Option<Vec<u8>> {
        let tell = self.keys(object.keys).clone();
        if let Key::Named(name) = key {
            return Some(format!("\"{}\"", spelled(&tell.names[name])).into_bytes());
        }
        let lexeme = self.key_lexeme(object.keys, true)?;
        let only = Outcomes::only(tell.outcomes(), Some(tell.outcome(key)));
        let mut texts = lexeme.texts(START, Some(&only)).map(|(text, _)| text);
        texts.find(|text| !object.others.contains(text))
    }
}
