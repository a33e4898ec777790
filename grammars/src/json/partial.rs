//! The value that a JSON text has while it is being written.
//!
//! ```
//! use understudy_grammars::{Partial, PartialValue};
//!
//! let mut partial = Partial::default();
//! partial.push(br#"{"name": "Ad"#)?;
//! let name = PartialValue::Text { text: "Ad".into(), complete: false };
//! assert_eq!(partial.value().and_then(|value| value.get("name")), Some(&name));
//! # Ok::<(), understudy_grammars::PartialError>(())
//! ```

mod characters;
mod text;
mod value;

use characters::{Characters, Piece, is_number};
pub use value::PartialValue;

/// Why a text has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartialError {
    /// It is no JSON.
    #[error("the text is no JSON from byte {0} on")]
    Malformed(usize),
    /// Values within values.
    #[error("the text nests values more than {} deep", Partial::DEEPEST)]
    TooDeep,
}

/// Reads a JSON text as it comes, a few bytes at a time.
///
/// A text that turns out to be no JSON keeps the value that it had up to there.
#[derive(Debug, Clone, Default)]
pub struct Partial {
    root: Option<PartialValue>,
    /// Lists and objects that are open.
    open: Vec<Container>,
    state: State,
    /// The name of the member whose value is due.
    name: String,
    read: usize,
    failed: Option<PartialError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    List,
    Object,
}

/// What comes next.
#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Value,
    /// After `[`: a value, or its end.
    FirstItem,
    /// After `{`: a name, or its end.
    FirstName,
    Name,
    WithinName(Characters),
    Colon,
    WithinText(Characters),
    WithinNumber(String),
    /// The rest of a literal.
    WithinLiteral(&'static [u8], PartialValue),
    /// After a value.
    After,
}

impl Partial {
    /// Deepest nesting of values.
    pub const DEEPEST: usize = 256;

    /// The value so far.
    pub fn value(&self) -> Option<&PartialValue> {
        self.root.as_ref()
    }

    /// Whether the text may end here.
    pub fn is_complete(&self) -> bool {
        let number =
            matches!(&self.state, State::WithinNumber(text) if self.open.is_empty() && is_number(text));
        self.failed.is_none() && (number || matches!(self.state, State::After) && self.open.is_empty())
    }

    /// Reads more of the text.
    ///
    /// # Errors
    /// A text that is no JSON, or nested too deeply; from then on always.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), PartialError> {
        for byte in bytes {
            if self.failed.is_none() {
                self.failed = self.step(*byte).err();
            }
            self.read += usize::from(self.failed.is_none());
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Ends the text: now a number at its end is complete.
    ///
    /// # Errors
    /// A text that is not complete.
    pub fn finish(&mut self) -> Result<(), PartialError> {
        if !self.is_complete() {
            return Err(self.failed.unwrap_or(PartialError::Malformed(self.read)));
        }
        self.end_number()
    }

    fn malformed<T>(&self) -> Result<T, PartialError> {
        Err(PartialError::Malformed(self.read))
    }

    fn step(&mut self, byte: u8) -> Result<(), PartialError> {
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match std::mem::replace(&mut self.state, State::After) {
            State::WithinText(mut characters) => {
                match characters.next(byte).ok_or(PartialError::Malformed(self.read))? {
                    Piece::Nothing => self.state = State::WithinText(characters),
                    Piece::Character(character) => {
                        if let Some(PartialValue::Text { text, .. }) = self.innermost(1) {
                            text.push(character);
                        }
                        self.state = State::WithinText(characters);
                    }
                    Piece::End => self.innermost(1).into_iter().for_each(PartialValue::complete),
                }
            }
            State::WithinName(mut characters) => {
                self.state = match characters.next(byte).ok_or(PartialError::Malformed(self.read))? {
                    Piece::End => State::Colon,
                    Piece::Nothing => State::WithinName(characters),
                    Piece::Character(character) => {
                        self.name.push(character);
                        State::WithinName(characters)
                    }
                };
            }
            State::WithinNumber(mut text)
                if matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') =>
            {
                text.push(char::from(byte));
                self.state = State::WithinNumber(text);
            }
            State::WithinNumber(text) => {
                self.state = State::WithinNumber(text);
                self.end_number()?;
                return self.step(byte);
            }
            State::WithinLiteral(rest, value) => match rest.split_first() {
                Some((next, [])) if *next == byte => self.add(value),
                Some((next, rest)) if *next == byte => self.state = State::WithinLiteral(rest, value),
                _ => return self.malformed(),
            },
            state if space => self.state = state,
            State::FirstItem if byte == b']' => self.close(),
            State::FirstName if byte == b'}' => self.close(),
            State::Value | State::FirstItem => return self.begin(byte),
            State::FirstName | State::Name if byte == b'"' => {
                self.name.clear();
                self.state = State::WithinName(Characters::default());
            }
            State::Colon if byte == b':' => self.state = State::Value,
            State::After => match (self.open.last(), byte) {
                (Some(Container::List), b',') => self.state = State::Value,
                (Some(Container::Object), b',') => self.state = State::Name,
                (Some(Container::List), b']') | (Some(Container::Object), b'}') => self.close(),
                _ => return self.malformed(),
            },
            _ => return self.malformed(),
        }
        Ok(())
    }

    /// Begins a value.
    fn begin(&mut self, byte: u8) -> Result<(), PartialError> {
        match byte {
            b'"' => {
                self.add(PartialValue::Text { text: String::new(), complete: false });
                self.state = State::WithinText(Characters::default());
            }
            b'[' => {
                self.open(Container::List, PartialValue::List { items: Vec::new(), complete: false })?;
                self.state = State::FirstItem;
            }
            b'{' => {
                self.open(Container::Object, PartialValue::Object { members: Vec::new(), complete: false })?;
                self.state = State::FirstName;
            }
            b'-' | b'0'..=b'9' => self.state = State::WithinNumber(char::from(byte).to_string()),
            b'n' => self.state = State::WithinLiteral(b"ull", PartialValue::Null),
            b't' => self.state = State::WithinLiteral(b"rue", PartialValue::Bool(true)),
            b'f' => self.state = State::WithinLiteral(b"alse", PartialValue::Bool(false)),
            _ => return self.malformed(),
        }
        Ok(())
    }

    fn open(&mut self, container: Container, value: PartialValue) -> Result<(), PartialError> {
        if self.open.len() == Self::DEEPEST {
            return Err(PartialError::TooDeep);
        }
        self.add(value);
        self.open.push(container);
        Ok(())
    }

    fn close(&mut self) {
        self.innermost(0).into_iter().for_each(PartialValue::complete);
        self.open.pop();
        self.state = State::After;
    }

    fn end_number(&mut self) -> Result<(), PartialError> {
        match std::mem::replace(&mut self.state, State::After) {
            State::WithinNumber(text) if is_number(&text) => self.add(PartialValue::Number(text)),
            State::WithinNumber(_) => return self.malformed(),
            state => self.state = state,
        }
        Ok(())
    }

    /// Puts a value where it belongs.
    fn add(&mut self, value: PartialValue) {
        let name = std::mem::take(&mut self.name);
        match self.innermost(0) {
            Some(PartialValue::List { items, .. }) => items.push(value),
            Some(PartialValue::Object { members, .. }) => members.push((name, value)),
            _ => self.root = Some(value),
        }
    }

    /// The innermost value that is open, or what is `more` levels within it.
    fn innermost(&mut self, more: usize) -> Option<&mut PartialValue> {
        let levels = (self.open.len() + more).checked_sub(1)?;
        (0..levels).try_fold(self.root.as_mut()?, |value, _| value.last())
    }
}

#[cfg(test)]
mod tests;
