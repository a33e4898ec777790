//! Protobuf messages in the text format and as JSON.
//!
//! | module | what it holds |
//! |---|---|
//! | `descriptors` | `.proto` files and descriptor sets as a pool of message types |
//! | `editions` | files of an edition in terms of proto2 |
//! | `messages` | message types as shapes: fields, oneofs, maps, extensions |
//! | `text`, `json` | what the two formats call a field, and the types that JSON writes in its own way |
//! | `scalars` | numbers, strings, bytes, times |
//! | `shape` | the graph of shapes, with the levels that each needs |
//! | `language` | texts of a shape as frames for the machine |
//! | `short` | a short text of each frame |

mod descriptors;
mod editions;
mod json;
mod language;
mod messages;
mod scalars;
mod shape;
mod short;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde::de::DeserializeSeed;

use crate::{Budget, GrammarError, Vocabulary, Whitespace};
use language::Proto;

/// A message and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProtobufSpec {
    /// Where the message is defined.
    pub source: ProtoSource,
    /// Its full name, such as `google.rpc.Status`.
    pub message: String,
    /// How it is written.
    pub format: ProtoFormat,
    /// Whitespace between tokens.
    pub whitespace: Whitespace,
}

/// Definitions of messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProtoSource {
    /// Texts of `.proto` files by the names that they import each other by. Well-known ones
    /// (`google/protobuf/timestamp.proto` and the like) need not be among them.
    Files(BTreeMap<String, String>),
    /// An encoded `google.protobuf.FileDescriptorSet`.
    Descriptors(Vec<u8>),
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtoFormat {
    /// The text format: `name: "x" size { width: 1 }`.
    Text,
    /// The JSON mapping: `{"name": "x", "size": {"width": 1}}`.
    Json,
}

impl ProtoSource {
    /// Full names of all messages, those of well-known files that are imported included.
    ///
    /// # Errors
    /// Definitions that do not compile.
    pub fn messages(&self) -> Result<Vec<String>, GrammarError> {
        let pool = descriptors::pool(self)?;
        let messages = pool.all_messages().filter(|message| !message.is_map_entry());
        Ok(messages.map(|message| message.full_name().to_owned()).collect())
    }
}

impl ProtobufSpec {
    /// The bytes on the wire of a finished text.
    ///
    /// # Errors
    /// Definitions that do not compile, and [`GrammarError::ProtobufText`].
    pub fn encode(&self, text: &str) -> Result<Vec<u8>, GrammarError> {
        let refused = |reason: String| GrammarError::ProtobufText { message: self.message.clone(), reason };
        let descriptor = self.descriptor()?;
        let message = match self.format {
            ProtoFormat::Text => DynamicMessage::parse_text_format(descriptor, text)
                .map_err(|error| refused(error.to_string()))?,
            ProtoFormat::Json => {
                let mut reader = serde_json::Deserializer::from_str(text);
                let message =
                    descriptor.deserialize(&mut reader).map_err(|error| refused(error.to_string()))?;
                reader.end().map_err(|error| refused(error.to_string()))?;
                message
            }
        };
        Ok(message.encode_to_vec())
    }

    fn descriptor(&self) -> Result<MessageDescriptor, GrammarError> {
        let pool = descriptors::pool(&self.source)?;
        pool.get_message_by_name(&self.message)
            .ok_or_else(|| GrammarError::ProtobufMessage(self.message.clone()))
    }
}

/// The language of a message's texts.
pub(crate) fn compile(
    spec: &ProtobufSpec,
    vocabulary: &Arc<Vocabulary>,
    budget: &Budget,
) -> Result<Proto, GrammarError> {
    messages::language(&spec.descriptor()?, spec, vocabulary, budget)
}
