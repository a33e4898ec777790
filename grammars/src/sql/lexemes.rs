//! The lexemes of a schema's statements.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dialect::{Dialect, Function};
use super::identifier::{Identifier, QuotedText};
use super::phrase::Phrases;
use super::schema::{Schema, Spelled};
use super::scope::Name;
use super::words;
use crate::lexeme::{Automaton, Lexeme, Regular, Words};
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
        let of_dialect = |what: &str, make: &dyn Fn() -> Result<Automaton, GrammarError>| {
            vocabulary.lexicon().get(&format!("sql {what} {}", dialect.name()), make)
        };
        let phrases = |what: &str, phrases: &dyn Fn() -> Phrases| {
            of_dialect(what, &|| Automaton::build(&phrases(), vocabulary.spellable(), budget))
        };
        let regular = |what: &str, expression: &str| {
            let key = format!("sql {what}");
            let make =
                || Automaton::build(&Regular::new(expression, budget)?, vocabulary.spellable(), budget);
            vocabulary.lexicon().get(&key, make)
        };
        // Made-up names are built once for a dialect; a schema takes its own names away.
        let made_up = |what: &str, most: usize, dotted: bool, quote: Option<u8>| {
            of_dialect(what, &|| {
                let except = &Words::new(reserved.iter().map(|word| (word.as_bytes(), 0)));
                let source = Identifier { except, most, dotted, quote };
                Automaton::build(&source, vocabulary.spellable(), budget)
            })
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
        let tables = || schema.tables.iter().map(|table| &table.name).zip(0..);
        let names = |names: Names| Ok::<_, GrammarError>(Lexeme::new(names.automaton(vocabulary, budget)?));
        // An alias that is a table's name would make it unclear which of them a qualifier means.
        let tables_then = |after: &str| -> Vec<String> {
            schema.tables.iter().map(|table| format!("{}{after}", table.name.text)).collect()
        };
        let columns_quoted = schema.columns.iter().map(|column| column.text.as_str());
        let names_quoted = columns_quoted.chain(["rowid", "oid", "_rowid_", "true", "false"]);
        let names_quoted: Vec<String> = names_quoted.map(|name| format!("\"{name}\"")).collect();
        let quoted = of_dialect("quoted", &|| Automaton::build(&QuotedText, vocabulary.spellable(), budget))?;
        let quote = if dialect == Dialect::Mysql { b'`' } else { b'"' };
        let string = match dialect {
            Dialect::Mysql => r"'(?:[^'\\\x00-\x1f\x7f]|'')*'",
            _ => r"'(?:[^'\x00-\x1f\x7f]|'')*'",
        };
        Ok(Self {
            joints: phrases("joints", &|| words::joints(dialect))?,
            openers: phrases("openers", &|| words::openers(functions))?,
            types: phrases("types", &types)?,
            columns: names(Names::new(schema.columns.iter().zip(0..), "", dialect, &reserved))?,
            tables: names(Names::new(tables(), "", dialect, &reserved))?,
            qualifiers: names(Names::new(tables(), ".", dialect, &reserved))?,
            derived: phrases("derived", &derived)?,
            number: regular("number", r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")?,
            unsigned: regular("unsigned", r"[0-9]{1,15}(?:\.[0-9]{1,15})?")?,
            count: regular("count", r"[0-9]{1,9}")?,
            ordinals: phrases("ordinals", &ordinals)?,
            string: regular(&format!("string {string}"), string)?,
            double: quoted.without(bytes(&names_quoted), budget)?,
            alias: made_up("alias", usize::MAX, false, Some(quote))?,
            label: made_up("label", LABEL, false, None)?.without(bytes(&tables_then("")), budget)?,
            blank: regular("blank", r"[ \t\r\n]+")?,
            new_qualifier: made_up("qualifier", LABEL, true, None)?
                .without(bytes(&tables_then(".")), budget)?,
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
        let mut spelled = Vec::new();
        for (name, number) in names.iter().zip(0..) {
            let Name::Text(text) = name else { continue };
            key.push('\0');
            key.push_str(text);
            spelled.push((self.spelled(text), number));
        }
        let make = || {
            let names = spelled.iter().map(|(name, number)| (name, *number));
            Names::new(names, after, self.dialect, &self.reserved).automaton(&self.vocabulary, &self.budget)
        };
        self.vocabulary.lexicon().get(&key, make).ok()
    }
}

fn bytes(texts: &[String]) -> impl Iterator<Item = &[u8]> {
    texts.iter().map(String::as_bytes)
}

/// Names as they may be written: bare where that is possible, and in each kind of quotes.
struct Names {
    texts: Vec<(String, u32)>,
    dialect: Dialect,
}

impl Names {
    /// Names with their numbers, and what comes after each.
    fn new<'a>(
        names: impl Iterator<Item = (&'a Spelled, u32)>,
        after: &str,
        dialect: Dialect,
        reserved: &BTreeSet<String>,
    ) -> Self {
        let mut texts = Vec::new();
        for (name, number) in names {
            let text = &name.text;
            if is_bare(name, reserved) {
                texts.push((format!("{text}{after}"), number));
            }
            let quotes = dialect.quotes().iter();
            texts.extend(quotes.map(|(open, close)| (format!("{open}{text}{close}{after}"), number)));
        }
        Self { texts, dialect }
    }

    fn automaton(&self, vocabulary: &Vocabulary, budget: &Budget) -> Result<Automaton, GrammarError> {
        let count = self.texts.iter().map(|(_, number)| number + 1).max().unwrap_or(0);
        let texts = self.texts.iter().map(|(text, number)| (text.as_bytes(), *number));
        let folds = |first: u8| !self.dialect.folds() || first != b'"';
        Automaton::overlay(texts, count, folds, None, vocabulary.spellable(), budget)
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
    let mut missing = LABEL;
    while missing > 0 && text.len() < LABEL * LABEL {
        // No more tokens than bytes come to it.
        text.extend(b"qz".repeat(missing.div_ceil(2)));
        missing = LABEL.saturating_sub(tokens(&text));
    }
    text
}
