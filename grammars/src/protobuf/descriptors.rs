//! `.proto` files and descriptor sets as a pool of types.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::DescriptorPool;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    UninterpretedOption,
};

use super::{ProtoSource, editions};
use crate::GrammarError;

/// The types of a source.
pub(super) fn pool(source: &ProtoSource) -> Result<DescriptorPool, GrammarError> {
    let mut pool = DescriptorPool::new();
    let files = ordered(files(source)?)?;
    pool.add_file_descriptor_protos(files).map_err(|error| GrammarError::Protobuf(format!("{error:?}")))?;
    Ok(pool)
}

/// Most bytes of all texts, or of a descriptor set.
const LARGEST: usize = 4 << 20;

fn files(source: &ProtoSource) -> Result<Vec<FileDescriptorProto>, GrammarError> {
    let bytes: usize = match source {
        ProtoSource::Files(texts) => texts.values().map(String::len).sum(),
        ProtoSource::Descriptors(bytes) => bytes.len(),
    };
    if bytes > LARGEST {
        return Err(GrammarError::Protobuf(format!("they have more than {LARGEST} bytes")));
    }
    let mut files = match source {
        ProtoSource::Files(texts) => {
            texts.iter().map(|(name, text)| parsed(name, text)).collect::<Result<Vec<_>, _>>()?
        }
        ProtoSource::Descriptors(bytes) => {
            FileDescriptorSet::decode(bytes.as_slice())
                .map_err(|error| GrammarError::Protobuf(error.to_string()))?
                .file
        }
    };
    if count(&files) > DEFINITIONS {
        let many = format!("they have more than {DEFINITIONS} messages and fields");
        return Err(GrammarError::Protobuf(many));
    }
    files.iter_mut().for_each(bare);
    Ok(files)
}

/// Most messages and fields together, those that a map stands for included.
const DEFINITIONS: usize = 150_000;

fn count(files: &[FileDescriptorProto]) -> usize {
    let mut todo: Vec<&DescriptorProto> = files.iter().flat_map(|file| &file.message_type).collect();
    let mut count = 0;
    while let Some(message) = todo.pop() {
        count += 1 + message.field.len() + message.extension.len();
        todo.extend(&message.nested_type);
    }
    count
}

fn parsed(name: &str, text: &str) -> Result<FileDescriptorProto, GrammarError> {
    let parse = |text: &str| {
        // The library's `Debug` is its message with file, line and column before it.
        protox_parse::parse(name, text).map_err(|error| GrammarError::Protobuf(format!("{error:?}")))
    };
    match editions::as_proto2(text) {
        Some(told) => {
            let mut file = parse(&told)?;
            editions::apply_features(&mut file)?;
            Ok(file)
        }
        None => parse(text),
    }
}

/// Files with the well-known ones that they import, each after those that it imports. No
/// recursion: chains of imports may be long.
fn ordered(files: Vec<FileDescriptorProto>) -> Result<Vec<FileDescriptorProto>, GrammarError> {
    let known = DescriptorPool::global();
    let roots: Vec<String> = files.iter().map(|file| file.name().to_owned()).collect();
    let mut waiting: BTreeMap<String, FileDescriptorProto> =
        files.into_iter().map(|file| (file.name().to_owned(), file)).collect();
    let mut ordered = Vec::new();
    // Files that are being visited, with the import that is looked at next.
    let mut path: Vec<(FileDescriptorProto, usize)> = Vec::new();
    let mut places: HashMap<String, Place> = HashMap::new();
    for root in roots {
        let Some(file) = waiting.remove(&root) else { continue };
        places.insert(root, Place::OnPath);
        path.push((file, 0));
        while let Some((file, next)) = path.last_mut() {
            let Some(import) = file.dependency.get(*next).cloned() else {
                places.insert(file.name().to_owned(), Place::Done);
                ordered.extend(path.pop().map(|(file, _)| file));
                continue;
            };
            *next += 1;
            match places.get(&import) {
                Some(Place::Done) => continue,
                Some(Place::OnPath) => return Err(cycle(&path, &import)),
                None => {}
            }
            let found = waiting.remove(&import).or_else(|| well_known(&known, &import));
            let Some(found) = found else {
                return Err(GrammarError::ProtobufImport { file: file.name().to_owned(), import });
            };
            places.insert(import, Place::OnPath);
            path.push((found, 0));
        }
    }
    Ok(ordered)
}

enum Place {
    OnPath,
    Done,
}

fn cycle(path: &[(FileDescriptorProto, usize)], import: &str) -> GrammarError {
    let from = path.iter().position(|(file, _)| file.name() == import).unwrap_or(0);
    let names: Vec<_> = path[from..].iter().map(|(file, _)| file.name()).take(8).collect();
    GrammarError::Protobuf(format!("files import each other: {} -> {import}", names.join(" -> ")))
}

fn well_known(known: &DescriptorPool, name: &str) -> Option<FileDescriptorProto> {
    let file = known.get_file_by_name(name).filter(|_| name.starts_with("google/protobuf/"))?;
    let mut file = file.file_descriptor_proto().clone();
    bare(&mut file);
    Some(file)
}

/// Takes away what says nothing about messages: services, comments, and most options, whose values
/// may be nested without end.
fn bare(file: &mut FileDescriptorProto) {
    file.service.clear();
    file.options = None;
    file.source_code_info = None;
    file.enum_type.iter_mut().for_each(bare_enum);
    file.extension.iter_mut().for_each(bare_field);
    let mut todo: Vec<&mut DescriptorProto> = file.message_type.iter_mut().collect();
    while let Some(message) = todo.pop() {
        message.field.iter_mut().chain(&mut message.extension).for_each(bare_field);
        message.oneof_decl.iter_mut().for_each(|oneof| oneof.options = None);
        message.extension_range.iter_mut().for_each(|range| range.options = None);
        message.enum_type.iter_mut().for_each(bare_enum);
        if let Some(options) = &mut message.options {
            options.uninterpreted_option.retain(matters);
        }
        todo.extend(&mut message.nested_type);
    }
}

fn bare_enum(definition: &mut EnumDescriptorProto) {
    definition.value.iter_mut().for_each(|value| value.options = None);
    if let Some(options) = &mut definition.options {
        options.uninterpreted_option.retain(matters);
    }
}

fn bare_field(field: &mut FieldDescriptorProto) {
    if let Some(options) = &mut field.options {
        options.uninterpreted_option.retain(matters);
    }
}

/// Whether an option says something about messages or how they are encoded.
fn matters(option: &UninterpretedOption) -> bool {
    let path: Vec<_> = option.name.iter().map(|part| part.name_part.as_str()).collect();
    option.aggregate_value.is_none()
        && matches!(path.as_slice(), ["allow_alias" | "message_set_wire_format" | "packed"])
}
