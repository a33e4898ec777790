//! What a schema says of a value, as formulas in negation normal form.
//!
//! A formula about one kind of value (a text's length, an object's keys) holds of every value of
//! another kind, as JSON Schema has it; its negation therefore also names the kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;

use super::SchemaError;
use super::scalar::{NumberTest, TextTest};
use super::schema::NodeId;

/// A formula's number.
pub(super) type F = u32;

pub(super) const ALWAYS: F = 0;
pub(super) const NEVER: F = 1;

/// The kinds of JSON values, `true` and `false` apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    Null,
    True,
    False,
    Number,
    Text,
    Array,
    Object,
}

/// Shortest values first.
pub(super) const KINDS: [Kind; 7] =
    [Kind::Number, Kind::Text, Kind::Array, Kind::Object, Kind::Null, Kind::True, Kind::False];

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KindSet(u8);

impl KindSet {
    pub(super) const ALL: Self = Self(0x7F);

    pub(super) fn of(kinds: &[Kind]) -> Self {
        Self(kinds.iter().fold(0, |set, kind| set | 1 << *kind as u8))
    }

    pub(super) fn contains(self, kind: Kind) -> bool {
        self.0 >> kind as u8 & 1 == 1
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn others(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What the value of each key has to satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rules {
    pub(super) named: BTreeMap<Arc<str>, F>,
    /// Expressions searched for in keys.
    pub(super) patterns: Vec<(Arc<str>, F)>,
    /// Of keys that none of the others speaks of.
    pub(super) other: F,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Formula {
    Always,
    Never,
    All(Vec<F>),
    Any(Vec<F>),
    /// What the schema at a place says, or its negation. Looked up when it is needed, so schemas may
    /// be recursive.
    Schema(NodeId, bool),
    Kinds(KindSet),
    Text(TextTest, bool),
    Number(NumberTest, bool),
    /// The items, the first ones each by its own formula.
    Items(Arc<[F]>, F),
    /// Some item satisfies the formula that belongs to its place.
    SomeItem(Arc<[F]>, F),
    MinItems(u64),
    MaxItems(u64),
    /// So many items satisfy a formula.
    Contains(F, u64, u64),
    UniqueItems,
    /// Every property's value satisfies all rules that speak of its key.
    Properties(Arc<Rules>),
    /// Some property's value satisfies one of the rules that speak of its key.
    SomeProperty(Arc<Rules>),
    Required(Arc<str>),
    Forbidden(Arc<str>),
    MinProperties(u64),
    MaxProperties(u64),
    /// Every key, as a text, satisfies a formula.
    Names(F),
    /// Some key does.
    SomeName(F),
}

/// Formulas, each kept once.
#[derive(Debug)]
pub(super) struct Formulas {
    values: Vec<Formula>,
    numbers: HashMap<Formula, F>,
}

impl Default for Formulas {
    fn default() -> Self {
        let values = vec![Formula::Always, Formula::Never];
        let numbers = values.iter().cloned().zip(0..).collect();
        Self { values, numbers }
    }
}

impl Formulas {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn get(&self, formula: F) -> &Formula {
        &self.values[formula as usize]
    }

    pub(super) fn add(&mut self, formula: Formula) -> F {
        let formula = match formula {
            Formula::Kinds(KindSet::ALL) | Formula::MinItems(0) | Formula::MinProperties(0) => {
                Formula::Always
            }
            Formula::Kinds(kinds) if kinds.is_empty() => Formula::Never,
            Formula::Items(first, ALWAYS) if first.iter().all(|item| *item == ALWAYS) => Formula::Always,
            Formula::Contains(_, 0, u64::MAX) | Formula::Names(ALWAYS) => Formula::Always,
            Formula::Contains(_, fewest, most) if fewest > most => Formula::Never,
            Formula::Properties(rules)
                if rules.other == ALWAYS
                    && rules.named.values().all(|one| *one == ALWAYS)
                    && rules.patterns.iter().all(|(_, one)| *one == ALWAYS) =>
            {
                Formula::Always
            }
            other => other,
        };
        if let Some(known) = self.numbers.get(&formula) {
            return *known;
        }
        let number = self.values.len() as F;
        self.values.push(formula.clone());
        self.numbers.insert(formula, number);
        number
    }

    /// All of some formulas: flat, sorted, without repetition.
    pub(super) fn all(&mut self, formulas: impl IntoIterator<Item = F>) -> F {
        let mut flat = Vec::new();
        for one in formulas {
            match self.get(one) {
                Formula::Always => {}
                Formula::Never => return NEVER,
                Formula::All(parts) => flat.extend_from_slice(parts),
                _ => flat.push(one),
            }
        }
        flat.sort_unstable();
        flat.dedup();
        match flat[..] {
            [] => ALWAYS,
            [one] => one,
            _ => self.add(Formula::All(flat)),
        }
    }

    /// Any of some formulas, likewise.
    pub(super) fn any(&mut self, formulas: impl IntoIterator<Item = F>) -> F {
        let mut flat = Vec::new();
        let mut kinds: Option<KindSet> = None;
        for one in formulas {
            match self.get(one) {
                Formula::Never => {}
                Formula::Always => return ALWAYS,
                Formula::Any(parts) => flat.extend_from_slice(parts),
                Formula::Kinds(more) => kinds = Some(kinds.map_or(*more, |kinds| kinds.or(*more))),
                _ => flat.push(one),
            }
        }
        if let Some(kinds) = kinds {
            let kinds = self.add(Formula::Kinds(kinds));
            if kinds == ALWAYS {
                return ALWAYS;
            }
            flat.push(kinds);
        }
        flat.sort_unstable();
        flat.dedup();
        match flat[..] {
            [] => NEVER,
            [one] => one,
            _ => self.add(Formula::Any(flat)),
        }
    }

    pub(super) fn kinds(&mut self, kinds: &[Kind]) -> F {
        self.add(Formula::Kinds(KindSet::of(kinds)))
    }

    /// The parts of a conjunction.
    pub(super) fn parts(&self, formula: F) -> Vec<F> {
        match self.get(formula) {
            Formula::Always => Vec::new(),
            Formula::All(parts) => parts.clone(),
            _ => vec![formula],
        }
    }

    /// The negation of a formula.
    ///
    /// # Errors
    /// What has none here, by its keyword.
    pub(super) fn not(&mut self, formula: F) -> Result<F, SchemaError> {
        let negated = match self.get(formula).clone() {
            Formula::Always => return Ok(NEVER),
            Formula::Never => return Ok(ALWAYS),
            Formula::All(parts) => {
                let parts = parts.into_iter().map(|part| self.not(part)).collect::<Result<Vec<_>, _>>()?;
                return Ok(self.any(parts));
            }
            Formula::Any(parts) => {
                let parts = parts.into_iter().map(|part| self.not(part)).collect::<Result<Vec<_>, _>>()?;
                return Ok(self.all(parts));
            }
            Formula::Schema(node, positive) => return Ok(self.add(Formula::Schema(node, !positive))),
            Formula::Kinds(kinds) => return Ok(self.add(Formula::Kinds(kinds.others()))),
            Formula::Text(test, positive) => (Kind::Text, Formula::Text(test, !positive)),
            Formula::Number(test, positive) => (Kind::Number, Formula::Number(test, !positive)),
            Formula::Items(first, rest) => {
                let first = first.iter().map(|one| self.not(*one)).collect::<Result<Arc<[F]>, _>>()?;
                let rest = self.not(rest)?;
                (Kind::Array, Formula::SomeItem(first, rest))
            }
            Formula::SomeItem(first, rest) => {
                let first = first.iter().map(|one| self.not(*one)).collect::<Result<Arc<[F]>, _>>()?;
                let rest = self.not(rest)?;
                (Kind::Array, Formula::Items(first, rest))
            }
            Formula::MinItems(0) | Formula::MinProperties(0) => return Ok(NEVER),
            Formula::MinItems(count) => (Kind::Array, Formula::MaxItems(count - 1)),
            Formula::MaxItems(count) => (Kind::Array, Formula::MinItems(count.saturating_add(1))),
            Formula::Contains(item, fewest, most) => {
                let fewer = match fewest {
                    0 => NEVER,
                    fewest => self.add(Formula::Contains(item, 0, fewest - 1)),
                };
                let more = match most {
                    u64::MAX => NEVER,
                    most => self.add(Formula::Contains(item, most + 1, u64::MAX)),
                };
                let outside = self.any([fewer, more]);
                let array = self.kinds(&[Kind::Array]);
                return Ok(self.all([array, outside]));
            }
            Formula::UniqueItems => return Err(SchemaError::unsupported("uniqueItems", "under `not`")),
            Formula::Properties(rules) => {
                let rules = self.negated_rules(&rules)?;
                (Kind::Object, Formula::SomeProperty(Arc::new(rules)))
            }
            Formula::SomeProperty(rules) => {
                let rules = self.negated_rules(&rules)?;
                (Kind::Object, Formula::Properties(Arc::new(rules)))
            }
            Formula::Required(key) => (Kind::Object, Formula::Forbidden(key)),
            Formula::Forbidden(key) => (Kind::Object, Formula::Required(key)),
            Formula::MinProperties(count) => (Kind::Object, Formula::MaxProperties(count - 1)),
            Formula::MaxProperties(count) => (Kind::Object, Formula::MinProperties(count.saturating_add(1))),
            Formula::Names(name) => (Kind::Object, Formula::SomeName(self.not(name)?)),
            Formula::SomeName(name) => (Kind::Object, Formula::Names(self.not(name)?)),
        };
        let kind = self.kinds(&[negated.0]);
        let negated = self.add(negated.1);
        Ok(self.all([kind, negated]))
    }

    fn negated_rules(&mut self, rules: &Rules) -> Result<Rules, SchemaError> {
        let mut negate = |formula: F| self.not(formula);
        Ok(Rules {
            named: rules
                .named
                .iter()
                .map(|(key, one)| Ok((key.clone(), negate(*one)?)))
                .collect::<Result<_, SchemaError>>()?,
            patterns: rules
                .patterns
                .iter()
                .map(|(pattern, one)| Ok((pattern.clone(), negate(*one)?)))
                .collect::<Result<_, SchemaError>>()?,
            other: negate(rules.other)?,
        })
    }
}
