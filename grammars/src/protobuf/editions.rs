//! Files of an edition, told in terms of proto2, which the parser knows.
//!
//! Of an edition's features two matter for what may be written or how it is encoded: required
//! presence and delimited messages (groups). Readers take packed and expanded fields alike.

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, UninterpretedOption,
};

use crate::GrammarError;

/// The text in proto2's syntax if it is of an edition: fields have labels there. Lines stay as
/// they are.
pub(super) fn as_proto2(text: &str) -> Option<String> {
    let mut tokens = Tokens { text, at: 0 }.peekable();
    let first = tokens.next_if(|token| token.text == "edition")?;
    let equals = tokens.next().filter(|token| token.text == "=")?;
    let year = tokens.next().filter(|token| token.text.starts_with(['"', '\'']) && token.at > equals.at)?;
    let mut told = format!("{}syntax = \"proto2\"", &text[..first.at]);
    let mut copied = year.at + year.text.len();
    // Of each open brace: whether fields are declared in it.
    let mut scopes: Vec<bool> = Vec::new();
    let mut statement: Option<&str> = Some("edition");
    for token in tokens {
        match token.text {
            ";" => statement = None,
            "{" => {
                scopes.push(matches!(statement, Some("message" | "extend")));
                statement = None;
            }
            "}" => {
                scopes.pop();
                statement = None;
            }
            name if statement == Some("reserved") && is_type(name) && !matches!(name, "to" | "max") => {
                // Names are in quotes there.
                told.push_str(&text[copied..token.at]);
                told.push_str(&format!("\"{name}\""));
                copied = token.at + name.len();
            }
            word => {
                // What may stand before a declaration says nothing about it.
                let begins = statement.is_none_or(|first| matches!(first, "export" | "local"));
                if begins && scopes.last() == Some(&true) && is_type(word) {
                    told.push_str(&text[copied..token.at]);
                    told.push_str("optional ");
                    copied = token.at;
                }
                if begins {
                    statement = Some(word);
                }
            }
        }
    }
    told.push_str(&text[copied..]);
    Some(told)
}

/// Whether a declaration that begins with this word is a field without a label.
fn is_type(word: &str) -> bool {
    const OTHERS: [&str; 14] = [
        "message",
        "enum",
        "oneof",
        "extend",
        "extensions",
        "reserved",
        "option",
        "map",
        "optional",
        "required",
        "repeated",
        "group",
        "export",
        "local",
    ];
    word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '.')
        && !OTHERS.contains(&word)
}

/// Words, texts in quotes and single characters; no comments.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

struct Token<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = &self.text[self.at..];
            let skipped = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some(comment) = rest.strip_prefix("/*") {
                comment.find("*/").map_or(rest.len(), |end| end + 4)
            } else if rest.starts_with(char::is_whitespace) {
                rest.find(|other: char| !other.is_whitespace()).unwrap_or(rest.len())
            } else {
                break;
            };
            self.at += skipped;
        }
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        let length = match first {
            '"' | '\'' => quoted(rest, first),
            _ if is_word(first) => rest.find(|other| !is_word(other)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let token = Token { text: &rest[..length], at: self.at };
        self.at += length;
        Some(token)
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '.'
}

/// Bytes of a text in quotes, or of what there is of it.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Applies the features that matter to a file that [`as_proto2`] has told.
pub(super) fn apply_features(file: &mut FileDescriptorProto) -> Result<(), GrammarError> {
    let options = file.options.iter().flat_map(|options| &options.uninterpreted_option);
    if feature(options, "message_encoding").is_some_and(|value| value == "DELIMITED") {
        let reason = format!("{}: messages that are delimited by default are not supported", file.name());
        return Err(GrammarError::Protobuf(reason));
    }
    file.extension.iter_mut().for_each(apply);
    let mut todo: Vec<&mut DescriptorProto> = file.message_type.iter_mut().collect();
    while let Some(message) = todo.pop() {
        message.field.iter_mut().chain(&mut message.extension).for_each(apply);
        todo.extend(&mut message.nested_type);
    }
    Ok(())
}

fn apply(field: &mut FieldDescriptorProto) {
    let options = || field.options.iter().flat_map(|options| &options.uninterpreted_option);
    let required = feature(options(), "field_presence").is_some_and(|value| value == "LEGACY_REQUIRED");
    let delimited = feature(options(), "message_encoding").is_some_and(|value| value == "DELIMITED");
    if required {
        field.set_label(Label::Required);
    }
    if delimited {
        field.set_type(Type::Group);
    }
}

/// The value of a feature, stated as `features.name = VALUE` or `features = { name: VALUE }`.
fn feature<'a>(options: impl Iterator<Item = &'a UninterpretedOption>, name: &str) -> Option<String> {
    let mut found = None;
    for option in options {
        let path: Vec<_> = option.name.iter().map(|part| part.name_part.as_str()).collect();
        match path.as_slice() {
            ["features", last] if *last == name => found.clone_from(&option.identifier_value),
            ["features"] => {
                let text = option.aggregate_value.as_deref().unwrap_or_default();
                let mut words = text.split(|other| !is_word(other)).filter(|word| !word.is_empty());
                if words.any(|word| word == name) {
                    found = words.next().map(str::to_owned);
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_get_labels_and_nothing_else_does() {
        let text = concat!(
            "// edition = \"x\"\nedition = \"2023\";\npackage a; // message {\n",
            "message M {\n  int32 a = 1 [(o) = { b: \"}\" }];\n  repeated .a.M b = 2;\n  map<int32, M> c = 3;\n",
            "  oneof d { M e = 4; }\n  enum E { F = 0; }\n  message N { M.E g = 5; }\n  reserved 7 to max; reserved ab, cd;\n  option o = 1;\n}\n",
            "extend M { M h = 100; }\nlocal message L { bytes i = 1; }\n",
        );
        let expected = text
            .replacen("edition = \"2023\"", "syntax = \"proto2\"", 1)
            .replace("ab, cd", "\"ab\", \"cd\"")
            .replace("int32 a", "optional int32 a")
            .replace("M.E g", "optional M.E g")
            .replace("M h", "optional M h")
            .replace("bytes i", "optional bytes i");
        assert_eq!(as_proto2(text).as_deref(), Some(expected.as_str()));
        for other in
            ["syntax = \"proto3\";", "", "edition", "edition =", "edition = 2023;", "message edition {}"]
        {
            assert_eq!(as_proto2(other), None, "{other}");
        }
    }
}
