//! A value so far as a JSON text of its own, and where it can grow.

use std::fmt::{Display, Formatter, Result};

use serde_json::Value;

use super::PartialValue;

/// A whole JSON text, whatever is open closed. `{:#}` breaks and indents lines.
impl Display for PartialValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.write(f, 0)
    }
}

impl PartialValue {
    /// Where something can be added: the innermost value that is not complete, as a JSON Pointer
    /// (RFC 6901). It and those around it are open, all others are final. `None` once all are.
    pub fn open_at(&self) -> Option<String> {
        if self.is_complete() {
            return None;
        }
        let last = match self {
            Self::List { items, .. } => {
                items.iter().enumerate().next_back().map(|(at, item)| (at.to_string(), item))
            }
            Self::Object { members, .. } => members.last().map(|(name, value)| (escaped(name), value)),
            _ => None,
        };
        let within = last.and_then(|(step, value)| Some(format!("/{step}{}", value.open_at()?)));
        Some(within.unwrap_or_default())
    }

    fn write(&self, f: &mut Formatter<'_>, level: usize) -> Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(text) => f.write_str(text),
            Self::Text { text, .. } => write_text(f, text),
            Self::List { items, .. } => {
                write_parts(f, ['[', ']'], level, items, |f, item| item.write(f, level + 1))
            }
            Self::Object { members, .. } => write_parts(f, ['{', '}'], level, members, |f, (name, value)| {
                write_text(f, name)?;
                f.write_str(if f.alternate() { ": " } else { ":" })?;
                value.write(f, level + 1)
            }),
        }
    }
}

fn write_text(f: &mut Formatter<'_>, text: &str) -> Result {
    write!(f, "{}", Value::from(text))
}

fn write_parts<T>(
    f: &mut Formatter<'_>,
    [begin, end]: [char; 2],
    level: usize,
    parts: &[T],
    write: impl Fn(&mut Formatter<'_>, &T) -> Result,
) -> Result {
    let new_line = |f: &mut Formatter<'_>, level: usize| match f.alternate() && !parts.is_empty() {
        true => write!(f, "\n{:1$}", "", level * 2),
        false => Ok(()),
    };
    write!(f, "{begin}")?;
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(",")?;
        }
        new_line(f, level + 1)?;
        write(f, part)?;
    }
    new_line(f, level)?;
    write!(f, "{end}")
}

/// A name as a step of a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
