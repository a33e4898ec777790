//! What is due within an object, and what a key changes about it.

use std::sync::Arc;

use super::formula::{ALWAYS, F, Formula, NEVER, Rules};
use super::keys::Key;
use super::language::Json;
use super::taken::Taken;
use crate::lexeme::Outcomes;

/// An object of which some members have been read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Object {
    /// Which [`Keys`](super::keys::Keys) tell its keys apart.
    pub(super) keys: u32,
    /// What the members to come have to satisfy, with those read.
    pub(super) pending: F,
    /// Names that have been read.
    pub(super) used: Outcomes,
    /// Other keys that have been read.
    pub(super) others: Taken,
}

impl Json {
    /// What a member with this key makes due: of its value, and of the members after it. Any of the
    /// ways will do.
    pub(super) fn read_key(&mut self, keys: u32, pending: F, key: Key) -> Vec<(F, F)> {
        let parts = self.formulas.parts(pending).into_iter();
        // Most parts say nothing of a key, and stay.
        let (speaking, silent): (Vec<F>, Vec<F>) = parts.partition(|part| self.mentions(keys, *part, key));
        if speaking.is_empty() {
            return vec![(ALWAYS, pending)];
        }
        let ways = self.ways_of_parts(speaking, |json, part| json.read_key_of_part(keys, part, key));
        let with_silent = |(value, rest)| (value, self.formulas.all(silent.iter().copied().chain([rest])));
        ways.into_iter().map(with_silent).collect()
    }

    fn read_key_of_part(&mut self, keys: u32, part: F, key: Key) -> Vec<(F, F)> {
        let formula = self.formulas.get(part).clone();
        let stays = (ALWAYS, part);
        match formula {
            Formula::Properties(_) => vec![(self.value_of(keys, part, key), part)],
            Formula::SomeProperty(_) => {
                vec![(ALWAYS, self.without(keys, part, key)), (self.value_of(keys, part, key), ALWAYS)]
            }
            Formula::Required(name) if self.keys(keys).is(key, &name) => vec![(ALWAYS, ALWAYS)],
            Formula::Forbidden(name) if self.keys(keys).is(key, &name) => Vec::new(),
            Formula::Required(_) | Formula::Forbidden(_) => vec![stays],
            Formula::MinProperties(count) => {
                vec![(ALWAYS, self.formulas.add(Formula::MinProperties(count.saturating_sub(1))))]
            }
            Formula::MaxProperties(0) => Vec::new(),
            Formula::MaxProperties(count) => {
                vec![(ALWAYS, self.formulas.add(Formula::MaxProperties(count - 1)))]
            }
            Formula::Names(name) if self.name_satisfies(keys, key, name) => vec![stays],
            Formula::Names(_) => Vec::new(),
            Formula::SomeName(name) if self.name_satisfies(keys, key, name) => vec![(ALWAYS, ALWAYS)],
            Formula::SomeName(_) => vec![stays],
            Formula::Any(parts) => self.read_key_of_any(keys, &parts, key),
            Formula::All(_) => self.read_key(keys, part, key),
            _ => vec![stays],
        }
    }

    /// What is left of [`Formula::SomeProperty`] once a key has not done, which never comes again: where only
    /// named ones would do, one less. Any other part stays.
    pub(super) fn without(&mut self, keys: u32, part: F, key: Key) -> F {
        let (Formula::SomeProperty(rules), Key::Named(index)) = (self.formulas.get(part), key) else {
            return part;
        };
        let name = &self.keys(keys).names[index];
        if rules.other != NEVER || !rules.patterns.is_empty() || !rules.named.contains_key(name) {
            return part;
        }
        let mut left = Rules::clone(rules);
        left.named.remove(name);
        match left.named.values().all(|one| *one == NEVER) {
            true => NEVER,
            false => self.formulas.add(Formula::SomeProperty(Arc::new(left))),
        }
    }

    /// Alternatives that make the same due of the value stay together until a key comes that tells them apart:
    /// any of what they leave will do. Those that say nothing of this key are among them.
    fn read_key_of_any(&mut self, keys: u32, alternatives: &[F], key: Key) -> Vec<(F, F)> {
        let mut by_value: Vec<(F, Vec<F>)> = Vec::new();
        for alternative in alternatives {
            for (value, rest) in self.read_key(keys, *alternative, key) {
                if (value, rest) == (ALWAYS, ALWAYS) {
                    return vec![(ALWAYS, ALWAYS)];
                }
                match by_value.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, rests)) => rests.push(rest),
                    None => by_value.push((value, vec![rest])),
                }
            }
        }
        by_value.into_iter().map(|(value, rests)| (value, self.formulas.any(rests))).collect()
    }

    fn mentions(&mut self, keys: u32, formula: F, key: Key) -> bool {
        let outcome = self.keys(keys).outcome(key);
        self.mentioned(keys, formula).contains(outcome)
    }

    /// The keys that a formula says something of, by their outcomes.
    fn mentioned(&mut self, keys: u32, formula: F) -> Arc<Outcomes> {
        if let Some(known) = self.mentioned.get(&(keys, formula)) {
            return known.clone();
        }
        let tell = self.keys(keys).clone();
        let count = tell.outcomes();
        let said = self.formulas.get(formula).clone();
        let mut mentioned = Outcomes::none(count);
        match said {
            Formula::Always | Formula::Never => {}
            Formula::All(parts) | Formula::Any(parts) => parts.iter().for_each(|part| {
                mentioned.add(&self.mentioned(keys, *part));
            }),
            Formula::Properties(_) | Formula::SomeProperty(_) => {
                let nothing = if matches!(said, Formula::Properties(_)) { ALWAYS } else { NEVER };
                (0..count)
                    .filter(|outcome| self.value_of(keys, formula, tell.key(*outcome)) != nothing)
                    .for_each(|outcome| mentioned.insert(outcome));
            }
            Formula::Required(name) | Formula::Forbidden(name) => {
                mentioned = Outcomes::only(count, tell.named(&name));
            }
            _ => mentioned = Outcomes::all(count),
        }
        let mentioned = Arc::new(mentioned);
        self.mentioned.insert((keys, formula), mentioned.clone());
        mentioned
    }

    /// What [`Formula::Properties`] or [`Formula::SomeProperty`] says of the value of a key.
    fn value_of(&mut self, keys: u32, part: F, key: Key) -> F {
        let (rules, some) = match self.formulas.get(part) {
            Formula::Properties(rules) => (rules.clone(), false),
            Formula::SomeProperty(rules) => (rules.clone(), true),
            _ => return ALWAYS,
        };
        let keys = self.keys(keys);
        let mut said = Vec::new();
        if let Key::Named(index) = key {
            said.extend(rules.named.get(&keys.names[index]).copied());
        }
        said.extend(
            rules.patterns.iter().filter(|(pattern, _)| keys.matches(key, pattern)).map(|(_, one)| *one),
        );
        if said.is_empty() {
            said.push(rules.other);
        }
        if some { self.formulas.any(said) } else { self.formulas.all(said) }
    }

    fn name_satisfies(&mut self, keys: u32, key: Key, formula: F) -> bool {
        let texts = self.document.of_kind(&mut self.formulas, formula, super::formula::Kind::Text);
        let keys = self.keys(keys).clone();
        texts.is_ok_and(|texts| keys.satisfies(&self.formulas, key, texts))
    }

    /// Whether an object may end.
    pub(super) fn object_may_end(&self, pending: F) -> bool {
        match self.formulas.get(pending) {
            Formula::Never
            | Formula::Required(_)
            | Formula::SomeProperty(_)
            | Formula::SomeName(_)
            | Formula::MinProperties(_) => false,
            Formula::All(parts) => parts.iter().all(|part| self.object_may_end(*part)),
            Formula::Any(parts) => parts.iter().any(|part| self.object_may_end(*part)),
            _ => true,
        }
    }

    /// Whether every key is as good as another as long as its value can be: nothing but rules for
    /// values and keys that are required.
    pub(super) fn is_plain(&self, pending: F) -> bool {
        match self.formulas.get(pending) {
            Formula::Always | Formula::Properties(_) | Formula::Required(_) => true,
            Formula::All(parts) => parts.iter().all(|part| self.is_plain(*part)),
            _ => false,
        }
    }
}
