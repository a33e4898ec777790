//! What `prost-reflect` reads, and what it does not check.

use std::collections::HashSet;
use std::sync::Arc;

use prost_reflect::prost::Message;
use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use understudy_grammars::{Grammar, ProtoFormat, ProtoSource};

use crate::support::{Dice, wander};

/// The pool of the oracle, made without the grammar crate.
pub fn pool(source: &ProtoSource) -> DescriptorPool {
    let mut pool = DescriptorPool::global();
    match source {
        ProtoSource::Files(files) => {
            let parsed = files.iter().map(|(name, text)| protox_parse::parse(name, text).expect("parses"));
            pool.add_file_descriptor_protos(parsed).expect("resolves");
        }
        ProtoSource::Descriptors(bytes) => {
            pool.decode_file_descriptor_set(bytes.as_slice()).expect("decodes");
        }
    }
    pool
}

/// Reads a text as strictly as the oracle can, and checks what it does not.
pub fn read(message: &MessageDescriptor, format: ProtoFormat, text: &str) -> Result<DynamicMessage, String> {
    let read = match format {
        ProtoFormat::Text => {
            DynamicMessage::parse_text_format(message.clone(), text).map_err(|error| error.to_string())?
        }
        ProtoFormat::Json => {
            serde_json::from_str::<UniqueKeys>(text).map_err(|error| error.to_string())?;
            let mut reader = serde_json::Deserializer::from_str(text);
            let read = message.clone().deserialize(&mut reader).map_err(|error| error.to_string())?;
            reader.end().map_err(|error| error.to_string())?;
            // Values that JSON has no form for would be noticed here.
            serde_json::to_string(&read).map_err(|error| error.to_string())?;
            read
        }
    };
    complete(&read)?;
    let bytes = read.encode_to_vec();
    DynamicMessage::decode(message.clone(), bytes.as_slice()).map_err(|error| error.to_string())?;
    Ok(read)
}

/// Whether all required fields are there.
fn complete(message: &DynamicMessage) -> Result<(), String> {
    let missing = |field: &prost_reflect::FieldDescriptor| {
        field.cardinality() == Cardinality::Required && !message.has_field(field)
    };
    if let Some(field) = message.descriptor().fields().find(missing) {
        return Err(format!("{} is missing", field.full_name()));
    }
    message
        .fields()
        .map(|(_, value)| value)
        .chain(message.extensions().map(|(_, value)| value))
        .try_for_each(inside)
}

fn inside(value: &Value) -> Result<(), String> {
    match value {
        Value::Message(message) => complete(message),
        Value::List(values) => values.iter().try_for_each(inside),
        Value::Map(values) => values.values().try_for_each(inside),
        _ => Ok(()),
    }
}

/// JSON whose objects have no key twice.
struct UniqueKeys;

impl<'de> serde::Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = UniqueKeys;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, _: bool) -> Result<UniqueKeys, E> {
                Ok(UniqueKeys)
            }
            fn visit_i64<E>(self, _: i64) -> Result<UniqueKeys, E> {
                Ok(UniqueKeys)
            }
            fn visit_u64<E>(self, _: u64) -> Result<UniqueKeys, E> {
                Ok(UniqueKeys)
            }
            fn visit_f64<E>(self, _: f64) -> Result<UniqueKeys, E> {
                Ok(UniqueKeys)
            }
            fn visit_str<E>(self, _: &str) -> Result<UniqueKeys, E> {
                Ok(UniqueKeys)
            }
            fn visit_unit<E>(self) -> Result<UniqueKeys, E> {
                Ok(UniqueKeys)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<UniqueKeys, A::Error> {
                while seq.next_element::<UniqueKeys>()?.is_some() {}
                Ok(UniqueKeys)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
                let mut keys = HashSet::new();
                while let Some((key, _)) = map.next_entry::<String, UniqueKeys>()? {
                    if !keys.insert(key.clone()) {
                        return Err(serde::de::Error::custom(format!("{key:?} occurs twice")));
                    }
                }
                Ok(UniqueKeys)
            }
        }
        reader.deserialize_any(Walk)
    }
}

/// Samples texts of a message and has the oracle read them.
pub fn sample(
    grammar: &Arc<Grammar>,
    message: &MessageDescriptor,
    format: ProtoFormat,
    count: usize,
    seed: u64,
) {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed + 1));
    for _ in 0..count {
        let budget = 1 + dice.below(120) as u32;
        let text = wander(grammar, &mut dice, budget, &mut |_| {});
        if let Err(reason) = read(message, format, &text) {
            panic!("{} is not read as {format:?} of {}: {reason}", text, message.full_name());
        }
    }
}
