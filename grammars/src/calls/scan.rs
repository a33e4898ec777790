//! What is around a call's arguments, and where they end.

use super::form::OPEN;

/// What a text begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// All that was looked for, of so many bytes.
    Whole(usize, T),
    /// A beginning of it, as far as the text goes.
    Beginning,
    /// Something else.
    Nothing,
}

/// Why reading stopped: at the text's end, or before something else than what was looked for.
pub(super) enum Stop {
    End,
    Other,
}

impl<T> From<Result<(usize, T), Stop>> for Found<T> {
    fn from(read: Result<(usize, T), Stop>) -> Self {
        match read {
            Ok((bytes, value)) => Self::Whole(bytes, value),
            Err(Stop::End) => Self::Beginning,
            Err(Stop::Other) => Self::Nothing,
        }
    }
}

/// The beginning of a call up to its arguments, which begin with `{`: the tool's name.
pub(super) fn head(text: &str) -> Found<String> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.word(OPEN).and_then(|()| cursor.call()).into()
}

/// What follows a call's arguments: the end of the object, and what closes the call. Either may be missing.
pub(super) fn tail(text: &str, close: &str) -> Found<()> {
    let read = || {
        let mut cursor = Cursor { text, at: 0 };
        let braced = match cursor.spaced("}") {
            Ok(()) => cursor.at,
            Err(Stop::Other) => 0,
            Err(Stop::End) => return Err(Stop::End),
        };
        match cursor.spaced(close) {
            Ok(()) => Ok((cursor.at, ())),
            Err(Stop::Other) => Ok((braced, ())),
            Err(Stop::End) => Err(Stop::End),
        }
    };
    read().into()
}

/// A place in a text.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    /// Passes over white space; the place after it.
    fn blank(&mut self) -> usize {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_ascii_start().len();
        self.at
    }

    /// The object of a call up to its arguments: their place, and the tool's name.
    fn call(&mut self) -> Result<(usize, String), Stop> {
        self.spaced("{")?;
        self.spaced("\"name\"")?;
        self.spaced(":")?;
        self.spaced("\"")?;
        let name = self.string()?;
        self.spaced(",")?;
        self.spaced("\"arguments\"")?;
        self.spaced(":")?;
        let before = self.blank();
        self.word("{")?;
        Ok((before, name))
    }

    fn word(&mut self, word: &str) -> Result<(), Stop> {
        let rest = &self.text[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(if word.starts_with(rest) { Stop::End } else { Stop::Other })
    }

    fn spaced(&mut self, word: &str) -> Result<(), Stop> {
        self.blank();
        self.word(word)
    }

    /// The rest of a JSON string.
    fn string(&mut self) -> Result<String, Stop> {
        let rest = &self.text[self.at..];
        let mut escaped = false;
        for (end, byte) in rest.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.at += end + 1;
                    return serde_json::from_str(&format!("\"{}\"", &rest[..end])).map_err(|_| Stop::Other);
                }
                _ => {}
            }
        }
        Err(Stop::End)
    }
}

/// Within the arguments of a call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Arguments {
    /// Brackets that are open.
    open: usize,
    in_string: bool,
    escaped: bool,
}

impl Arguments {
    /// Reads on; where the arguments end, if they do.
    pub(super) fn read(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.open += 1,
                b'}' | b']' if !self.in_string => {
                    self.open = self.open.saturating_sub(1);
                    if self.open == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
