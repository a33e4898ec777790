//! The language of a schema's statements.

use std::sync::Arc;

use super::ample::Costs;
use super::ddl;
use super::dialect::{Call, Dialect, Function};
use super::lexemes::Lexemes;
use super::query::{Due, Frame, Query, Role};
use super::schema::Schema;
use super::scope::Name;
use super::{SqlSpec, identifier};
use crate::machine::{After, Choice, Language, Offer, Read, TextThen};
use crate::{Budget, GrammarError, Vocabulary};

pub(crate) struct Sql {
    pub(super) schema: Schema,
    pub(super) dialect: Dialect,
    pub(super) writes: bool,
    pub(super) double_quoted_strings: bool,
    pub(super) lexemes: Lexemes,
    pub(super) functions: Vec<Function>,
    pub(super) costs: Costs,
}

impl Sql {
    pub(crate) fn new(
        spec: &SqlSpec,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Self, GrammarError> {
        let schema = ddl::read(&spec.schema, spec.dialect)?;
        let functions = spec.dialect.functions();
        let lexemes = Lexemes::new(&schema, spec.dialect, &functions, vocabulary, budget)?;
        let costs = Costs::new(&schema, &lexemes, vocabulary);
        Ok(Self {
            schema,
            dialect: spec.dialect,
            writes: spec.writes,
            double_quoted_strings: spec.double_quoted_strings && spec.dialect != Dialect::Postgres,
            lexemes,
            functions,
            costs,
        })
    }

    pub(super) fn function(&self, number: u16) -> Function {
        let none = Function { name: "", least: 0, most: 0, call: Call::Plain };
        self.functions.get(usize::from(number)).copied().unwrap_or(none)
    }

    /// The column that a captured text names.
    pub(super) fn column_name(&self, text: Option<&[u8]>) -> Name {
        let Some(text) = text else { return Name::Fresh };
        let quoted = matches!(text.first(), Some(b'"' | b'`'));
        let text = identifier::plain(text);
        let key = self.key(&text, quoted);
        self.schema.column_id(&key).map_or_else(|| Name::Text(key.into()), Name::Known)
    }

    /// The table that a captured text names; never one of the schema's.
    pub(super) fn label_name(&self, text: Option<&[u8]>) -> Name {
        text.map_or(Name::Fresh, |text| Name::Text(self.key(&identifier::plain(text), false).into()))
    }

    fn key(&self, text: &str, quoted: bool) -> String {
        if self.dialect.folds() && !quoted { text.to_ascii_lowercase() } else { self.schema.key(text) }
    }
}

impl Language for Sql {
    type Frame = Frame;

    fn start(&mut self) -> Vec<Vec<Frame>> {
        vec![vec![Query::new(Role::Statement).at(Due::Statement)]]
    }

    fn offer(&mut self, frame: &Frame) -> Offer {
        self.choices(frame)
    }

    fn after(&mut self, frame: &Frame, choice: usize, read: Read<'_>) -> After<Frame> {
        if self.is_unknown(frame) {
            return After::Unknown;
        }
        match self.next(frame, choice, read) {
            Next::Goes(frame) => After::one([frame]),
            Next::Ends => After::nothing(),
            Next::Refused => After::Ways(Vec::new()),
        }
    }

    fn refused(&mut self, frame: &Frame, choice: usize) -> Vec<Vec<u8>> {
        let texts = self.taken(frame, choice);
        let written = |text: &str| match (&frame.due, choice) {
            (Due::Operand(_), pick::NEW_LABEL) => format!("{text}."),
            (Due::Operand(_), pick::DOUBLE) => format!("\"{text}\""),
            _ => text.to_owned(),
        };
        let text = |name| match name {
            Name::Text(text) => Some(written(&text).into_bytes()),
            _ => None,
        };
        texts.into_iter().filter_map(text).collect()
    }

    fn folds_case(&self) -> bool {
        true
    }

    fn echoes(&self, _frame: &Self::Frame) -> bool {
        true // an alias that is used before FROM has to be given there
    }

    fn texts_decide(&self) -> bool {
        true
    }

    fn ample(&self, frame: &Frame) -> Option<u32> {
        Some(self.ample_for(frame))
    }

    fn is_unknown(&self, frame: &Frame) -> bool {
        frame.query.fresh
    }

    fn ways(&mut self, frame: &Frame) -> Option<Vec<TextThen<Frame>>> {
        Some(self.way(frame).into_iter().collect())
    }
}

/// Where a lexeme leads.
pub(super) enum Next {
    Goes(Frame),
    Ends,
    Refused,
}

impl Next {
    pub(super) fn at(query: Query, due: Due) -> Self {
        Self::Goes(query.at(due))
    }
}

/// Choices of an operand, in the order of the offer.
pub(super) mod pick {
    pub(crate) const COLUMN: usize = 0;
    pub(crate) const COLUMN_TEXT: usize = 1;
    pub(crate) const TABLE: usize = 2;
    pub(crate) const LABEL: usize = 3;
    pub(crate) const NEW_LABEL: usize = 4;
    pub(crate) const OPENER: usize = 7;
    pub(crate) const ORDINAL: usize = 8;
    pub(crate) const DOUBLE: usize = 9;
}

/// A choice that cannot be read: it keeps the numbers of the others.
pub(super) fn absent(lexemes: &Lexemes) -> Choice {
    Choice::new(&lexemes.joints).allowing(crate::lexeme::Outcomes::none(1))
}
