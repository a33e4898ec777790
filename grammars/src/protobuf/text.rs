//! The text format: what fields are called, and its punctuation.

use prost_reflect::Kind;

use super::language::Marks;
use super::messages::{Builder, Field, Member, Part, Values};
use super::scalars::Scalars;
use super::shape::{Shape, ShapeId};
use crate::GrammarError;

/// A space, or a new line with its indentation.
pub(super) const SPACE: &str = r"(?: |\n(?: {0,80}|\t{0,20}))";

/// Fields are set apart by white space; the braces of a message follow the field's name at once or
/// after the name's colon or space.
pub(super) fn marks(scalars: &Scalars<'_>) -> Result<Marks, GrammarError> {
    let mark = |expression: &str| scalars.regex(&expression.replace('_', SPACE));
    Ok(Marks {
        open: mark(r"\{_?")?,
        shut: mark(r"\}")?,
        close: mark(r"_?\}")?,
        next: mark(r"\n?_")?,
        list: mark(r"\[_?")?,
        shut_list: mark(r"\]")?,
        close_list: mark(r"_?\]")?,
        comma: mark("_?,_?")?,
        // Maps are repeated messages here, and no type is tagged.
        colon: mark(":")?,
        value: mark(":")?,
    })
}

/// Levels that a list adds.
const LIST: u8 = 1;
/// Levels of a map's entry.
const ENTRY: u8 = 1;

impl Builder<'_> {
    /// The names of a field and what follows each.
    pub(super) fn text_members(&mut self, field: &Field) -> Result<Vec<Member>, GrammarError> {
        let names = &field.text_names;
        let (value, is_message) = match &field.values {
            Values::One(kind) => {
                let value = self.kind(kind)?;
                return Ok(vec![Member { names: with_ends(names, ends(kind)), value }]);
            }
            Values::Many(kind) => (self.kind(kind)?, kind.as_message().is_some()),
            Values::Map { key, value } => (self.entry(key, value)?, true),
        };
        // After a colon there may be a list of values.
        let list = self.shapes.add(Shape::List(value), LIST);
        let either = self.shapes.add(Shape::Either(vec![value, list]), 0);
        let mut members = vec![Member { names: with_ends(names, COLON), value: either }];
        if is_message {
            members.push(Member { names: with_ends(names, BARE), value });
        }
        Ok(members)
    }

    /// A map's entry: a message whose key and value are both there, in any order.
    fn entry(&mut self, key: &Kind, value: &Kind) -> Result<ShapeId, GrammarError> {
        let mut parts = Vec::new();
        for (name, kind) in [("key", key), ("value", value)] {
            let member = Member { names: with_ends(&[name.to_owned()], ends(kind)), value: self.kind(kind)? };
            parts.push(Part { member, group: Some(parts.len()), required: true });
        }
        let object = self.object(parts)?;
        Ok(self.shapes.add(Shape::Object(object), ENTRY))
    }
}

const COLON: &[&str] = &[":", ": "];
const BARE: &[&str] = &["", " "];

/// What comes between a field's name and its one value.
fn ends(kind: &Kind) -> &'static [&'static str] {
    if kind.as_message().is_some() { &["", " ", ":", ": "] } else { COLON }
}

fn with_ends(names: &[String], ends: &[&str]) -> Vec<String> {
    names.iter().flat_map(|name| ends.iter().map(move |end| format!("{name}{end}"))).collect()
}
