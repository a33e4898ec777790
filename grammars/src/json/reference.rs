//! Where the parts of a document are: JSON pointers, anchors, and identifiers that are URIs.

use std::collections::HashMap;

use serde_json::Value;

use super::SchemaError;
use super::error::shortened;

/// A document's parts by what references call them.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Absolute identifier, or anchor behind one, to pointer.
    named: HashMap<String, String>,
    /// Anchors that a dynamic reference may find, by name: how many there are.
    dynamic: HashMap<String, usize>,
}

/// Most bytes of all parts' pointers and identifiers.
const LONGEST: usize = 64 << 20;

/// The base of a document without an identifier.
const NOWHERE: &str = "schema:/";

impl Places {
    /// `old_identifiers`: drafts before 6 say `id`, and before 2019-09 a fragment in it is an
    /// anchor.
    ///
    /// # Errors
    /// Pointers and identifiers that are too long together. Here and later they are copied as often as there
    /// are parts, so this bounds what a document can cost.
    pub(super) fn of(document: &Value, identifier: &str) -> Result<Self, SchemaError> {
        let mut places = Self::default();
        places.named.insert(NOWHERE.into(), String::new());
        let mut todo = vec![(document, String::new(), NOWHERE.to_owned())];
        let mut bytes = 0;
        // Asked before the pointer of a part is made.
        let mut add = |length: usize| {
            bytes += length;
            if bytes > LONGEST { Err(SchemaError::Pointers(LONGEST)) } else { Ok(()) }
        };
        while let Some((value, pointer, mut base)) = todo.pop() {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(id)) = members.get(identifier) {
                        let (absolute, fragment) = split(&join(&base, id));
                        if fragment.is_empty() {
                            places.named.entry(absolute.clone()).or_insert_with(|| pointer.clone());
                            base = absolute;
                        } else {
                            places.named.insert(format!("{absolute}#{fragment}"), pointer.clone());
                        }
                    }
                    for keyword in ["$anchor", "$dynamicAnchor"] {
                        if let Some(Value::String(anchor)) = members.get(keyword) {
                            places.named.insert(format!("{base}#{anchor}"), pointer.clone());
                            if keyword == "$dynamicAnchor" {
                                *places.dynamic.entry(anchor.clone()).or_default() += 1;
                            }
                        }
                    }
                    for (key, member) in members {
                        // Values that are compared are no schemas, whatever they look like.
                        let compared = matches!(key.as_str(), "enum" | "const" | "default" | "examples");
                        if !compared && is_nested(member) {
                            add(pointer.len() + key.len() + base.len())?;
                            todo.push((member, format!("{pointer}/{}", escaped(key)), base.clone()));
                        }
                    }
                }
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate().filter(|(_, item)| is_nested(item)) {
                        add(pointer.len() + base.len())?;
                        todo.push((item, format!("{pointer}/{index}"), base.clone()));
                    }
                }
                _ => {}
            }
        }
        Ok(places)
    }

    /// How many dynamic anchors of a name there are.
    pub(super) fn dynamic(&self, anchor: &str) -> usize {
        self.dynamic.get(anchor).copied().unwrap_or(0)
    }

    /// The pointer that a reference leads to, seen from the part at `from`.
    pub(super) fn find(
        &self,
        document: &Value,
        identifier: &str,
        from: &str,
        reference: &str,
    ) -> Result<String, SchemaError> {
        let unresolved = || SchemaError::Unresolved(shortened(reference));
        let base = base_of(document, identifier, from);
        let (absolute, fragment) = split(&join(&base, reference));
        if let Some(pointer) =
            self.named.get(&format!("{absolute}#{fragment}")).filter(|_| !fragment.is_empty())
        {
            return Ok(pointer.clone());
        }
        let root = self.named.get(&absolute).ok_or_else(unresolved)?;
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return Err(unresolved());
        }
        let pointer = format!("{root}{}", decoded(&fragment));
        document.pointer(&pointer).map(|_| normal(&pointer)).ok_or_else(unresolved)
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// The identifier that references at a place are relative to.
fn base_of(document: &Value, identifier: &str, pointer: &str) -> String {
    let mut base = NOWHERE.to_owned();
    let mut at = document;
    let mut parts = pointer.split('/').skip(1);
    loop {
        if let Some(Value::String(id)) = at.get(identifier) {
            let (absolute, fragment) = split(&join(&base, id));
            if fragment.is_empty() {
                base = absolute;
            }
        }
        let Some(part) = parts.next() else { return base };
        let key = part.replace("~1", "/").replace("~0", "~");
        let next = match at {
            Value::Object(members) => members.get(&key),
            Value::Array(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return base,
        }
    }
}

/// A pointer as [`Places`] writes it.
fn normal(pointer: &str) -> String {
    pointer
        .split('/')
        .map(|part| escaped(&part.replace("~1", "/").replace("~0", "~")))
        .collect::<Vec<_>>()
        .join("/")
}

pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn split(uri: &str) -> (String, String) {
    match uri.split_once('#') {
        Some((base, fragment)) => (base.to_owned(), fragment.to_owned()),
        None => (uri.to_owned(), String::new()),
    }
}

/// Percent-encoded bytes decoded; what is no UTF-8 then stays as it was.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let value = || {
            let digits = std::str::from_utf8(others.get(..2)?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        };
        match (first, value()) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// A reference resolved against a base (RFC 3986, section 5.2, as far as identifiers need it).
fn join(base: &str, reference: &str) -> String {
    let scheme_end = |uri: &str| {
        let end = uri.find(':')?;
        let scheme = &uri[..end];
        let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        valid.then_some(end)
    };
    if scheme_end(reference).is_some() {
        return reference.to_owned();
    }
    let (base, _) = split(base);
    if reference.is_empty() || reference.starts_with('#') {
        return format!("{base}{reference}");
    }
    let scheme = scheme_end(&base).map_or(0, |end| end + 1);
    if let Some(rest) = reference.strip_prefix("//") {
        return format!("{}//{rest}", &base[..scheme]);
    }
    let authority_end = match base[scheme..].strip_prefix("//") {
        Some(rest) => scheme + 2 + rest.find('/').unwrap_or(rest.len()),
        None => scheme,
    };
    let (reference_path, tail) = match reference.find(['?', '#']) {
        Some(at) => reference.split_at(at),
        None => (reference, ""),
    };
    let path = if reference_path.starts_with('/') {
        reference_path.to_owned()
    } else {
        let directory =
            base[authority_end..].rfind('/').map_or("/", |end| &base[authority_end..=authority_end + end]);
        format!("{directory}{reference_path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                if parts.len() > 1 {
                    parts.pop();
                }
            }
            part => parts.push(part),
        }
    }
    format!("{}{}{tail}", &base[..authority_end], parts.join("/"))
}
