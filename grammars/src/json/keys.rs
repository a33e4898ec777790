//! The keys of an object: those that its schema names, and all others by the patterns they match.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::SchemaError;
use super::formula::{F, Formula, Formulas, Kind};
use super::scalar::{PatternSource, ScalarError, TextTest};
use super::schema::Document;
use crate::Budget;
use crate::lexeme::{Source, Utf8};

/// A key, as far as schemas can tell it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// One of [`Keys::names`].
    Named(usize),
    /// Any other, by the patterns that it matches.
    Other(u32),
}

/// What is said about keys where an object begins.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) names: Vec<Arc<str>>,
    pub(super) patterns: Vec<Arc<str>>,
    sources: Vec<Arc<PatternSource>>,
    /// The patterns that each name matches.
    matched: Vec<u32>,
}

/// Names and patterns that a formula about objects mentions.
pub(super) type Mentioned = (Vec<Arc<str>>, Vec<Arc<str>>);

/// Most patterns that one object's keys are told apart by: each doubles the kinds of keys.
const PATTERNS: usize = 8;

/// Most names that one object's keys are told apart by: each state of their lexeme knows which of
/// them can still be read.
const NAMES: usize = 2_000;

/// Most required names of one object: what is left of them is kept for every set of names read.
const REQUIRED: usize = 256;

impl Keys {
    /// Gathers the names and patterns that a formula about objects mentions.
    pub(super) fn mentioned(
        document: &mut Document,
        formulas: &mut Formulas,
        formula: F,
    ) -> Result<Mentioned, SchemaError> {
        let (mut names, mut patterns) = (BTreeSet::new(), BTreeSet::new());
        let mut todo = vec![formula];
        while let Some(formula) = todo.pop() {
            match formulas.get(formula).clone() {
                Formula::All(parts) | Formula::Any(parts) => todo.extend(parts),
                Formula::Properties(rules) | Formula::SomeProperty(rules) => {
                    names.extend(rules.named.keys().cloned());
                    patterns.extend(rules.patterns.iter().map(|(pattern, _)| pattern.clone()));
                }
                Formula::Required(key) | Formula::Forbidden(key) => {
                    names.insert(key);
                }
                Formula::Names(name) | Formula::SomeName(name) => {
                    todo.push(document.of_kind(formulas, name, Kind::Text)?);
                }
                Formula::Text(TextTest::Equals(text), _) => {
                    names.insert(text.into());
                }
                Formula::Text(test, _) => {
                    patterns.insert(as_pattern(&test)?);
                }
                _ => {}
            }
        }
        let (names, patterns): (Vec<_>, Vec<_>) =
            (names.into_iter().collect(), patterns.into_iter().collect());
        if patterns.len() > PATTERNS {
            let why = format!("where more than {PATTERNS} patterns apply to one object's keys");
            return Err(SchemaError::unsupported("patternProperties", why));
        }
        let required = |part: &F| matches!(formulas.get(*part), Formula::Required(_));
        if formulas.parts(formula).iter().filter(|part| required(part)).count() > REQUIRED {
            let why = format!("with more than {REQUIRED} names in one object");
            return Err(SchemaError::unsupported("required", why));
        }
        if names.len() > NAMES {
            return Err(SchemaError::unsupported(
                "properties",
                format!("with more than {NAMES} names in one object"),
            ));
        }
        Ok((names, patterns))
    }

    pub(super) fn new((names, patterns): Mentioned, budget: &Budget) -> Result<Self, ScalarError> {
        let (mut sources, mut matched) = (Vec::new(), vec![0; names.len()]);
        for (index, pattern) in patterns.iter().enumerate() {
            let source = PatternSource::new(pattern, budget)?;
            for (name, matched) in names.iter().zip(&mut matched) {
                *matched |= u32::from(source.matches(name)) << index;
            }
            sources.push(Arc::new(source));
        }
        Ok(Self { names, patterns, sources, matched })
    }

    pub(super) fn is(&self, key: Key, name: &str) -> bool {
        matches!(key, Key::Named(index) if &*self.names[index] == name)
    }

    /// The outcome of a name, which are in order.
    pub(super) fn named(&self, name: &str) -> Option<u32> {
        self.names.binary_search_by(|known| (**known).cmp(name)).ok().map(|index| index as u32)
    }

    pub(super) fn matches(&self, key: Key, pattern: &str) -> bool {
        let matched = match key {
            Key::Named(index) => self.matched[index],
            Key::Other(matched) => matched,
        };
        let index = self.patterns.iter().position(|known| &**known == pattern);
        index.is_some_and(|index| matched >> index & 1 == 1)
    }

    /// The number of a key among the outcomes of keys: names, then sets of patterns.
    pub(super) fn outcome(&self, key: Key) -> u32 {
        match key {
            Key::Named(index) => index as u32,
            Key::Other(matched) => self.names.len() as u32 + matched,
        }
    }

    pub(super) fn key(&self, outcome: u32) -> Key {
        match (outcome as usize).checked_sub(self.names.len()) {
            None => Key::Named(outcome as usize),
            Some(matched) => Key::Other(matched as u32),
        }
    }

    pub(super) fn outcomes(&self) -> u32 {
        self.names.len() as u32 + (1 << self.patterns.len())
    }

    /// Whether a text satisfies a formula about texts, where only names and patterns decide.
    pub(super) fn satisfies(&self, formulas: &Formulas, key: Key, formula: F) -> bool {
        match formulas.get(formula) {
            Formula::Always => true,
            Formula::All(parts) => parts.iter().all(|part| self.satisfies(formulas, key, *part)),
            Formula::Any(parts) => parts.iter().any(|part| self.satisfies(formulas, key, *part)),
            Formula::Text(TextTest::Equals(text), positive) => self.is(key, text) == *positive,
            Formula::Text(test, positive) => {
                as_pattern(test).is_ok_and(|pattern| self.matches(key, &pattern) == *positive)
            }
            _ => false,
        }
    }

    /// The text of keys of any name, decoded; their outcome is which patterns they match.
    pub(super) fn any(&self) -> AnyKey {
        AnyKey { patterns: self.sources.clone() }
    }
}

/// A test of a text as an expression that is searched for.
fn as_pattern(test: &TextTest) -> Result<Arc<str>, SchemaError> {
    Ok(match test {
        TextTest::Pattern(pattern) => pattern.as_str().into(),
        TextTest::MinLength(count) if *count <= 256 => format!("^[\\s\\S]{{{count},}}$").into(),
        TextTest::MaxLength(count) if *count <= 256 => format!("^[\\s\\S]{{0,{count}}}$").into(),
        TextTest::MinLength(_) | TextTest::MaxLength(_) => {
            return Err(SchemaError::unsupported("propertyNames", "with a length above 256"));
        }
        TextTest::Format(format) => {
            return Err(SchemaError::unsupported("propertyNames", format!("with the format {format:?}")));
        }
        TextTest::Equals(text) => {
            return Err(SchemaError::unsupported("propertyNames", format!("with {text:?}")));
        }
    })
}

/// Keys of any name as a source of decoded text.
#[derive(Debug)]
pub(super) struct AnyKey {
    patterns: Vec<Arc<PatternSource>>,
}

/// Where in UTF-8 and in each pattern a text is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct KeyPlace {
    utf8: Utf8,
    patterns: Box<[<PatternSource as Source>::State]>,
}

impl Source for AnyKey {
    type State = KeyPlace;

    fn start(&self) -> KeyPlace {
        KeyPlace {
            utf8: Utf8::START,
            patterns: self.patterns.iter().map(|pattern| pattern.start()).collect(),
        }
    }

    fn step(&self, place: &KeyPlace, byte: u8) -> Option<KeyPlace> {
        let utf8 = place.utf8.step(byte)?;
        let patterns = self.patterns.iter().zip(&place.patterns);
        let patterns = patterns.map(|(pattern, state)| pattern.step(state, byte)).collect::<Option<_>>()?;
        Some(KeyPlace { utf8, patterns })
    }

    fn ending(&self, place: &KeyPlace) -> Option<u32> {
        if place.utf8 != Utf8::START {
            return None;
        }
        let matches = |(pattern, state): (&Arc<PatternSource>, &_)| pattern.ending(state).is_some();
        let matched = self.patterns.iter().zip(&place.patterns).map(matches).enumerate();
        Some(matched.fold(0, |set, (index, matches)| set | u32::from(matches) << index))
    }
}
