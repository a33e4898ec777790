//! The lexemes of a schema's statements.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dialect::{Dialect, Function};
use super::identifier::{Identifier, QuotedText};
use super::phrase::Phrases;
use super::schema::{Schema, Spelled};
use super::scope::Name;
use super::words;
use crate::lexeme::{Automaton, Lexeme, Regular};
use crate::{Budget, GrammarError, Vocabulary};

/// Highest position of a column that ORDER BY may name by its number.
pub(super) const ORDINALS: u16 = 99;

pub(super) struct Lexemes {
    pub(super) joints: Arc<Lexeme>,
    pub(super) openers: Arc<Lexeme>,
    pub(super) types: Arc<Lexeme>,
    pub(super) columns: Arc<Lexeme>,
    pub(super) tables: Arc<Lexeme>,
    pub(super) qualifiers: Arc<Lexeme>,
    pub(super) derived: Arc<Lexeme>,
    pub(super) number: Arc<Lexeme>,
    pub(super) unsigned: Arc<Lexeme>,
    pub(super) count: Arc<Lexeme>,
    pub(super) ordinals: Arc<Lexeme>,
    pub(super) string: Arc<Lexeme>,
    /// A string in double quotes that no column of the schema is named as.
    pub(super) double: Arc<Lexeme>,
    /// White space before an alias without AS.
    pub(super) blank: Arc<Lexeme>,
    /// New names: of columns, of tables and common tables, of tables before FROM.
    pub(super) alias: Arc<Lexeme>,
    pub(super) label: Arc<Lexeme>,
    pub(super) new_qualifier: Arc<Lexeme>,
    /// As many tokens as a name before FROM has at most, which FROM then has to repeat: in place of one
    /// that is not known.
    pub(super) unknown_label: Vec<u8>,
    reserved: BTreeSet<String>,
    dialect: Dialect,
    vocabulary: Arc<Vocabulary>,
    budget: Budget,
}

/// Most bytes of a table's alias.
pub(super) const LABEL: usize = 32;

/// How a made-up name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Bare,
    Qualifier,
}

impl Lexemes {
    pub(super) fn new(
        schema: &Schema,
        dialect: Dialect,
        functions: &[Function],
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let reserved = dialect.reserved();
        let of_dialect = |what: &str, phrases: &dyn Fn() -> Phrases| {
            let key = format!("sql {what} {}", dialect.name());
            vocabulary.lexicon().get(&key, || Automaton::build(&phrases(), vocabulary.spellable(), budget))
        };
        let regular = |what: &str, expression: &str| {
            let key = format!("sql {what}");
            let make =
                || Automaton::build(&Regular::new(expression, budget)?, vocabulary.spellable(), budget);
            vocabulary.lexicon().get(&key, make)
        };
        let own = |phrases: &Phrases| {
            Ok::<_, GrammarError>(Lexeme::new(Automaton::build(phrases, vocabulary.spellable(), budget)?))
        };
        let identifier = |source: Identifier<'_>| {
            Ok::<_, GrammarError>(Lexeme::new(Automaton::build(&source, vocabulary.spellable(), budget)?))
        };
        let types = || {
            let mut phrases = Phrases::default();
            for (index, name) in dialect.types().iter().enumerate() {
                phrases.add(&format!("{name}~)"), index as u32);
            }
            phrases
        };
        let ordinals = || {
            let mut phrases = Phrases::default();
            (1..=ORDINALS).for_each(|number| phrases.add(&number.to_string(), u32::from(number)));
            phrases
        };
        let derived = || {
            let mut phrases = Phrases::default();
            phrases.add("(~select ", 0);
            phrases
        };
        let (mut columns, mut tables, mut qualifiers) =
            (Phrases::default(), Phrases::default(), Phrases::default());
        for (number, name) in schema.columns.iter().enumerate() {
            spell(&mut columns, name, "", number as u32, dialect, &reserved);
        }
        for (number, table) in schema.tables.iter().enumerate() {
            spell(&mut tables, &table.name, "", number as u32, dialect, &reserved);
            spell(&mut qualifiers, &table.name, ".", number as u32, dialect, &reserved);
        }
        // An alias that is a table's name would make it unclear which of them a qualifier means.
        let mut not_labels = reserved.clone();
        not_labels.extend(schema.tables.iter().map(|table| table.name.text.to_ascii_lowercase()));
        let mut not_strings = BTreeSet::new();
        not_strings.extend(schema.columns.iter().map(|column| column.text.to_ascii_lowercase()));
        not_strings.extend(["rowid", "oid", "_rowid_", "true", "false"].map(str::to_owned));
        let bare = |except| Identifier { except, most: usize::MAX, dotted: false, quote: None };
        let quote = if dialect == Dialect::Mysql { b'`' } else { b'"' };
        let string = match dialect {
            Dialect::Mysql => r"'(?:[^'\\\x00-\x1f\x7f]|'')*'",
            _ => r"'(?:[^'\x00-\x1f\x7f]|'')*'",
        };
        Ok(Self {
            joints: of_dialect("joints", &|| words::joints(dialect))?,
            openers: of_dialect("openers", &|| words::openers(functions))?,
            types: of_dialect("types", &types)?,
            columns: own(&columns)?,
            tables: own(&tables)?,
            qualifiers: own(&qualifiers)?,
            derived: of_dialect("derived", &derived)?,
            number: regular("number", r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")?,
            unsigned: regular("unsigned", r"[0-9]{1,15}(?:\.[0-9]{1,15})?")?,
            count: regular("count", r"[0-9]{1,9}")?,
            ordinals: of_dialect("ordinals", &ordinals)?,
            string: regular(&format!("string {string}"), string)?,
            double: Lexeme::new(Automaton::build(
                &QuotedText { except: &not_strings },
                vocabulary.spellable(),
                budget,
            )?),
            alias: identifier(Identifier { quote: Some(quote), ..bare(&reserved) })?,
            label: identifier(Identifier { most: LABEL, ..bare(&not_labels) })?,
            blank: regular("blank", r"[ \t\r\n]+")?,
            new_qualifier: identifier(Identifier { dotted: true, most: LABEL, ..bare(&not_labels) })?,
            unknown_label: longest_label(vocabulary),
            reserved,
            dialect,
            vocabulary: vocabulary.clone(),
            budget: *budget,
        })
    }

    /// A name of the schema, as short as it can be written.
    pub(super) fn bare(&self, name: &Spelled) -> Vec<u8> {
        let text = &name.text;
        if is_bare(name, &self.reserved) {
            return text.clone().into_bytes();
        }
        let (open, close) = self.dialect.quotes()[0];
        format!("{open}{text}{close}").into_bytes()
    }

    /// A name that the text made up, by its key.
    pub(super) fn made_up(&self, key: &str) -> Vec<u8> {
        self.bare(&self.spelled(key))
    }

    fn spelled(&self, key: &str) -> Spelled {
        Spelled { text: key.to_owned(), exact: self.dialect.folds() && key.to_ascii_lowercase() != *key }
    }

    /// Some made-up names as one lexeme; its outcomes are their places in the list.
    pub(super) fn texts(&self, names: &[Name], form: Form) -> Option<Arc<Lexeme>> {
        if names.is_empty() {
            return None;
        }
        let after = if form == Form::Qualifier { "." } else { "" };
        let mut key = format!("sql names {} {form:?}", self.dialect.name());
        let mut phrases = Phrases::default();
        for (number, name) in names.iter().enumerate() {
            let Name::Text(text) = name else { continue };
            key.push('\0');
            key.push_str(text);
            spell(&mut phrases, &self.spelled(text), after, number as u32, self.dialect, &self.reserved);
        }
        let make = || Automaton::build(&phrases, self.vocabulary.spellable(), &self.budget);
        self.vocabulary.lexicon().get(&key, make).ok()
    }
}

/// A name's spellings: bare where it can be, and in each kind of quotes.
fn spell(
    phrases: &mut Phrases,
    name: &Spelled,
    after: &str,
    outcome: u32,
    dialect: Dialect,
    reserved: &BTreeSet<String>,
) {
    let text = &name.text;
    if is_bare(name, reserved) {
        phrases.add_name("", text, true, after, outcome);
    }
    for (open, close) in dialect.quotes() {
        phrases.add_name(&open.to_string(), text, !dialect.folds(), &format!("{close}{after}"), outcome);
    }
}

/// Whether a name needs no quotes.
fn is_bare(name: &Spelled, reserved: &BTreeSet<String>) -> bool {
    let text = &name.text;
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii());
    let regular = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii());
    begins && regular && !name.exact && !reserved.contains(&text.to_ascii_lowercase())
}

/// A text of as many tokens as the longest label has bytes.
fn longest_label(vocabulary: &Vocabulary) -> Vec<u8> {
    let tokens = |text: &[u8]| vocabulary.spell(text).map_or(usize::MAX, |tokens| tokens.len());
    let mut text = Vec::new();
    while tokens(&text) < LABEL && text.len() < LABEL * LABEL {
        text.extend_from_slice(b"qz");
    }
    text
}
