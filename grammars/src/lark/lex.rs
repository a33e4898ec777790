//! The words of a grammar.

use super::syntax::{Literal, Place, is_terminal};
use crate::GrammarError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Rule(&'a str),
    Terminal(&'a str),
    Literal(Literal),
    Number(u32),
    /// `%` and a word.
    Directive(&'a str),
    /// `->` and `..` besides single characters.
    Sign(&'static str),
    /// The end of a line that the next one does not continue.
    Line,
    End,
}

impl Token<'_> {
    /// What messages call it.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Rule(name) => format!("the rule name {name}"),
            Self::Terminal(name) => format!("the terminal name {name}"),
            Self::Literal(literal) => literal.to_string(),
            Self::Number(number) => format!("the number {number}"),
            Self::Directive(word) => format!("%{word}"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::Line => "the end of the line".into(),
            Self::End => "the end of the grammar".into(),
        }
    }
}

/// Reads tokens one after the other.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    place: Place,
}

const SIGNS: [&str; 16] = ["->", "..", ":", "|", "(", ")", "[", "]", "{", "}", "?", "*", "+", "~", ".", "!"];

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, place: Place::START }
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, Place), GrammarError> {
        let start = self.place;
        if self.skip_blanks() {
            // A line that begins with `|` goes on with the rule before.
            return match self.rest().starts_with('|') {
                true => {
                    self.take(1);
                    Ok((Token::Sign("|"), self.place))
                }
                false => Ok((Token::Line, start)),
            };
        }
        let place = self.place;
        Ok((self.token()?, place))
    }

    fn token(&mut self) -> Result<Token<'a>, GrammarError> {
        let Some(first) = self.rest().chars().next() else { return Ok(Token::End) };
        match first {
            '_' | 'a'..='z' | 'A'..='Z' => self.name(),
            '0'..='9' => self.number(),
            '"' => self.string(),
            '/' => self.regex(),
            '%' => {
                self.take(1);
                Ok(Token::Directive(self.take_while(|c| c.is_ascii_alphabetic())))
            }
            ',' => {
                self.take(1);
                Ok(Token::Sign(","))
            }
            // The sign of a priority says nothing here.
            '-' if self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.take(1);
                self.number()
            }
            _ => match SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
                Some(sign) => {
                    self.take(sign.len());
                    Ok(Token::Sign(sign))
                }
                None => Err(self.place.error(format!("{first:?} is not part of Lark's syntax"))),
            },
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let taken = &self.rest()[..bytes];
        for character in taken.chars() {
            match character {
                '\n' => self.place = Place { line: self.place.line + 1, column: 1 },
                _ => self.place.column += 1,
            }
        }
        self.at += bytes;
        taken
    }

    fn take_while(&mut self, within: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|character| !within(character)).unwrap_or(rest.len());
        self.take(length)
    }

    /// Skips blanks and comments; whether a line ended among them.
    fn skip_blanks(&mut self) -> bool {
        let line = self.place.line;
        loop {
            self.take_while(|character| matches!(character, ' ' | '\t' | '\r' | '\n' | '\x0C' | '\u{FEFF}'));
            match self.rest().starts_with("//") || self.rest().starts_with('#') {
                true => self.take_while(|character| character != '\n'),
                false => return self.place.line > line,
            };
        }
    }

    fn name(&mut self) -> Result<Token<'a>, GrammarError> {
        let place = self.place;
        let name = self.take_while(|character| character == '_' || character.is_ascii_alphanumeric());
        let letters = name.trim_start_matches('_');
        match is_terminal(name) {
            true if !letters.contains(|character: char| character.is_ascii_lowercase()) => {
                Ok(Token::Terminal(name))
            }
            false
                if letters.starts_with(|first: char| first.is_ascii_lowercase())
                    && !letters.contains(|character: char| character.is_ascii_uppercase()) =>
            {
                Ok(Token::Rule(name))
            }
            _ => Err(place.error(format!(
                "the name {name} is neither of a rule (lower case) nor of a terminal (UPPER CASE)"
            ))),
        }
    }

    fn number(&mut self) -> Result<Token<'a>, GrammarError> {
        let place = self.place;
        let digits = self.take_while(|character| character.is_ascii_digit());
        digits
            .parse()
            .map(Token::Number)
            .map_err(|_| place.error(format!("the number {digits} is too large")))
    }

    fn string(&mut self) -> Result<Token<'a>, GrammarError> {
        let place = self.place;
        self.take(1);
        let mut text = String::new();
        loop {
            let at = self.place;
            match self.rest().chars().next() {
                Some('"') => break,
                Some('\\') => text.push(self.escape()?),
                Some(character) if character != '\n' => {
                    self.take(character.len_utf8());
                    text.push(character);
                }
                _ => return Err(at.error("the string is not closed on its line; write \\n for a line break")),
            }
        }
        self.take(1);
        if text.is_empty() {
            return Err(place.error("the string is empty; leave it out, or use `?` for what may be absent"));
        }
        let folds_case = self.rest().starts_with('i');
        self.take(usize::from(folds_case));
        Ok(Token::Literal(Literal::Text { text, folds_case }))
    }

    fn escape(&mut self) -> Result<char, GrammarError> {
        let place = self.place;
        self.take(1);
        let unknown = || {
            place.error(
                "no such escape; there are \\\\, \\\", \\n, \\r, \\t, \\f, \\xHH, \\uHHHH and \\UHHHHHHHH",
            )
        };
        let Some(character) = self.rest().chars().next() else { return Err(unknown()) };
        self.take(character.len_utf8());
        let digits = match character {
            '\\' | '"' | '\'' | '/' => return Ok(character),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'f' => return Ok('\x0C'),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(unknown()),
        };
        let Some(hex) = self.rest().get(..digits) else { return Err(unknown()) };
        self.take(digits);
        u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).ok_or_else(unknown)
    }

    fn regex(&mut self) -> Result<Token<'a>, GrammarError> {
        let place = self.place;
        self.take(1);
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.find(|character| {
            let ends = character == '/' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { return Err(place.error("the regular expression has no closing `/`")) };
        let pattern = self.take(end).to_owned();
        self.take(1);
        let flags = self.take_while(|character| character.is_ascii_alphabetic()).to_owned();
        if let Some(flag) = flags.chars().find(|flag| !"imslux".contains(*flag)) {
            return Err(
                place.error(format!("{flag} is no flag of regular expressions; there are i, m, s and x"))
            );
        }
        if pattern.contains('\n') && !flags.contains('x') {
            return Err(place
                .error("a regular expression over several lines needs the flag x, or has no closing `/`"));
        }
        Ok(Token::Literal(Literal::Regex { pattern, flags }))
    }
}
