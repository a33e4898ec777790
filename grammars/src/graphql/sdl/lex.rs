//! Lexical tokens (GraphQL specification, section 2.1).

use crate::GrammarError;

/// A lexical token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Punctuator(u8),
    Spread,
    Name(&'a str),
    Number,
    Text,
    End,
}

/// Longest name in bytes. Names are part of messages.
const LONGEST: usize = 1_000;

/// Reads tokens one after the other.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    pub(super) line: u32,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    pub(super) fn error<T>(&self, problem: impl Into<String>) -> Result<T, GrammarError> {
        Err(GrammarError::Graphql { line: self.line, problem: problem.into() })
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, GrammarError> {
        self.skip_ignored();
        let bytes = self.text.as_bytes();
        let start = self.at;
        let Some(first) = bytes.get(start).copied() else { return Ok(Token::End) };
        match first {
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.at = end_of(bytes, start, |byte| byte == b'_' || byte.is_ascii_alphanumeric());
                if self.at - start > LONGEST {
                    return self.error(format!("a name is longer than {LONGEST} bytes"));
                }
                Ok(Token::Name(&self.text[start..self.at]))
            }
            b'-' | b'0'..=b'9' => {
                let within = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
                self.at = end_of(bytes, start, within);
                Ok(Token::Number)
            }
            b'"' => self.string(),
            b'.' if bytes[start..].starts_with(b"...") => {
                self.at += 3;
                Ok(Token::Spread)
            }
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|' | b'}' => {
                self.at += 1;
                Ok(Token::Punctuator(first))
            }
            _ => {
                let character = self.text[start..].chars().next().unwrap_or_default();
                self.error(format!("{character:?} is not part of the language"))
            }
        }
    }

    fn skip_ignored(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' | b',' => {}
                b'#' => {
                    self.at = end_of(bytes, self.at, |byte| byte != b'\n');
                    continue;
                }
                0xEF if bytes[self.at..].starts_with("\u{FEFF}".as_bytes()) => self.at += 2,
                _ => return,
            }
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<Token<'a>, GrammarError> {
        let bytes = self.text.as_bytes();
        let block = bytes[self.at..].starts_with(b"\"\"\"");
        let quote: &[u8] = if block { b"\"\"\"" } else { b"\"" };
        let mut at = self.at + quote.len();
        let mut line = self.line;
        while let Some(byte) = bytes.get(at) {
            let rest = &bytes[at..];
            match byte {
                _ if rest.starts_with(quote) => {
                    (self.at, self.line) = (at + quote.len(), line);
                    return Ok(Token::Text);
                }
                b'\\' if block && rest.starts_with(b"\\\"\"\"") => at += 4,
                b'\\' if !block => at += 2,
                b'\n' if !block => break,
                b'\n' => {
                    line += 1;
                    at += 1;
                }
                _ => at += 1,
            }
        }
        self.error("a string is not closed")
    }
}

fn end_of(bytes: &[u8], from: usize, within: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|byte| !within(*byte)).map_or(bytes.len(), |length| from + length)
}
