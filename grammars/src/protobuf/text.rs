//! The text format: what fields are called, and its punctuation.

use prost_reflect::Kind;

use super::language::Marks;
use super::messages::{Builder, Field, Part, Values};
use super::scalars::Scalars;
use super::shape::{Linked, Shape, ShapeId};
use crate::whitespace::LOOSE;
use crate::{GrammarError, Whitespace};

/// Fields are set apart by white space; the braces of a message follow the field's name at once or
/// after the name's colon or space.
pub(super) fn marks(scalars: &Scalars<'_>, whitespace: Whitespace) -> Result<Marks, GrammarError> {
    let mark = |expression: &str| scalars.regex(&expression.replace('_', whitespace.optional()));
    let (next, colon) = match whitespace {
        Whitespace::None => (" ", ":"),
        Whitespace::Line => (" ", ": ?"),
        Whitespace::Usual => (LOOSE, ": ?"),
    };
    Ok(Marks {
        open: mark(r"\{_")?,
        shut: mark(r"\}")?,
        close: mark(r"_\}")?,
        next: mark(next)?,
        list: mark(r"\[_")?,
        shut_list: mark(r"\]")?,
        close_list: mark(r"_\]")?,
        comma: mark(",_")?,
        colon: mark(colon)?,
        gap: (whitespace != Whitespace::None).then(|| mark(" ")).transpose()?,
        // No type is tagged here.
        value: mark(":")?,
    })
}

/// Levels that a list adds.
const LIST: u8 = 1;
/// Levels of a map's entry.
const ENTRY: u8 = 1;

impl Builder<'_> {
    /// What follows the name of a field.
    pub(super) fn text_value(&mut self, field: &Field) -> Result<Linked, GrammarError> {
        let (value, is_message) = match &field.values {
            Values::One(kind) => return self.text_kind(kind),
            Values::Many(kind) => (self.kind(kind)?, kind.as_message().is_some()),
            Values::Map { key, value } => (self.entry(key, value)?, true),
        };
        // After a colon there may be a list of values.
        let list = self.shapes.add(Shape::List(value), LIST);
        let after_colon = self.shapes.add(Shape::Either(vec![value, list]), 0);
        Ok(Linked { after_colon, bare: is_message.then_some(value) })
    }

    /// One value; a message needs no colon before it.
    fn text_kind(&mut self, kind: &Kind) -> Result<Linked, GrammarError> {
        let value = self.kind(kind)?;
        Ok(Linked { after_colon: value, bare: kind.as_message().map(|_| value) })
    }

    /// A map's entry: a message whose key and value are both there, in any order.
    fn entry(&mut self, key: &Kind, value: &Kind) -> Result<ShapeId, GrammarError> {
        let mut parts = Vec::new();
        for (name, kind) in [("key", key), ("value", value)] {
            let value = self.text_kind(kind)?;
            parts.push(Part {
                names: vec![name.to_owned()],
                value,
                group: Some(parts.len()),
                required: true,
            });
        }
        let object = self.object(parts)?;
        Ok(self.shapes.add(Shape::Object(object), ENTRY))
    }
}
