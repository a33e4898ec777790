//! Proto-JSON: what fields are called, and the types that are written in a way of their own.

use prost_reflect::{Kind, MessageDescriptor};

use super::ProtoFormat;
use super::language::Marks;
use super::messages::{Builder, Field, Values};
use super::scalars::Scalars;
use super::shape::{Linked, Shape, ShapeId, Tagged};
use crate::lexeme::{Regular, START, Source, Words, spelled};
use crate::{GrammarError, Whitespace};

pub(super) fn marks(scalars: &Scalars<'_>, whitespace: Whitespace) -> Result<Marks, GrammarError> {
    let mark = |expression: &str| scalars.regex(&spaced(expression, whitespace));
    Ok(Marks {
        open: mark(r"\{_")?,
        shut: mark(r"\}")?,
        close: mark(r"_\}")?,
        next: mark(",_")?,
        list: mark(r"\[_")?,
        shut_list: mark(r"\]")?,
        close_list: mark(r"_\]")?,
        comma: mark(",_")?,
        colon: mark(":_")?,
        // No value comes without a colon here.
        gap: None,
        value: mark(r#",_"value":_"#)?,
    })
}

/// An expression in which `_` stands for whitespace.
fn spaced(expression: &str, whitespace: Whitespace) -> String {
    expression.replace('_', whitespace.optional())
}

/// Levels that a list adds.
const LIST: u8 = 1;
/// Levels of a map: its entries are messages.
const MAP: u8 = 1;
/// Levels of a `Struct`: itself, its entry, and the entry's `Value`.
const STRUCT: u8 = 3;
/// Levels of a `ListValue`: itself and its `Value`s.
const LIST_VALUE: u8 = 2;
/// Levels of an `Any`.
const ANY: u8 = 1;

impl Builder<'_> {
    /// The names of a field and what follows them.
    pub(super) fn json_member(&mut self, field: &Field) -> Result<(Vec<String>, Linked), GrammarError> {
        let value = match &field.values {
            Values::One(kind) => self.kind(kind)?,
            Values::Many(kind) => {
                let value = self.kind(kind)?;
                self.shapes.add(Shape::List(value), LIST)
            }
            Values::Map { key, value } => {
                let value = self.kind(value)?;
                self.map(key, value, MAP)?
            }
        };
        let names = field.json_names.iter().map(|name| format!("\"{}\"", spelled(name))).collect();
        Ok((names, Linked { after_colon: value, bare: None }))
    }

    fn map(&mut self, key: &Kind, value: ShapeId, cost: u8) -> Result<ShapeId, GrammarError> {
        let most = if matches!(key, Kind::Bool) { 2 } else { usize::MAX };
        let lexeme = self.scalars.json_key(key)?;
        let key =
            lexeme.ok_or_else(|| GrammarError::Protobuf(format!("{key:?} is no type of a map's keys")))?;
        Ok(self.shapes.add(Shape::Map { key, most, value }, cost))
    }

    /// The shape of a message that JSON writes in a way of its own; `None` for all others.
    pub(super) fn well_known(
        &mut self,
        message: &MessageDescriptor,
    ) -> Result<Option<ShapeId>, GrammarError> {
        let Some(name) = message.full_name().strip_prefix("google.protobuf.") else { return Ok(None) };
        let lexemes = match name {
            "Timestamp" => self.scalars.timestamp()?,
            "Duration" => vec![self.scalars.duration()?],
            "FieldMask" => vec![self.scalars.field_mask()?],
            "Struct" => return self.json_struct().map(Some),
            "ListValue" => return self.json_list().map(Some),
            "Value" => return self.json_value().map(Some),
            "Any" => return self.json_any(message).map(Some),
            _ => match wrapped(name) {
                Some(kind) => self.scalars.of(&kind, ProtoFormat::Json)?,
                None => return Ok(None),
            },
        };
        Ok(Some(self.shapes.add(Shape::Token(lexemes), 0)))
    }

    fn json_struct(&mut self) -> Result<ShapeId, GrammarError> {
        let value = self.json_value()?;
        self.map(&Kind::String, value, STRUCT)
    }

    fn json_list(&mut self) -> Result<ShapeId, GrammarError> {
        let value = self.json_value()?;
        Ok(self.shapes.add(Shape::List(value), LIST_VALUE))
    }

    /// Any JSON value: the shape refers to itself, and there is one of it.
    fn json_value(&mut self) -> Result<ShapeId, GrammarError> {
        if let Some(known) = self.value {
            return Ok(known);
        }
        let value = self.shapes.reserve();
        self.value = Some(value);
        let plain = vec![
            self.scalars.regex("null|true|false")?,
            self.scalars.json_number()?,
            self.scalars.json_string()?,
        ];
        let alternatives = vec![
            self.shapes.add(Shape::Token(plain), 0),
            self.map(&Kind::String, value, STRUCT)?,
            self.shapes.add(Shape::List(value), LIST_VALUE),
        ];
        self.shapes.set(value, Shape::Either(alternatives), 0);
        Ok(value)
    }

    /// An `Any` names one of the messages that are defined, first of all, and then has its fields.
    fn json_any(&mut self, message: &MessageDescriptor) -> Result<ShapeId, GrammarError> {
        if let Some(known) = self.any {
            return Ok(known);
        }
        let any = self.shapes.reserve();
        self.any = Some(any);
        let pool = message.parent_pool().clone();
        let mut types = Vec::new();
        let mut names = Vec::new();
        for message in pool.all_messages().filter(|message| !message.is_map_entry()) {
            let shape = self.kind(&Kind::Message(message.clone()))?;
            types.push(Tagged { shape, apart: is_special(message.full_name()) });
            names.push(format!("{}\"", message.full_name()));
        }
        let words = names.iter().zip(0..).map(|(name, index)| (name.as_bytes(), index));
        let source = Tags {
            opening: Regular::new(&spaced(OPENING, self.whitespace), self.scalars.budget)?,
            names: Words::new(words),
        };
        let tags = self.lexeme(&source)?;
        if let Some(tags) = tags {
            let reach = tags.automaton.reach(START);
            let unspelled = types.iter_mut().zip(0..).filter(|(_, index)| !reach.contains(*index));
            unspelled.for_each(|(tagged, _)| tagged.shape = self.never);
            self.shapes.set(any, Shape::Tagged { tags, types }, ANY);
        }
        Ok(any)
    }
}

/// The kind that a wrapper wraps.
fn wrapped(name: &str) -> Option<Kind> {
    Some(match name {
        "DoubleValue" => Kind::Double,
        "FloatValue" => Kind::Float,
        "Int64Value" => Kind::Int64,
        "UInt64Value" => Kind::Uint64,
        "Int32Value" => Kind::Int32,
        "UInt32Value" => Kind::Uint32,
        "BoolValue" => Kind::Bool,
        "StringValue" => Kind::String,
        "BytesValue" => Kind::Bytes,
        _ => return None,
    })
}

/// Whether an `Any` holds this type in a member `value`.
fn is_special(name: &str) -> bool {
    let Some(name) = name.strip_prefix("google.protobuf.") else { return false };
    let others = ["Timestamp", "Duration", "FieldMask", "Struct", "ListValue", "Value", "Any", "Empty"];
    wrapped(name).is_some() || others.contains(&name)
}

/// An opening bracket and the beginning of a type's address.
const OPENING: &str = r#"\{_"@type":_"type\.googleapis\.com/"#;

/// [`OPENING`] and one of many names.
struct Tags {
    opening: Regular,
    names: Words,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Tag<O> {
    Opening(O),
    Name(u32),
}

impl Source for Tags {
    type State = Tag<<Regular as Source>::State>;

    fn start(&self) -> Self::State {
        Tag::Opening(self.opening.start())
    }

    fn step(&self, state: &Self::State, byte: u8) -> Option<Self::State> {
        Some(match state {
            Tag::Opening(state) => {
                let next = self.opening.step(state, byte)?;
                match self.opening.ending(&next) {
                    Some(_) => Tag::Name(self.names.start()),
                    None => Tag::Opening(next),
                }
            }
            Tag::Name(state) => Tag::Name(self.names.step(state, byte)?),
        })
    }

    fn ending(&self, state: &Self::State) -> Option<u32> {
        match state {
            Tag::Opening(_) => None,
            Tag::Name(state) => self.names.ending(state),
        }
    }
}
