//! Names that a text makes up: aliases and names of common table expressions.

use std::collections::BTreeSet;

use crate::lexeme::{Source, Utf8};

/// New names: bare ones that are none of some words, and, where a quote is given, quoted ones.
#[derive(Debug)]
pub(super) struct Identifier<'a> {
    /// Words (in lower case) that a bare name must not be.
    pub(super) except: &'a BTreeSet<String>,
    /// Most bytes of a bare one.
    pub(super) most: usize,
    /// A period has to follow.
    pub(super) dotted: bool,
    pub(super) quote: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Begin,
    /// Within a bare name: what was read while that may become an excepted word, and how many bytes where
    /// that matters.
    Bare(Option<String>, usize),
    /// Within quotes: bytes of a character, and whether there is any.
    Quoted(Utf8, bool),
    Closed,
}

impl Identifier<'_> {
    fn first(&self, byte: u8) -> Option<Place> {
        if Some(byte) == self.quote {
            return Some(Place::Quoted(Utf8::START, false));
        }
        (byte.is_ascii_alphabetic() || byte == b'_').then(|| self.bare(Some(""), 0, byte))
    }

    fn bare(&self, before: Option<&str>, count: usize, byte: u8) -> Place {
        let text = before.map(|before| format!("{before}{}", char::from(byte.to_ascii_lowercase())));
        let may = |text: &String| {
            self.except.range(text.clone()..).next().is_some_and(|word| word.starts_with(text))
        };
        let counts = self.most < usize::MAX;
        Place::Bare(text.filter(may), if counts { count + 1 } else { 0 })
    }
}

impl Source for Identifier<'_> {
    type State = Place;

    fn start(&self) -> Place {
        Place::Begin
    }

    fn step(&self, place: &Place, byte: u8) -> Option<Place> {
        match place {
            Place::Begin => self.first(byte),
            Place::Bare(text, count) if byte.is_ascii_alphanumeric() || byte == b'_' => {
                (*count < self.most).then(|| self.bare(text.as_deref(), *count, byte))
            }
            Place::Bare(text, _) => {
                let free = text.as_ref().is_none_or(|text| !self.except.contains(text));
                (self.dotted && byte == b'.' && free).then_some(Place::Closed)
            }
            Place::Quoted(utf8, any) if Some(byte) == self.quote && *utf8 == Utf8::START => {
                any.then_some(Place::Closed)
            }
            Place::Quoted(..) if byte < 0x20 || byte == b'\\' => None,
            Place::Quoted(utf8, _) => utf8.step(byte).map(|utf8| Place::Quoted(utf8, true)),
            Place::Closed => None,
        }
    }

    fn ending(&self, place: &Place) -> Option<u32> {
        let ends = match place {
            Place::Bare(text, _) => {
                !self.dotted && text.as_ref().is_none_or(|text| !self.except.contains(text))
            }
            Place::Closed => true,
            _ => false,
        };
        ends.then_some(0)
    }
}

/// Texts in double quotes that are none of some words: so they name no column.
#[derive(Debug)]
pub(super) struct QuotedText<'a> {
    /// In lower case.
    pub(super) except: &'a BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum QuotedPlace {
    Begin,
    /// What was read while that may become an excepted word.
    Within(Option<String>, Utf8),
    Closed,
}

impl Source for QuotedText<'_> {
    type State = QuotedPlace;

    fn start(&self) -> QuotedPlace {
        QuotedPlace::Begin
    }

    fn step(&self, place: &QuotedPlace, byte: u8) -> Option<QuotedPlace> {
        match place {
            QuotedPlace::Begin => {
                (byte == b'"').then(|| QuotedPlace::Within(Some(String::new()), Utf8::START))
            }
            QuotedPlace::Within(text, utf8) if byte == b'"' && *utf8 == Utf8::START => {
                let free = text.as_ref().is_none_or(|text| !self.except.contains(text));
                free.then_some(QuotedPlace::Closed)
            }
            QuotedPlace::Within(..) if byte < 0x20 || byte == b'"' || byte == b'\\' => None,
            QuotedPlace::Within(text, utf8) => {
                let longer = text
                    .as_ref()
                    .filter(|_| byte.is_ascii())
                    .map(|text| format!("{text}{}", char::from(byte.to_ascii_lowercase())));
                let may = |text: &String| {
                    self.except.range(text.clone()..).next().is_some_and(|word| word.starts_with(text))
                };
                utf8.step(byte).map(|utf8| QuotedPlace::Within(longer.filter(may), utf8))
            }
            QuotedPlace::Closed => None,
        }
    }

    fn ending(&self, place: &QuotedPlace) -> Option<u32> {
        (*place == QuotedPlace::Closed).then_some(0)
    }
}

/// The name in a text that such a lexeme has read.
pub(super) fn plain(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim_end_matches('.').trim_matches(['"', '`']).to_owned()
}
