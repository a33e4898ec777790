//! Message types as shapes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use prost_reflect::{Cardinality, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::language::Proto;
use super::scalars::Scalars;
use super::shape::{Key, LEVELS, Linked, Object, Shape, ShapeId, Shapes};
use super::{ProtoFormat, ProtobufSpec, json, text};
use crate::lexeme::{Automaton, Lexeme, Outcomes, START, Source, Words};
use crate::{Budget, GrammarError, Vocabulary, Whitespace};

/// The texts of a message.
pub(super) fn language(
    message: &MessageDescriptor,
    spec: &ProtobufSpec,
    vocabulary: &Arc<Vocabulary>,
    budget: &Budget,
) -> Result<Proto, GrammarError> {
    let (format, whitespace) = (spec.format, spec.whitespace);
    let scalars = Scalars { vocabulary, budget };
    let marks = match format {
        ProtoFormat::Text => text::marks(&scalars, whitespace)?,
        ProtoFormat::Json => json::marks(&scalars, whitespace)?,
    };
    let mut builder = Builder::new(scalars, format, whitespace);
    let root = builder.kind(&Kind::Message(message.clone()))?;
    builder.build()?;
    let mut shapes = builder.shapes;
    shapes.finish(&marks.open, &marks.list);
    if !shapes.fits(root, LEVELS) {
        return Err(GrammarError::ProtobufEndless(message.full_name().to_owned(), LEVELS));
    }
    Ok(Proto { shapes, root, marks, bare: format == ProtoFormat::Text, given: 0 })
}

/// A field or an extension.
pub(super) struct Field {
    pub(super) text_names: Vec<String>,
    pub(super) json_names: Vec<String>,
    pub(super) values: Values,
    required: bool,
    oneof: Option<String>,
}

pub(super) enum Values {
    One(Kind),
    Many(Kind),
    Map { key: Kind, value: Kind },
}

/// A member of an object.
pub(super) struct Part {
    /// Its name, in each of its spellings.
    pub(super) names: Vec<String>,
    pub(super) value: Linked,
    /// Of a group there is at most one; without a group, any number.
    pub(super) group: Option<usize>,
    pub(super) required: bool,
}

/// Makes shapes of all messages that can be reached, each once.
pub(super) struct Builder<'a> {
    pub(super) scalars: Scalars<'a>,
    pub(super) shapes: Shapes,
    /// A shape without texts.
    pub(super) never: ShapeId,
    /// The shapes of JSON's `Value` and `Any`, once they are needed.
    pub(super) value: Option<ShapeId>,
    pub(super) any: Option<ShapeId>,
    format: ProtoFormat,
    pub(super) whitespace: Whitespace,
    known: HashMap<String, ShapeId>,
    todo: Vec<(ShapeId, MessageDescriptor)>,
    started: Instant,
    /// Bytes of names so far.
    names: usize,
}

/// Levels of a message.
const MESSAGE: u8 = 1;

impl<'a> Builder<'a> {
    fn new(scalars: Scalars<'a>, format: ProtoFormat, whitespace: Whitespace) -> Self {
        let mut shapes = Shapes::default();
        let never = shapes.reserve();
        Self {
            scalars,
            shapes,
            never,
            value: None,
            any: None,
            format,
            whitespace,
            known: HashMap::new(),
            todo: Vec::new(),
            started: Instant::now(),
            names: 0,
        }
    }

    /// The shape of a value. Messages are noted and built later, since they refer to each other.
    pub(super) fn kind(&mut self, kind: &Kind) -> Result<ShapeId, GrammarError> {
        let name = match kind {
            Kind::Message(message) => message.full_name().to_owned(),
            Kind::Enum(values) => values.full_name().to_owned(),
            // No full name has a space.
            scalar => format!("scalar {scalar:?}"),
        };
        if let Some(known) = self.known.get(&name) {
            return Ok(*known);
        }
        let shape = match kind {
            Kind::Message(message) => {
                let own = match self.format {
                    ProtoFormat::Json => self.well_known(message)?,
                    ProtoFormat::Text => None,
                };
                own.unwrap_or_else(|| {
                    let shape = self.shapes.reserve();
                    self.todo.push((shape, message.clone()));
                    shape
                })
            }
            Kind::Enum(values) => {
                let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
                let names = match self.format {
                    ProtoFormat::Text => names,
                    ProtoFormat::Json if name == "google.protobuf.NullValue" => vec!["null".to_owned()],
                    ProtoFormat::Json => names.iter().map(|name| format!("\"{name}\"")).collect(),
                };
                let words = Words::new(names.iter().map(|name| (name.as_bytes(), 0)));
                self.names += names.iter().map(String::len).sum::<usize>();
                let lexeme = self.lexeme(&words)?;
                self.shapes.add(Shape::Token(lexeme.into_iter().collect()), 0)
            }
            scalar => {
                let lexemes = self.scalars.of(scalar, self.format)?;
                self.shapes.add(Shape::Token(lexemes), 0)
            }
        };
        self.known.insert(name, shape);
        Ok(shape)
    }

    /// Builds what is noted, and what that refers to.
    fn build(&mut self) -> Result<(), GrammarError> {
        while let Some((shape, message)) = self.todo.pop() {
            let mut parts = Vec::new();
            let mut groups: HashMap<String, usize> = HashMap::new();
            for (index, field) in fields(&message)?.iter().enumerate() {
                let (names, value) = match self.format {
                    ProtoFormat::Text => (field.text_names.clone(), self.text_value(field)?),
                    ProtoFormat::Json => self.json_member(field)?,
                };
                let group = field.oneof.as_ref().map(|oneof| *groups.entry(oneof.clone()).or_insert(index));
                // The text format repeats a field's name with each value.
                let repeats = self.format == ProtoFormat::Text && !matches!(field.values, Values::One(_));
                let group = (!repeats).then_some(group.unwrap_or(index));
                parts.push(Part { names, value, group, required: field.required });
            }
            let object = self.object(parts)?;
            self.shapes.set(shape, Shape::Object(object), MESSAGE);
            if self.started.elapsed() > self.scalars.budget.time {
                return Err(GrammarError::TooSlow(self.scalars.budget.time));
            }
        }
        Ok(())
    }

    pub(super) fn object(&mut self, parts: Vec<Part>) -> Result<Object, GrammarError> {
        let count = parts.len() as u32;
        let words = parts
            .iter()
            .zip(0..)
            .flat_map(|(part, index)| part.names.iter().map(move |name| (name.as_bytes(), index)));
        self.names += parts.iter().flat_map(|part| &part.names).map(String::len).sum::<usize>();
        let names = if count == 0 { None } else { self.lexeme(&Words::new(words))? };
        let reach = names.as_ref().map(|names| names.automaton.reach(START));
        let mut groups: HashMap<usize, Outcomes> = HashMap::new();
        for (part, index) in parts.iter().zip(0..) {
            let group = part.group.map(|group| groups.entry(group).or_insert_with(|| Outcomes::none(count)));
            group.into_iter().for_each(|group| group.insert(index));
        }
        let mut required = Outcomes::none(count);
        let mut keys = Vec::new();
        for (part, index) in parts.into_iter().zip(0..) {
            if part.required {
                required.insert(index);
            }
            let spelled = reach.is_some_and(|reach| reach.contains(index));
            keys.push(Key {
                value: if spelled { part.value } else { Linked { after_colon: self.never, bare: None } },
                closes: part
                    .group
                    .and_then(|group| groups.get(&group).cloned())
                    .unwrap_or_else(|| Outcomes::none(count)),
                name: self.shortest_name(part.names),
            });
        }
        Ok(Object { names, keys, required })
    }

    /// The shortest name that the vocabulary can spell.
    fn shortest_name(&self, names: Vec<String>) -> String {
        let spellable = self.scalars.vocabulary.spellable();
        let can_be_spelled = |name: &String| name.bytes().all(|byte| spellable[usize::from(byte)]);
        names.into_iter().filter(can_be_spelled).min_by_key(String::len).unwrap_or_default()
    }

    /// A lexeme of this grammar's own; `None` where the vocabulary cannot spell any text of it.
    pub(super) fn lexeme<S: Source>(&self, source: &S) -> Result<Option<Arc<Lexeme>>, GrammarError> {
        let limit = self.scalars.budget.max_bytes / BYTES_PER_NAME_BYTE;
        if self.names > limit {
            let reason = format!("the messages that can be nested have more than {limit} bytes of names");
            return Err(GrammarError::Protobuf(reason));
        }
        // Their states are as many as bytes of names, which are bounded.
        let max_states = self.scalars.budget.max_states.saturating_mul(10);
        let budget = Budget { max_states, ..*self.scalars.budget };
        match Automaton::build(source, self.scalars.vocabulary.spellable(), &budget) {
            Ok(automaton) => Ok(Some(Lexeme::new(automaton))),
            Err(GrammarError::NothingMatches(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// About what a byte of a name costs: a state with a transition for each letter.
const BYTES_PER_NAME_BYTE: usize = 16;

/// A message's fields and the extensions of it that are defined.
fn fields(message: &MessageDescriptor) -> Result<Vec<Field>, GrammarError> {
    let mut fields = Vec::new();
    for field in message.fields() {
        fields.push(Field {
            text_names: text_name(message, &field).into_iter().collect(),
            json_names: json_names(message, &field),
            values: values(field.kind(), field.is_list(), field.is_map())?,
            required: field.cardinality() == Cardinality::Required,
            oneof: field.containing_oneof().map(|oneof| oneof.name().to_owned()),
        });
    }
    for extension in message.extensions() {
        fields.push(extension_field(message, &extension)?);
    }
    Ok(fields)
}

fn extension_field(
    message: &MessageDescriptor,
    extension: &ExtensionDescriptor,
) -> Result<Field, GrammarError> {
    let json_name = Some(extension.json_name().to_owned()).filter(|name| {
        message.get_field_by_json_name(name).is_none() && message.get_field_by_name(name).is_none()
    });
    Ok(Field {
        text_names: vec![format!("[{}]", extension.full_name())],
        json_names: json_name.into_iter().collect(),
        values: values(extension.kind(), extension.is_list(), extension.is_map())?,
        required: false,
        oneof: None,
    })
}

/// What the text format calls a field: a group by its type.
fn text_name(message: &MessageDescriptor, field: &FieldDescriptor) -> Option<String> {
    if !field.is_group() {
        return Some(field.name().to_owned());
    }
    let name = field.kind().as_message()?.name().to_owned();
    let own = message.get_field_by_name(&name.to_ascii_lowercase()).is_some_and(|found| found == *field);
    let taken = message.get_field_by_name(&name).is_some_and(|found| !found.is_group());
    (own && !taken).then_some(name)
}

/// What JSON calls a field: its JSON name, or the one that it was declared with. Where two fields
/// claim a name it is that of the one that readers take it for.
fn json_names(message: &MessageDescriptor, field: &FieldDescriptor) -> Vec<String> {
    let mut names = vec![field.json_name().to_owned(), field.name().to_owned()];
    names.dedup();
    let read = |name: &str| message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name));
    names.retain(|name| read(name).is_some_and(|found| found == *field));
    names
}

fn values(kind: Kind, is_list: bool, is_map: bool) -> Result<Values, GrammarError> {
    match &kind {
        Kind::Message(entry) if is_map => match (entry.get_field(1), entry.get_field(2)) {
            (Some(key), Some(value)) => Ok(Values::Map { key: key.kind(), value: value.kind() }),
            _ => Err(GrammarError::Protobuf(format!(
                "the map entry {} lacks a key or a value",
                entry.full_name()
            ))),
        },
        _ if is_list => Ok(Values::Many(kind)),
        _ => Ok(Values::One(kind)),
    }
}
