//! What is due within an object, and what a key changes about it.

use super::formula::{ALWAYS, F, Formula, NEVER};
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
        let parts = self.formulas.parts(pending);
        self.ways_of_parts(parts, |json, part| json.read_key_of_part(keys, part, key))
    }

    fn read_key_of_part(&mut self, keys: u32, part: F, key: Key) -> Vec<(F, F)> {
        let formula = self.formulas.get(part).clone();
        let stays = (ALWAYS, part);
        match formula {
            Formula::Properties(_) => vec![(self.value_of(keys, part, key), part)],
            Formula::SomeProperty(_) => vec![stays, (self.value_of(keys, part, key), ALWAYS)],
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

    /// An alternative that says something of this key is taken now or never; the others stay
    /// together until a key comes that they speak of.
    fn read_key_of_any(&mut self, keys: u32, alternatives: &[F], key: Key) -> Vec<(F, F)> {
        let (mut ways, mut silent) = (Vec::new(), Vec::new());
        for alternative in alternatives {
            if self.mentions(keys, *alternative, key) {
                ways.extend(self.read_key(keys, *alternative, key));
            } else {
                silent.push(*alternative);
            }
        }
        if ways.contains(&(ALWAYS, ALWAYS)) {
            return vec![(ALWAYS, ALWAYS)];
        }
        if !silent.is_empty() {
            ways.push((ALWAYS, self.formulas.any(silent)));
        }
        ways
    }

    fn mentions(&mut self, keys: u32, formula: F, key: Key) -> bool {
        match self.formulas.get(formula).clone() {
            Formula::Always | Formula::Never => false,
            Formula::All(parts) | Formula::Any(parts) => {
                parts.iter().any(|part| self.mentions(keys, *part, key))
            }
            Formula::Properties(_) => self.value_of(keys, formula, key) != ALWAYS,
            Formula::SomeProperty(_) => self.value_of(keys, formula, key) != NEVER,
            Formula::Required(name) | Formula::Forbidden(name) => self.keys(keys).is(key, &name),
            _ => true,
        }
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
