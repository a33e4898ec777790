//! Names that a text makes up: aliases and names of common table expressions.

use crate::lexeme::{Source, Utf8, Words};

/// New names: bare ones that are none of some words, and, where a quote is given, quoted ones.
#[derive(Debug)]
pub(super) struct Identifier<'a> {
    /// Words (in lower case) that a bare name must not be.
    pub(super) except: &'a Words,
    /// Most bytes of a bare one.
    pub(super) most: usize,
    /// A period has to follow.
    pub(super) dotted: bool,
    pub(super) quote: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Begin,
    /// Within a bare name: where that is among the excepted words while it may become one, and how many
    /// bytes where that matters.
    Bare(Option<u32>, usize),
    /// Within quotes: bytes of a character, and whether there is any.
    Quoted(Utf8, bool),
    Closed,
}

impl Identifier<'_> {
    fn bare(&self, before: Option<u32>, count: usize, byte: u8) -> Place {
        let word = before.and_then(|before| self.except.step(&before, byte.to_ascii_lowercase()));
        Place::Bare(word, if self.most < usize::MAX { count + 1 } else { 0 })
    }

    fn is_excepted(&self, word: Option<u32>) -> bool {
        word.is_some_and(|word| self.except.ending(&word).is_some())
    }
}

impl Source for Identifier<'_> {
    type State = Place;

    fn start(&self) -> Place {
        Place::Begin
    }

    fn step(&self, place: &Place, byte: u8) -> Option<Place> {
        match place {
            Place::Begin if Some(byte) == self.quote => Some(Place::Quoted(Utf8::START, false)),
            Place::Begin => (byte.is_ascii_alphabetic() || byte == b'_')
                .then(|| self.bare(Some(self.except.start()), 0, byte)),
            Place::Bare(word, count) if byte.is_ascii_alphanumeric() || byte == b'_' => {
                (*count < self.most).then(|| self.bare(*word, *count, byte))
            }
            Place::Bare(word, _) => {
                (self.dotted && byte == b'.' && !self.is_excepted(*word)).then_some(Place::Closed)
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
            Place::Bare(word, _) => !self.dotted && !self.is_excepted(*word),
            Place::Closed => true,
            _ => false,
        };
        ends.then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        let classes = folded_classes();
        let matters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        std::array::from_fn(|byte| match self.quote {
            None if !matters(byte as u8) => 0,
            _ => classes[byte],
        })
    }
}

/// Texts in double quotes. Those that name a column are to be taken away.
#[derive(Debug)]
pub(super) struct QuotedText;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum QuotedPlace {
    Begin,
    Within(Utf8),
    Closed,
}

impl Source for QuotedText {
    type State = QuotedPlace;

    fn start(&self) -> QuotedPlace {
        QuotedPlace::Begin
    }

    fn step(&self, place: &QuotedPlace, byte: u8) -> Option<QuotedPlace> {
        match place {
            QuotedPlace::Begin => (byte == b'"').then_some(QuotedPlace::Within(Utf8::START)),
            QuotedPlace::Within(utf8) if byte == b'"' && *utf8 == Utf8::START => Some(QuotedPlace::Closed),
            QuotedPlace::Within(_) if byte < 0x20 || byte == b'"' || byte == b'\\' => None,
            QuotedPlace::Within(utf8) => utf8.step(byte).map(QuotedPlace::Within),
            QuotedPlace::Closed => None,
        }
    }

    fn ending(&self, place: &QuotedPlace) -> Option<u32> {
        (*place == QuotedPlace::Closed).then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        folded_classes()
    }
}

/// Classes of bytes between which names of a schema can tell: letters but for their case.
fn folded_classes() -> [u8; 256] {
    std::array::from_fn(|byte| (byte as u8).to_ascii_lowercase())
}

/// The name in a text that such a lexeme has read.
pub(super) fn plain(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim_end_matches('.').trim_matches(['"', '`']).to_owned()
}
